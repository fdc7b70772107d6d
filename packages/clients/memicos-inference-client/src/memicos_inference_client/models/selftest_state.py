from typing import Literal

SelftestState = Literal["failed", "off", "passed", "waiting"]

SELFTEST_STATE_VALUES: set[SelftestState] = {
    "failed",
    "off",
    "passed",
    "waiting",
}


def check_selftest_state(value: str) -> SelftestState:
    if value in SELFTEST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SELFTEST_STATE_VALUES!r}")
