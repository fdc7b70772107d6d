from typing import Literal

MissingSources = Literal["keep", "refuse", "retire"]

MISSING_SOURCES_VALUES: set[MissingSources] = {
    "keep",
    "refuse",
    "retire",
}


def check_missing_sources(value: str) -> MissingSources:
    if value in MISSING_SOURCES_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MISSING_SOURCES_VALUES!r}")
