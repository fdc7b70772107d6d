from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.single_request_chat_template_kwargs import (
        SingleRequestChatTemplateKwargs,
    )
    from ..models.template_message import TemplateMessage


T = TypeVar("T", bound="SingleRequest")


@_attrs_define
class SingleRequest:
    """One direction on one prompt: `source` and `index`, or `vector` and `hook`.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        prepend_bos (bool | None | Unset): Whether to prepend BOS to a prompt that does not begin with it; null: a text
            as the source was trained (a vector, or no source: as the tokenizer does), a conversation as the chat template
            writes it.
        add_generation_prompt (bool | Unset): With `messages`: whether to open the assistant's turn at the end. Default:
            True.
        chat_template_kwargs (SingleRequestChatTemplateKwargs | Unset): With `messages`: variables of the model's chat
            template by name, for example enable_thinking.
        prompt (None | str | Unset): Text to run the model on. BOS is not prepended to a text that begins with it. Not
            together with `messages`.
        messages (list[TemplateMessage] | None | Unset): Conversation to run the model on, oldest message first,
            rendered with the model's chat template. A model without one refuses it. Not together with `prompt`.
        source (None | str | Unset): Id of the source, one of `sources` in the capabilities, for example 15-res-4k.
            Together with `index`.
        index (int | None | str | Unset): Index of the feature in `source`, from 0; a string of digits is accepted too.
            Together with `source`.
        vector (list[float] | None | Unset): Direction to project activations at `hook` on: as many numbers as the hook
            point is wide. It is not normalised. Together with `hook`.
        hook (None | str | Unset): Name of the hook point, TransformerLens' (blocks.15.hook_resid_post) or that of a
            module (model.layers.15). Together with `vector`.
        ignore_bos (bool | Unset): Whether to exclude ignored positions from `max_value` and `max_value_index`. Default:
            False.
    """

    model: str
    prepend_bos: bool | None | Unset = UNSET
    add_generation_prompt: bool | Unset = True
    chat_template_kwargs: SingleRequestChatTemplateKwargs | Unset = UNSET
    prompt: None | str | Unset = UNSET
    messages: list[TemplateMessage] | None | Unset = UNSET
    source: None | str | Unset = UNSET
    index: int | None | str | Unset = UNSET
    vector: list[float] | None | Unset = UNSET
    hook: None | str | Unset = UNSET
    ignore_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

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

        source: None | str | Unset
        if isinstance(self.source, Unset):
            source = UNSET
        else:
            source = self.source

        index: int | None | str | Unset
        if isinstance(self.index, Unset):
            index = UNSET
        else:
            index = self.index

        vector: list[float] | None | Unset
        if isinstance(self.vector, Unset):
            vector = UNSET
        elif isinstance(self.vector, list):
            vector = self.vector

        else:
            vector = self.vector

        hook: None | str | Unset
        if isinstance(self.hook, Unset):
            hook = UNSET
        else:
            hook = self.hook

        ignore_bos = self.ignore_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
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
        if source is not UNSET:
            field_dict["source"] = source
        if index is not UNSET:
            field_dict["index"] = index
        if vector is not UNSET:
            field_dict["vector"] = vector
        if hook is not UNSET:
            field_dict["hook"] = hook
        if ignore_bos is not UNSET:
            field_dict["ignore_bos"] = ignore_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.single_request_chat_template_kwargs import (
            SingleRequestChatTemplateKwargs,  # noqa: PLC0415
        )
        from ..models.template_message import TemplateMessage  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        def _parse_prepend_bos(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        prepend_bos = _parse_prepend_bos(d.pop("prepend_bos", UNSET))

        add_generation_prompt = d.pop("add_generation_prompt", UNSET)

        _chat_template_kwargs = d.pop("chat_template_kwargs", UNSET)
        chat_template_kwargs: SingleRequestChatTemplateKwargs | Unset
        if isinstance(_chat_template_kwargs, Unset):
            chat_template_kwargs = UNSET
        else:
            chat_template_kwargs = SingleRequestChatTemplateKwargs.from_dict(_chat_template_kwargs)

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

        def _parse_source(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source = _parse_source(d.pop("source", UNSET))

        def _parse_index(data: object) -> int | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | str | Unset, data)

        index = _parse_index(d.pop("index", UNSET))

        def _parse_vector(data: object) -> list[float] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                vector_type_0 = cast(list[float], data)

                return vector_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[float] | None | Unset, data)

        vector = _parse_vector(d.pop("vector", UNSET))

        def _parse_hook(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        hook = _parse_hook(d.pop("hook", UNSET))

        ignore_bos = d.pop("ignore_bos", UNSET)

        single_request = cls(
            model=model,
            prepend_bos=prepend_bos,
            add_generation_prompt=add_generation_prompt,
            chat_template_kwargs=chat_template_kwargs,
            prompt=prompt,
            messages=messages,
            source=source,
            index=index,
            vector=vector,
            hook=hook,
            ignore_bos=ignore_bos,
        )

        single_request.additional_properties = d
        return single_request

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
