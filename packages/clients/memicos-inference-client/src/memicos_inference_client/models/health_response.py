from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.health_response_state import (
    HealthResponseState,
    check_health_response_state,
)

T = TypeVar("T", bound="HealthResponse")


@_attrs_define
class HealthResponse:
    """Answered at once, also while the model loads.

    Attributes:
        status (Literal['healthy']): the server is live
        ready (bool): model and sources are loaded, requests are answered
        state (HealthResponseState):
        progress (str): what is being loaded, or why loading failed
        progress_fraction (float): share of the loading that is done
    """

    status: Literal["healthy"]
    ready: bool
    state: HealthResponseState
    progress: str
    progress_fraction: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        ready = self.ready

        state: str = self.state

        progress = self.progress

        progress_fraction = self.progress_fraction

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "ready": ready,
                "state": state,
                "progress": progress,
                "progress_fraction": progress_fraction,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        status = cast(Literal["healthy"], d.pop("status"))
        if status != "healthy":
            raise ValueError(f"status must match const 'healthy', got '{status}'")

        ready = d.pop("ready")

        state = check_health_response_state(d.pop("state"))

        progress = d.pop("progress")

        progress_fraction = d.pop("progress_fraction")

        health_response = cls(
            status=status,
            ready=ready,
            state=state,
            progress=progress,
            progress_fraction=progress_fraction,
        )

        health_response.additional_properties = d
        return health_response

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
