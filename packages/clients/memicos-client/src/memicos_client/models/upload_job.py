from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.upload_job_state import UploadJobState, check_upload_job_state

T = TypeVar("T", bound="UploadJob")


@_attrs_define
class UploadJob:
    """The import that a complete upload became.

    Attributes:
        id (int): number of the job, as `memicos jobs list` shows it
        state (UploadJobState): its state
        error (None | str): why it failed
        files (int): files that it stores
        files_done (int): files that are stored
        rows (int): rows of these files
        rows_done (int): rows that are stored
        rejects (int): rows that were left out, as no page could show them
    """

    id: int
    state: UploadJobState
    error: None | str
    files: int
    files_done: int
    rows: int
    rows_done: int
    rejects: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        state: str = self.state

        error: None | str
        error = self.error

        files = self.files

        files_done = self.files_done

        rows = self.rows

        rows_done = self.rows_done

        rejects = self.rejects

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "state": state,
                "error": error,
                "files": files,
                "filesDone": files_done,
                "rows": rows,
                "rowsDone": rows_done,
                "rejects": rejects,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        state = check_upload_job_state(d.pop("state"))

        def _parse_error(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        error = _parse_error(d.pop("error"))

        files = d.pop("files")

        files_done = d.pop("filesDone")

        rows = d.pop("rows")

        rows_done = d.pop("rowsDone")

        rejects = d.pop("rejects")

        upload_job = cls(
            id=id,
            state=state,
            error=error,
            files=files,
            files_done=files_done,
            rows=rows,
            rows_done=rows_done,
            rejects=rejects,
        )

        upload_job.additional_properties = d
        return upload_job

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
