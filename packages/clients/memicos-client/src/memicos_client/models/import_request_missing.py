from typing import Literal

ImportRequestMissing = Literal["keep", "refuse", "retire"]

IMPORT_REQUEST_MISSING_VALUES: set[ImportRequestMissing] = {
    "keep",
    "refuse",
    "retire",
}


def check_import_request_missing(value: str) -> ImportRequestMissing:
    if value in IMPORT_REQUEST_MISSING_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMPORT_REQUEST_MISSING_VALUES!r}")
