from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
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
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.selftest import Selftest


T = TypeVar("T", bound="HealthResponse")


@_attrs_define
class HealthResponse:
    """State of the server. Available while the model loads.

    Attributes:
        status (Literal['healthy']): The server process responds.
        ready (bool): Whether the model is loaded and requests are served.
        state (HealthResponseState): State of the model's loading.
        progress (str): What is being loaded, or why loading failed.
        progress_fraction (float): Completed fraction of the loading, from 0 to 1.
        selftest (Selftest): Result of the self-test. Endpoints that depend on a failed check respond 503 with cause
            `unverified`.
        load (int | Unset): Requests in the queue and texts being generated, of all clients; for load balancing.
            Default: 0.
    """

    status: Literal["healthy"]
    ready: bool
    state: HealthResponseState
    progress: str
    progress_fraction: float
    selftest: Selftest
    load: int | Unset = 0
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        ready = self.ready

        state: str = self.state

        progress = self.progress

        progress_fraction = self.progress_fraction

        selftest = self.selftest.to_dict()

        load = self.load

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "ready": ready,
                "state": state,
                "progress": progress,
                "progress_fraction": progress_fraction,
                "selftest": selftest,
            }
        )
        if load is not UNSET:
            field_dict["load"] = load

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.selftest import Selftest  # noqa: PLC0415

        d = dict(src_dict)
        status = cast(Literal["healthy"], d.pop("status"))
        if status != "healthy":
            raise ValueError(f"status must match const 'healthy', got '{status}'")

        ready = d.pop("ready")

        state = check_health_response_state(d.pop("state"))

        progress = d.pop("progress")

        progress_fraction = d.pop("progress_fraction")

        selftest = Selftest.from_dict(d.pop("selftest"))

        load = d.pop("load", UNSET)

        health_response = cls(
            status=status,
            ready=ready,
            state=state,
            progress=progress,
            progress_fraction=progress_fraction,
            selftest=selftest,
            load=load,
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
