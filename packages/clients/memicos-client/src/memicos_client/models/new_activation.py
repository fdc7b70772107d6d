from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.chat_message import ChatMessage
    from ..models.feature_id import FeatureId


T = TypeVar("T", bound="NewActivation")


@_attrs_define
class NewActivation:
    """
    Attributes:
        feature (FeatureId): A feature, with the field names of all published clients.
        messages (list[ChatMessage] | None | Unset): a conversation in place of a text, oldest message first; it is
            rendered with the model's chat template, and refused for a model without one
        add_generation_prompt (bool | Unset): with messages: open the assistant's turn at the end Default: True.
        prepend_bos (bool | None | Unset): put BOS before a prompt that does not begin with it; null: a text as the
            source was trained, a conversation as the chat template writes it
        custom_text (list[str] | None | str | Unset): one text, or a list, at most 4 (setting MEMICOS_TEXTS_AT_ONCE);
            exactly one of customText and messages
        ignore_bos (bool | Unset): leave the recipe's ignored positions out of the maximum Default: False.
    """

    feature: FeatureId
    messages: list[ChatMessage] | None | Unset = UNSET
    add_generation_prompt: bool | Unset = True
    prepend_bos: bool | None | Unset = UNSET
    custom_text: list[str] | None | str | Unset = UNSET
    ignore_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        feature = self.feature.to_dict()

        messages: list[dict[str, Any]] | None | Unset
        if isinstance(self.messages, Unset):
            messages = UNSET
        elif isinstance(self.messages, list):
            messages = []
            for messages_type_0_item_data in self.messages:
                messages_type_0_item = messages_type_0_item_data.to_dict()
                messages.append(messages_type_0_item)

        else:
            messages = self.messages

        add_generation_prompt = self.add_generation_prompt

        prepend_bos: bool | None | Unset
        if isinstance(self.prepend_bos, Unset):
            prepend_bos = UNSET
        else:
            prepend_bos = self.prepend_bos

        custom_text: list[str] | None | str | Unset
        if isinstance(self.custom_text, Unset):
            custom_text = UNSET
        elif isinstance(self.custom_text, list):
            custom_text = self.custom_text

        else:
            custom_text = self.custom_text

        ignore_bos = self.ignore_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "feature": feature,
            }
        )
        if messages is not UNSET:
            field_dict["messages"] = messages
        if add_generation_prompt is not UNSET:
            field_dict["addGenerationPrompt"] = add_generation_prompt
        if prepend_bos is not UNSET:
            field_dict["prependBos"] = prepend_bos
        if custom_text is not UNSET:
            field_dict["customText"] = custom_text
        if ignore_bos is not UNSET:
            field_dict["ignoreBos"] = ignore_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.chat_message import ChatMessage  # noqa: PLC0415
        from ..models.feature_id import FeatureId  # noqa: PLC0415

        d = dict(src_dict)
        feature = FeatureId.from_dict(d.pop("feature"))

        def _parse_messages(data: object) -> list[ChatMessage] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                messages_type_0 = []
                _messages_type_0 = data
                for messages_type_0_item_data in _messages_type_0:
                    messages_type_0_item = ChatMessage.from_dict(messages_type_0_item_data)

                    messages_type_0.append(messages_type_0_item)

                return messages_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ChatMessage] | None | Unset, data)

        messages = _parse_messages(d.pop("messages", UNSET))

        add_generation_prompt = d.pop("addGenerationPrompt", UNSET)

        def _parse_prepend_bos(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        prepend_bos = _parse_prepend_bos(d.pop("prependBos", UNSET))

        def _parse_custom_text(data: object) -> list[str] | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                custom_text_type_1 = cast(list[str], data)

                return custom_text_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | str | Unset, data)

        custom_text = _parse_custom_text(d.pop("customText", UNSET))

        ignore_bos = d.pop("ignoreBos", UNSET)

        new_activation = cls(
            feature=feature,
            messages=messages,
            add_generation_prompt=add_generation_prompt,
            prepend_bos=prepend_bos,
            custom_text=custom_text,
            ignore_bos=ignore_bos,
        )

        new_activation.additional_properties = d
        return new_activation

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
