from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.raw_request_type import RawRequestType, check_raw_request_type
from ..types import UNSET, Unset

T = TypeVar("T", bound="RawRequest")


@_attrs_define
class RawRequest:
    """Where to capture: at `hook_point` of `layers`, or at `hooks`.

    Attributes:
        prompts (list[str]): Prompts; each gets the result it would get alone, up to rounding.
        model (None | str | Unset): Id of the model; null: the model that the server runs.
        layers (list[int] | None | Unset): Layers, from 0; null: all layers. Not together with `hooks`.
        hook_point (Literal['residual_stream'] | Unset): Where in each of `layers` to capture: the stream after the
            block, blocks.N.hook_resid_post. Default: 'residual_stream'.
        hooks (list[str] | None | Unset): Names of the hook points, TransformerLens' or those of modules
            (model.layers.3.mlp), instead of `layers` and `hook_point`; at most `max_hooks` in the capabilities' limits.
        type_ (RawRequestType | Unset): `final_output_token`: activations of each prompt's last token only;
            `all_tokens`: of every token. Default: 'final_output_token'.
        prepend_bos (bool | None | Unset): Whether to prepend BOS; null: as the first source was trained, or as the
            tokenizer does if there are no sources.
    """

    prompts: list[str]
    model: None | str | Unset = UNSET
    layers: list[int] | None | Unset = UNSET
    hook_point: Literal["residual_stream"] | Unset = "residual_stream"
    hooks: list[str] | None | Unset = UNSET
    type_: RawRequestType | Unset = "final_output_token"
    prepend_bos: bool | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        prompts = self.prompts

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

        prepend_bos: bool | None | Unset
        if isinstance(self.prepend_bos, Unset):
            prepend_bos = UNSET
        else:
            prepend_bos = self.prepend_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "prompts": prompts,
            }
        )
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
        if prepend_bos is not UNSET:
            field_dict["prepend_bos"] = prepend_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        prompts = cast(list[str], d.pop("prompts"))

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

        def _parse_prepend_bos(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        prepend_bos = _parse_prepend_bos(d.pop("prepend_bos", UNSET))

        raw_request = cls(
            prompts=prompts,
            model=model,
            layers=layers,
            hook_point=hook_point,
            hooks=hooks,
            type_=type_,
            prepend_bos=prepend_bos,
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
