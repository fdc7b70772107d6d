from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.template_span_section import (
    TemplateSpanSection,
    check_template_span_section,
)

T = TypeVar("T", bound="TemplateSpan")


@_attrs_define
class TemplateSpan:
    """Message and section of a token. A token that crosses a boundary belongs where most of its characters are.

    Attributes:
        position (int): Position of the token in `tokens`, from 0.
        token_id (int): Vocabulary id of the token.
        token_str (str): What the token adds to the text; empty if a later token completes its character.
        message_index (int | None): Index of the message in the request's `messages`, from 0; null for `scaffold`.
        role (None | str): Role of the message; null for `scaffold`.
        channel (None | str): Channel of the message; null if it has none, and for `scaffold`.
        section (TemplateSpanSection): Part of the message: `header` before its content, `content`, `footer` after it.
            `scaffold`: part of no message, that is BOS, a system message added by the template, or the opened assistant's
            turn. A special token within a content counts as content.
    """

    position: int
    token_id: int
    token_str: str
    message_index: int | None
    role: None | str
    channel: None | str
    section: TemplateSpanSection
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        position = self.position

        token_id = self.token_id

        token_str = self.token_str

        message_index: int | None
        message_index = self.message_index

        role: None | str
        role = self.role

        channel: None | str
        channel = self.channel

        section: str = self.section

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "position": position,
                "token_id": token_id,
                "token_str": token_str,
                "message_index": message_index,
                "role": role,
                "channel": channel,
                "section": section,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        position = d.pop("position")

        token_id = d.pop("token_id")

        token_str = d.pop("token_str")

        def _parse_message_index(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        message_index = _parse_message_index(d.pop("message_index"))

        def _parse_role(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        role = _parse_role(d.pop("role"))

        def _parse_channel(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        channel = _parse_channel(d.pop("channel"))

        section = check_template_span_section(d.pop("section"))

        template_span = cls(
            position=position,
            token_id=token_id,
            token_str=token_str,
            message_index=message_index,
            role=role,
            channel=channel,
            section=section,
        )

        template_span.additional_properties = d
        return template_span

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
