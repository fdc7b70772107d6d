from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.selftest_state import SelftestState, check_selftest_state
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.selftest_check import SelftestCheck


T = TypeVar("T", bound="Selftest")


@_attrs_define
class Selftest:
    """Result of the self-test. Endpoints that depend on a failed check respond 503 with cause `unverified`.

    Attributes:
        state (SelftestState): `waiting`: the model is loading; `off`: no check is run; else whether all passed. Sources
            are checked on first use.
        allowed (bool): Whether endpoints respond in spite of failed checks (setting ALLOW_UNVERIFIED).
        seconds (float): Duration of the checks at the start, in seconds.
        checks (list[SelftestCheck]): Checks so far: of the model, and of sources that were used.
        unverified_beyond (int | None | Unset): Tokens of the longest text whose values are verified: beyond it a part
            of the model (a sliding window, for example) computes differently, and no check of that length has passed. null:
            no text that the server accepts is longer than what is verified, or the model is loading.
    """

    state: SelftestState
    allowed: bool
    seconds: float
    checks: list[SelftestCheck]
    unverified_beyond: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        state: str = self.state

        allowed = self.allowed

        seconds = self.seconds

        checks = []
        for checks_item_data in self.checks:
            checks_item = checks_item_data.to_dict()
            checks.append(checks_item)

        unverified_beyond: int | None | Unset
        if isinstance(self.unverified_beyond, Unset):
            unverified_beyond = UNSET
        else:
            unverified_beyond = self.unverified_beyond

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "state": state,
                "allowed": allowed,
                "seconds": seconds,
                "checks": checks,
            }
        )
        if unverified_beyond is not UNSET:
            field_dict["unverified_beyond"] = unverified_beyond

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.selftest_check import SelftestCheck  # noqa: PLC0415

        d = dict(src_dict)
        state = check_selftest_state(d.pop("state"))

        allowed = d.pop("allowed")

        seconds = d.pop("seconds")

        checks = []
        _checks = d.pop("checks")
        for checks_item_data in _checks:
            checks_item = SelftestCheck.from_dict(checks_item_data)

            checks.append(checks_item)

        def _parse_unverified_beyond(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        unverified_beyond = _parse_unverified_beyond(d.pop("unverified_beyond", UNSET))

        selftest = cls(
            state=state,
            allowed=allowed,
            seconds=seconds,
            checks=checks,
            unverified_beyond=unverified_beyond,
        )

        selftest.additional_properties = d
        return selftest

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
