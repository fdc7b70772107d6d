from typing import Literal

CompletionRequestTypesItem = Literal["DEFAULT", "STEERED"]

COMPLETION_REQUEST_TYPES_ITEM_VALUES: set[CompletionRequestTypesItem] = {
    "DEFAULT",
    "STEERED",
}


def check_completion_request_types_item(value: str) -> CompletionRequestTypesItem:
    if value in COMPLETION_REQUEST_TYPES_ITEM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {COMPLETION_REQUEST_TYPES_ITEM_VALUES!r}")
