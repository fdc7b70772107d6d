from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.job_state import JobState, check_job_state

T = TypeVar("T", bound="Job")


@_attrs_define
class Job:
    """A background job.

    Attributes:
        id (int): its number
        kind (str): import, verify, delete, export, explain, score or cancel-batches
        subject (None | str): what it works on; null until that is known
        location (str): where its data is, or the name of a source or set
        state (JobState): interrupted: its process ended, and the worker continues it; waiting: a batch of requests to a
            language model is in progress
        stage (None | str): what it does now, in words; null where it does not run
        files (int): number of its files
        files_done (int): files that are stored
        rows (int): rows of its files; 0 until they are known
        rows_done (int): rows sent to the database so far
        bytes_ (int): bytes of its files
        rejects (int): rows that it left out, or features that failed
        batches (int): batches of a language model whose answers are not stored yet
        paid (float): US dollars that language models were paid
        error (None | str): why it failed, or the last unexpected error
        created_at (datetime.datetime): when it was added
        finished_at (datetime.datetime | None): when it ended
    """

    id: int
    kind: str
    subject: None | str
    location: str
    state: JobState
    stage: None | str
    files: int
    files_done: int
    rows: int
    rows_done: int
    bytes_: int
    rejects: int
    batches: int
    paid: float
    error: None | str
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        kind = self.kind

        subject: None | str
        subject = self.subject

        location = self.location

        state: str = self.state

        stage: None | str
        stage = self.stage

        files = self.files

        files_done = self.files_done

        rows = self.rows

        rows_done = self.rows_done

        bytes_ = self.bytes_

        rejects = self.rejects

        batches = self.batches

        paid = self.paid

        error: None | str
        error = self.error

        created_at = self.created_at.isoformat()

        finished_at: None | str
        if isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()
        else:
            finished_at = self.finished_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "kind": kind,
                "subject": subject,
                "location": location,
                "state": state,
                "stage": stage,
                "files": files,
                "filesDone": files_done,
                "rows": rows,
                "rowsDone": rows_done,
                "bytes": bytes_,
                "rejects": rejects,
                "batches": batches,
                "paid": paid,
                "error": error,
                "createdAt": created_at,
                "finishedAt": finished_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        kind = d.pop("kind")

        def _parse_subject(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        subject = _parse_subject(d.pop("subject"))

        location = d.pop("location")

        state = check_job_state(d.pop("state"))

        def _parse_stage(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        stage = _parse_stage(d.pop("stage"))

        files = d.pop("files")

        files_done = d.pop("filesDone")

        rows = d.pop("rows")

        rows_done = d.pop("rowsDone")

        bytes_ = d.pop("bytes")

        rejects = d.pop("rejects")

        batches = d.pop("batches")

        paid = d.pop("paid")

        def _parse_error(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        error = _parse_error(d.pop("error"))

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        def _parse_finished_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = datetime.datetime.fromisoformat(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        finished_at = _parse_finished_at(d.pop("finishedAt"))

        job = cls(
            id=id,
            kind=kind,
            subject=subject,
            location=location,
            state=state,
            stage=stage,
            files=files,
            files_done=files_done,
            rows=rows,
            rows_done=rows_done,
            bytes_=bytes_,
            rejects=rejects,
            batches=batches,
            paid=paid,
            error=error,
            created_at=created_at,
            finished_at=finished_at,
        )

        job.additional_properties = d
        return job

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
