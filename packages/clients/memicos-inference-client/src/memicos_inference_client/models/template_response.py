from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.template_response_template import (
    TemplateResponseTemplate,
    check_template_response_template,
)

if TYPE_CHECKING:
    from ..models.template_span import TemplateSpan


T = TypeVar("T", bound="TemplateResponse")


@_attrs_define
class TemplateResponse:
    """The rendered conversation and its tokens.

    Attributes:
        prompt (str): The conversation as rendered by the chat template, special tokens included.
        tokens (list[int]): Vocabulary id of each token of `prompt`; BOS only if the template writes it.
        spans (list[TemplateSpan]): Message and section of each token, one entry per token.
        template (TemplateResponseTemplate): Template used: the model's own (`model`), or ChatML if the model has none
            (`chatml`).
    """

    prompt: str
    tokens: list[int]
    spans: list[TemplateSpan]
    template: TemplateResponseTemplate
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        prompt = self.prompt

        tokens = self.tokens

        spans = []
        for spans_item_data in self.spans:
            spans_item = spans_item_data.to_dict()
            spans.append(spans_item)

        template: str = self.template

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "prompt": prompt,
                "tokens": tokens,
                "spans": spans,
                "template": template,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.template_span import TemplateSpan  # noqa: PLC0415

        d = dict(src_dict)
        prompt = d.pop("prompt")

        tokens = cast(list[int], d.pop("tokens"))

        spans = []
        _spans = d.pop("spans")
        for spans_item_data in _spans:
            spans_item = TemplateSpan.from_dict(spans_item_data)

            spans.append(spans_item)

        template = check_template_response_template(d.pop("template"))

        template_response = cls(
            prompt=prompt,
            tokens=tokens,
            spans=spans,
            template=template,
        )

        template_response.additional_properties = d
        return template_response

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
