from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.job import Job
    from ..models.log_line import LogLine
    from ..models.reject import Reject


T = TypeVar("T", bound="JobDetail")


@_attrs_define
class JobDetail:
    """A job with its log and the rows that it left out.

    Attributes:
        job (Job): A background job.
        log (list[LogLine]): the newest 1,000 lines, the oldest first
        rejects (list[Reject]): at most 1,000 rows, by file and line
    """

    job: Job
    log: list[LogLine]
    rejects: list[Reject]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        job = self.job.to_dict()

        log = []
        for log_item_data in self.log:
            log_item = log_item_data.to_dict()
            log.append(log_item)

        rejects = []
        for rejects_item_data in self.rejects:
            rejects_item = rejects_item_data.to_dict()
            rejects.append(rejects_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "job": job,
                "log": log,
                "rejects": rejects,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job import Job  # noqa: PLC0415
        from ..models.log_line import LogLine  # noqa: PLC0415
        from ..models.reject import Reject  # noqa: PLC0415

        d = dict(src_dict)
        job = Job.from_dict(d.pop("job"))

        log = []
        _log = d.pop("log")
        for log_item_data in _log:
            log_item = LogLine.from_dict(log_item_data)

            log.append(log_item)

        rejects = []
        _rejects = d.pop("rejects")
        for rejects_item_data in _rejects:
            rejects_item = Reject.from_dict(rejects_item_data)

            rejects.append(rejects_item)

        job_detail = cls(
            job=job,
            log=log,
            rejects=rejects,
        )

        job_detail.additional_properties = d
        return job_detail

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
