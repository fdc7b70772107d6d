from typing import Literal

ChatRequestTypesItem = Literal["DEFAULT", "STEERED"]

CHAT_REQUEST_TYPES_ITEM_VALUES: set[ChatRequestTypesItem] = {
    "DEFAULT",
    "STEERED",
}


def check_chat_request_types_item(value: str) -> ChatRequestTypesItem:
    if value in CHAT_REQUEST_TYPES_ITEM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CHAT_REQUEST_TYPES_ITEM_VALUES!r}")
