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
    """What a token is. One that reaches over a border is what most of its characters are.

    Attributes:
        position (int):
        token_id (int):
        token_str (str):
        message_index (int | None): place in `messages`; null in a scaffold
        role (None | str):
        channel (None | str):
        section (TemplateSpanSection): scaffold: what belongs to no message: a BOS, a system message that the template
            adds, and the assistant's turn where it is opened. A special token in a content is content
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
