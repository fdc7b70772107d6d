from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.chat_message import ChatMessage


T = TypeVar("T", bound="ChatInput")


@_attrs_define
class ChatInput:
    """The prompt of a chat.

    Attributes:
        chat_template (list[ChatMessage]): Messages of the request.
        raw (str): Conversation as rendered by the chat template, special tokens included.
        token_ids (list[int]): Vocabulary id of each token of `raw`.
    """

    chat_template: list[ChatMessage]
    raw: str
    token_ids: list[int]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        chat_template = []
        for chat_template_item_data in self.chat_template:
            chat_template_item = chat_template_item_data.to_dict()
            chat_template.append(chat_template_item)

        raw = self.raw

        token_ids = self.token_ids

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "chat_template": chat_template,
                "raw": raw,
                "token_ids": token_ids,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.chat_message import ChatMessage  # noqa: PLC0415

        d = dict(src_dict)
        chat_template = []
        _chat_template = d.pop("chat_template")
        for chat_template_item_data in _chat_template:
            chat_template_item = ChatMessage.from_dict(chat_template_item_data)

            chat_template.append(chat_template_item)

        raw = d.pop("raw")

        token_ids = cast(list[int], d.pop("token_ids"))

        chat_input = cls(
            chat_template=chat_template,
            raw=raw,
            token_ids=token_ids,
        )

        chat_input.additional_properties = d
        return chat_input

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
