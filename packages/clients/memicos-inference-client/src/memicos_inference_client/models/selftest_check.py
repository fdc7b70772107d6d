from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SelftestCheck")


@_attrs_define
class SelftestCheck:
    """Comparison of two independent computations of the same numbers.

    Attributes:
        name (str): Name of the check, for example blocks.
        passed (bool | None): Whether the check passed; null: nothing was compared, for the reason in `words`.
        measured (float | None): Relative RMS of the difference; null if nothing was compared or it is not finite.
        tolerance (float): Largest `measured` that passes.
        words (str): What was compared, or why nothing was.
        source (None | str): Id of the source that was checked; null: the model.
        endpoints (list[str]): Prefixes of the endpoint paths that depend on this check.
        measured_at (None | str | Unset): Time (ISO 8601, UTC) at which an earlier start with the same weights, code,
            libraries and hardware measured it; null: this start did.
    """

    name: str
    passed: bool | None
    measured: float | None
    tolerance: float
    words: str
    source: None | str
    endpoints: list[str]
    measured_at: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        passed: bool | None
        passed = self.passed

        measured: float | None
        measured = self.measured

        tolerance = self.tolerance

        words = self.words

        source: None | str
        source = self.source

        endpoints = self.endpoints

        measured_at: None | str | Unset
        if isinstance(self.measured_at, Unset):
            measured_at = UNSET
        else:
            measured_at = self.measured_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "passed": passed,
                "measured": measured,
                "tolerance": tolerance,
                "words": words,
                "source": source,
                "endpoints": endpoints,
            }
        )
        if measured_at is not UNSET:
            field_dict["measured_at"] = measured_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        def _parse_passed(data: object) -> bool | None:
            if data is None:
                return data
            return cast(bool | None, data)

        passed = _parse_passed(d.pop("passed"))

        def _parse_measured(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        measured = _parse_measured(d.pop("measured"))

        tolerance = d.pop("tolerance")

        words = d.pop("words")

        def _parse_source(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        source = _parse_source(d.pop("source"))

        endpoints = cast(list[str], d.pop("endpoints"))

        def _parse_measured_at(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        measured_at = _parse_measured_at(d.pop("measured_at", UNSET))

        selftest_check = cls(
            name=name,
            passed=passed,
            measured=measured,
            tolerance=tolerance,
            words=words,
            source=source,
            endpoints=endpoints,
            measured_at=measured_at,
        )

        selftest_check.additional_properties = d
        return selftest_check

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
