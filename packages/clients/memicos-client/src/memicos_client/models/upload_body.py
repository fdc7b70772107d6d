from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.upload_body_state import UploadBodyState, check_upload_body_state

if TYPE_CHECKING:
    from ..models.upload_file_state import UploadFileState
    from ..models.upload_job import UploadJob


T = TypeVar("T", bound="UploadBody")


@_attrs_define
class UploadBody:
    """An upload and its state.

    Attributes:
        upload_id (str): id of the upload
        name (str): name of the dataset's folder
        state (UploadBodyState): open: parts can be sent; complete: `job` imports it
        bytes_ (int): size of all files
        part_bytes (int): size of a part
        files (list[UploadFileState]): its files; parts are named by the file's place in this list
        job (None | UploadJob): the import of a complete upload
    """

    upload_id: str
    name: str
    state: UploadBodyState
    bytes_: int
    part_bytes: int
    files: list[UploadFileState]
    job: None | UploadJob
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.upload_job import UploadJob  # noqa: PLC0415

        upload_id = self.upload_id

        name = self.name

        state: str = self.state

        bytes_ = self.bytes_

        part_bytes = self.part_bytes

        files = []
        for files_item_data in self.files:
            files_item = files_item_data.to_dict()
            files.append(files_item)

        job: dict[str, Any] | None
        if isinstance(self.job, UploadJob):
            job = self.job.to_dict()
        else:
            job = self.job

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "uploadId": upload_id,
                "name": name,
                "state": state,
                "bytes": bytes_,
                "partBytes": part_bytes,
                "files": files,
                "job": job,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.upload_file_state import UploadFileState  # noqa: PLC0415
        from ..models.upload_job import UploadJob  # noqa: PLC0415

        d = dict(src_dict)
        upload_id = d.pop("uploadId")

        name = d.pop("name")

        state = check_upload_body_state(d.pop("state"))

        bytes_ = d.pop("bytes")

        part_bytes = d.pop("partBytes")

        files = []
        _files = d.pop("files")
        for files_item_data in _files:
            files_item = UploadFileState.from_dict(files_item_data)

            files.append(files_item)

        def _parse_job(data: object) -> None | UploadJob:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                job_type_0 = UploadJob.from_dict(data)

                return job_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | UploadJob, data)

        job = _parse_job(d.pop("job"))

        upload_body = cls(
            upload_id=upload_id,
            name=name,
            state=state,
            bytes_=bytes_,
            part_bytes=part_bytes,
            files=files,
            job=job,
        )

        upload_body.additional_properties = d
        return upload_body

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
