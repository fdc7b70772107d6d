from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SingleRequest")


@_attrs_define
class SingleRequest:
    """One direction on one prompt: `source` and `index`, or `vector` and `hook`.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        prompt (str): Text to run the model on. BOS is not prepended to a text that begins with it.
        source (None | str | Unset): Id of the source, one of `sources` in the capabilities, for example 15-res-4k.
            Together with `index`.
        index (int | None | str | Unset): Index of the feature in `source`, from 0; a string of digits is accepted too.
            Together with `source`.
        vector (list[float] | None | Unset): Direction to project activations at `hook` on: as many numbers as the hook
            point is wide. It is not normalised. BOS is prepended only if the tokenizer does so itself. Together with
            `hook`.
        hook (None | str | Unset): Name of the hook point, TransformerLens' (blocks.15.hook_resid_post) or that of a
            module (model.layers.15). Together with `vector`.
        ignore_bos (bool | Unset): Whether to exclude ignored positions from `max_value` and `max_value_index`. Default:
            False.
    """

    model: str
    prompt: str
    source: None | str | Unset = UNSET
    index: int | None | str | Unset = UNSET
    vector: list[float] | None | Unset = UNSET
    hook: None | str | Unset = UNSET
    ignore_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        prompt = self.prompt

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
                "prompt": prompt,
            }
        )
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
        d = dict(src_dict)
        model = d.pop("model")

        prompt = d.pop("prompt")

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
            prompt=prompt,
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
