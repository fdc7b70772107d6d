from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.all_request_chat_template_kwargs import AllRequestChatTemplateKwargs
    from ..models.template_message import TemplateMessage


T = TypeVar("T", bound="AllRequest")


@_attrs_define
class AllRequest:
    """The strongest features of several sources on one prompt.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        source_set (str): Name of the source set, for example res-4k.
        prepend_bos (bool | None | Unset): Whether to prepend BOS to a prompt that does not begin with it; null: a text
            as the source was trained (a vector, or no source: as the tokenizer does), a conversation as the chat template
            writes it.
        add_generation_prompt (bool | Unset): With `messages`: whether to open the assistant's turn at the end. Default:
            True.
        chat_template_kwargs (AllRequestChatTemplateKwargs | Unset): With `messages`: variables of the model's chat
            template by name, for example enable_thinking.
        prompt (None | str | Unset): Text to run the model on. BOS is not prepended to a text that begins with it. Not
            together with `messages`.
        messages (list[TemplateMessage] | None | Unset): Conversation to run the model on, oldest message first,
            rendered with the model's chat template. A model without one refuses it. Not together with `prompt`.
        selected_sources (list[str] | Unset): Ids of sources of the set; empty: every source of the set. At most
            `max_loaded_saes` in the capabilities' limits.
        sort_by_token_indexes (list[int] | Unset): Token positions, from 0: rank by the sum of values at these
            positions. Empty: rank by the maximum.
        ignore_bos (bool | Unset): Whether to exclude ignored positions from maximum, sum and ranking. Default: True.
        num_results (int | None | Unset): Largest number of features per prompt, at most `max_num_results` in the
            capabilities' limits; null: 25. Default: 25.
        feature_filter (list[int] | None | Unset): Indexes of the only features to return, inactive ones included; null:
            all active features. Requires that exactly one source is selected.
    """

    model: str
    source_set: str
    prepend_bos: bool | None | Unset = UNSET
    add_generation_prompt: bool | Unset = True
    chat_template_kwargs: AllRequestChatTemplateKwargs | Unset = UNSET
    prompt: None | str | Unset = UNSET
    messages: list[TemplateMessage] | None | Unset = UNSET
    selected_sources: list[str] | Unset = UNSET
    sort_by_token_indexes: list[int] | Unset = UNSET
    ignore_bos: bool | Unset = True
    num_results: int | None | Unset = 25
    feature_filter: list[int] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        source_set = self.source_set

        prepend_bos: bool | None | Unset
        if isinstance(self.prepend_bos, Unset):
            prepend_bos = UNSET
        else:
            prepend_bos = self.prepend_bos

        add_generation_prompt = self.add_generation_prompt

        chat_template_kwargs: dict[str, Any] | Unset = UNSET
        if not isinstance(self.chat_template_kwargs, Unset):
            chat_template_kwargs = self.chat_template_kwargs.to_dict()

        prompt: None | str | Unset
        if isinstance(self.prompt, Unset):
            prompt = UNSET
        else:
            prompt = self.prompt

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

        selected_sources: list[str] | Unset = UNSET
        if not isinstance(self.selected_sources, Unset):
            selected_sources = self.selected_sources

        sort_by_token_indexes: list[int] | Unset = UNSET
        if not isinstance(self.sort_by_token_indexes, Unset):
            sort_by_token_indexes = self.sort_by_token_indexes

        ignore_bos = self.ignore_bos

        num_results: int | None | Unset
        if isinstance(self.num_results, Unset):
            num_results = UNSET
        else:
            num_results = self.num_results

        feature_filter: list[int] | None | Unset
        if isinstance(self.feature_filter, Unset):
            feature_filter = UNSET
        elif isinstance(self.feature_filter, list):
            feature_filter = self.feature_filter

        else:
            feature_filter = self.feature_filter

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "source_set": source_set,
            }
        )
        if prepend_bos is not UNSET:
            field_dict["prepend_bos"] = prepend_bos
        if add_generation_prompt is not UNSET:
            field_dict["add_generation_prompt"] = add_generation_prompt
        if chat_template_kwargs is not UNSET:
            field_dict["chat_template_kwargs"] = chat_template_kwargs
        if prompt is not UNSET:
            field_dict["prompt"] = prompt
        if messages is not UNSET:
            field_dict["messages"] = messages
        if selected_sources is not UNSET:
            field_dict["selected_sources"] = selected_sources
        if sort_by_token_indexes is not UNSET:
            field_dict["sort_by_token_indexes"] = sort_by_token_indexes
        if ignore_bos is not UNSET:
            field_dict["ignore_bos"] = ignore_bos
        if num_results is not UNSET:
            field_dict["num_results"] = num_results
        if feature_filter is not UNSET:
            field_dict["feature_filter"] = feature_filter

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.all_request_chat_template_kwargs import (
            AllRequestChatTemplateKwargs,  # noqa: PLC0415
        )
        from ..models.template_message import TemplateMessage  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        source_set = d.pop("source_set")

        def _parse_prepend_bos(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        prepend_bos = _parse_prepend_bos(d.pop("prepend_bos", UNSET))

        add_generation_prompt = d.pop("add_generation_prompt", UNSET)

        _chat_template_kwargs = d.pop("chat_template_kwargs", UNSET)
        chat_template_kwargs: AllRequestChatTemplateKwargs | Unset
        if isinstance(_chat_template_kwargs, Unset):
            chat_template_kwargs = UNSET
        else:
            chat_template_kwargs = AllRequestChatTemplateKwargs.from_dict(_chat_template_kwargs)

        def _parse_prompt(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        prompt = _parse_prompt(d.pop("prompt", UNSET))

        def _parse_messages(data: object) -> list[TemplateMessage] | None | Unset:
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
                    messages_type_0_item = TemplateMessage.from_dict(messages_type_0_item_data)

                    messages_type_0.append(messages_type_0_item)

                return messages_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[TemplateMessage] | None | Unset, data)

        messages = _parse_messages(d.pop("messages", UNSET))

        selected_sources = cast(list[str], d.pop("selected_sources", UNSET))

        sort_by_token_indexes = cast(list[int], d.pop("sort_by_token_indexes", UNSET))

        ignore_bos = d.pop("ignore_bos", UNSET)

        def _parse_num_results(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        num_results = _parse_num_results(d.pop("num_results", UNSET))

        def _parse_feature_filter(data: object) -> list[int] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                feature_filter_type_0 = cast(list[int], data)

                return feature_filter_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[int] | None | Unset, data)

        feature_filter = _parse_feature_filter(d.pop("feature_filter", UNSET))

        all_request = cls(
            model=model,
            source_set=source_set,
            prepend_bos=prepend_bos,
            add_generation_prompt=add_generation_prompt,
            chat_template_kwargs=chat_template_kwargs,
            prompt=prompt,
            messages=messages,
            selected_sources=selected_sources,
            sort_by_token_indexes=sort_by_token_indexes,
            ignore_bos=ignore_bos,
            num_results=num_results,
            feature_filter=feature_filter,
        )

        all_request.additional_properties = d
        return all_request

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
