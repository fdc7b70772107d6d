from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.raw_request_type import RawRequestType, check_raw_request_type
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.raw_request_chat_template_kwargs import RawRequestChatTemplateKwargs
    from ..models.template_message import TemplateMessage


T = TypeVar("T", bound="RawRequest")


@_attrs_define
class RawRequest:
    """Where to capture: at `hook_point` of `layers`, or at `hooks`.

    Attributes:
        prepend_bos (bool | None | Unset): Whether to prepend BOS to a prompt that does not begin with it; null: a text
            as the source was trained (a vector, or no source: as the tokenizer does), a conversation as the chat template
            writes it.
        add_generation_prompt (bool | Unset): With `messages`: whether to open the assistant's turn at the end. Default:
            True.
        chat_template_kwargs (RawRequestChatTemplateKwargs | Unset): With `messages`: variables of the model's chat
            template by name, for example enable_thinking.
        prompts (list[str] | None | Unset): Texts to run the model on, at most `max_prompts` in the capabilities'
            limits; each gets the result it would get alone, up to rounding. Not together with `messages`.
        messages (list[list[TemplateMessage]] | None | Unset): Conversations to run the model on, as many as `prompts`
            may have, each rendered with the model's chat template. A model without one refuses it. Not together with
            `prompts`.
        model (None | str | Unset): Id of the model; null: the model that the server runs.
        layers (list[int] | None | Unset): Layers, from 0; null: all layers. Not together with `hooks`.
        hook_point (Literal['residual_stream'] | Unset): Where in each of `layers` to capture: the stream after the
            block, blocks.N.hook_resid_post. Default: 'residual_stream'.
        hooks (list[str] | None | Unset): Names of the hook points, TransformerLens' or those of modules
            (model.layers.3.mlp), instead of `layers` and `hook_point`; at most `max_hooks` in the capabilities' limits.
        type_ (RawRequestType | Unset): `final_output_token`: activations of each prompt's last token only;
            `all_tokens`: of every token. Default: 'final_output_token'.
    """

    prepend_bos: bool | None | Unset = UNSET
    add_generation_prompt: bool | Unset = True
    chat_template_kwargs: RawRequestChatTemplateKwargs | Unset = UNSET
    prompts: list[str] | None | Unset = UNSET
    messages: list[list[TemplateMessage]] | None | Unset = UNSET
    model: None | str | Unset = UNSET
    layers: list[int] | None | Unset = UNSET
    hook_point: Literal["residual_stream"] | Unset = "residual_stream"
    hooks: list[str] | None | Unset = UNSET
    type_: RawRequestType | Unset = "final_output_token"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        prepend_bos: bool | None | Unset
        if isinstance(self.prepend_bos, Unset):
            prepend_bos = UNSET
        else:
            prepend_bos = self.prepend_bos

        add_generation_prompt = self.add_generation_prompt

        chat_template_kwargs: dict[str, Any] | Unset = UNSET
        if not isinstance(self.chat_template_kwargs, Unset):
            chat_template_kwargs = self.chat_template_kwargs.to_dict()

        prompts: list[str] | None | Unset
        if isinstance(self.prompts, Unset):
            prompts = UNSET
        elif isinstance(self.prompts, list):
            prompts = self.prompts

        else:
            prompts = self.prompts

        messages: list[list[dict[str, Any]]] | None | Unset
        if isinstance(self.messages, Unset):
            messages = UNSET
        elif isinstance(self.messages, list):
            messages = []
            for messages_type_0_item_data in self.messages:
                messages_type_0_item = []
                for messages_type_0_item_item_data in messages_type_0_item_data:
                    messages_type_0_item_item = messages_type_0_item_item_data.to_dict()
                    messages_type_0_item.append(messages_type_0_item_item)

                messages.append(messages_type_0_item)

        else:
            messages = self.messages

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        layers: list[int] | None | Unset
        if isinstance(self.layers, Unset):
            layers = UNSET
        elif isinstance(self.layers, list):
            layers = self.layers

        else:
            layers = self.layers

        hook_point = self.hook_point

        hooks: list[str] | None | Unset
        if isinstance(self.hooks, Unset):
            hooks = UNSET
        elif isinstance(self.hooks, list):
            hooks = self.hooks

        else:
            hooks = self.hooks

        type_: str | Unset = UNSET
        if not isinstance(self.type_, Unset):
            type_ = self.type_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if prepend_bos is not UNSET:
            field_dict["prepend_bos"] = prepend_bos
        if add_generation_prompt is not UNSET:
            field_dict["add_generation_prompt"] = add_generation_prompt
        if chat_template_kwargs is not UNSET:
            field_dict["chat_template_kwargs"] = chat_template_kwargs
        if prompts is not UNSET:
            field_dict["prompts"] = prompts
        if messages is not UNSET:
            field_dict["messages"] = messages
        if model is not UNSET:
            field_dict["model"] = model
        if layers is not UNSET:
            field_dict["layers"] = layers
        if hook_point is not UNSET:
            field_dict["hook_point"] = hook_point
        if hooks is not UNSET:
            field_dict["hooks"] = hooks
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.raw_request_chat_template_kwargs import (
            RawRequestChatTemplateKwargs,  # noqa: PLC0415
        )
        from ..models.template_message import TemplateMessage  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_prepend_bos(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        prepend_bos = _parse_prepend_bos(d.pop("prepend_bos", UNSET))

        add_generation_prompt = d.pop("add_generation_prompt", UNSET)

        _chat_template_kwargs = d.pop("chat_template_kwargs", UNSET)
        chat_template_kwargs: RawRequestChatTemplateKwargs | Unset
        if isinstance(_chat_template_kwargs, Unset):
            chat_template_kwargs = UNSET
        else:
            chat_template_kwargs = RawRequestChatTemplateKwargs.from_dict(_chat_template_kwargs)

        def _parse_prompts(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                prompts_type_0 = cast(list[str], data)

                return prompts_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        prompts = _parse_prompts(d.pop("prompts", UNSET))

        def _parse_messages(data: object) -> list[list[TemplateMessage]] | None | Unset:
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
                    messages_type_0_item = []
                    _messages_type_0_item = messages_type_0_item_data
                    for messages_type_0_item_item_data in _messages_type_0_item:
                        messages_type_0_item_item = TemplateMessage.from_dict(messages_type_0_item_item_data)

                        messages_type_0_item.append(messages_type_0_item_item)

                    messages_type_0.append(messages_type_0_item)

                return messages_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[list[TemplateMessage]] | None | Unset, data)

        messages = _parse_messages(d.pop("messages", UNSET))

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_layers(data: object) -> list[int] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                layers_type_0 = cast(list[int], data)

                return layers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[int] | None | Unset, data)

        layers = _parse_layers(d.pop("layers", UNSET))

        hook_point = cast(Literal["residual_stream"] | Unset, d.pop("hook_point", UNSET))
        if hook_point != "residual_stream" and not isinstance(hook_point, Unset):
            raise ValueError(f"hook_point must match const 'residual_stream', got '{hook_point}'")

        def _parse_hooks(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                hooks_type_0 = cast(list[str], data)

                return hooks_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        hooks = _parse_hooks(d.pop("hooks", UNSET))

        _type_ = d.pop("type", UNSET)
        type_: RawRequestType | Unset
        if isinstance(_type_, Unset):
            type_ = UNSET
        else:
            type_ = check_raw_request_type(_type_)

        raw_request = cls(
            prepend_bos=prepend_bos,
            add_generation_prompt=add_generation_prompt,
            chat_template_kwargs=chat_template_kwargs,
            prompts=prompts,
            messages=messages,
            model=model,
            layers=layers,
            hook_point=hook_point,
            hooks=hooks,
            type_=type_,
        )

        raw_request.additional_properties = d
        return raw_request

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
