from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.embedder_health_state import (
    EmbedderHealthState,
    check_embedder_health_state,
)

T = TypeVar("T", bound="EmbedderHealth")


@_attrs_define
class EmbedderHealth:
    """The background task that embeds new explanations for search by meaning.

    Attributes:
        state (EmbedderHealthState): disabled: MEMICOS_EMBED_EVERY_SECONDS is 0, or the server is read-only; failing:
            the last attempt failed and is repeated
        error (None | str): why the last attempt failed; null where it did not
        failures (int): attempts that have failed in a row
        retry_in_seconds (float | None): seconds until the next attempt; null unless state is failing
    """

    state: EmbedderHealthState
    error: None | str
    failures: int
    retry_in_seconds: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        state: str = self.state

        error: None | str
        error = self.error

        failures = self.failures

        retry_in_seconds: float | None
        retry_in_seconds = self.retry_in_seconds

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "state": state,
                "error": error,
                "failures": failures,
                "retry_in_seconds": retry_in_seconds,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        state = check_embedder_health_state(d.pop("state"))

        def _parse_error(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        error = _parse_error(d.pop("error"))

        failures = d.pop("failures")

        def _parse_retry_in_seconds(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        retry_in_seconds = _parse_retry_in_seconds(d.pop("retry_in_seconds"))

        embedder_health = cls(
            state=state,
            error=error,
            failures=failures,
            retry_in_seconds=retry_in_seconds,
        )

        embedder_health.additional_properties = d
        return embedder_health

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
