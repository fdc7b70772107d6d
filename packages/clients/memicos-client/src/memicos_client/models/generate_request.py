from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="GenerateRequest")


@_attrs_define
class GenerateRequest:
    """
    Attributes:
        model_id (str): id of the model
        layer (str): id of the source; also accepted as `source`
        index (int | str): index of the feature in its source, 0 is the first; a number, or a string of digits
        explanation_type (str | Unset): how to explain: a method that the autointerp server has; highlighted-tokens is
            an older name of eleuther_acts_top20 Default: 'eleuther_acts_top20'.
        explanation_model_name (None | str | Unset): the language model as its provider names it; null or empty: the
            profile's default
        profile (None | str | Unset): provider, by its name on the autointerp server; null or empty: the default one
        contrastive (bool | Unset): whether the prompt has texts of similar features too, which it says not to describe
            Default: False.
        api_key (None | str | Unset): your own key for the profile: it is sent to that provider only, and not stored;
            null or empty: the key that you stored for the profile, or else the server's
    """

    model_id: str
    layer: str
    index: int | str
    explanation_type: str | Unset = "eleuther_acts_top20"
    explanation_model_name: None | str | Unset = UNSET
    profile: None | str | Unset = UNSET
    contrastive: bool | Unset = False
    api_key: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer = self.layer

        index: int | str
        index = self.index

        explanation_type = self.explanation_type

        explanation_model_name: None | str | Unset
        if isinstance(self.explanation_model_name, Unset):
            explanation_model_name = UNSET
        else:
            explanation_model_name = self.explanation_model_name

        profile: None | str | Unset
        if isinstance(self.profile, Unset):
            profile = UNSET
        else:
            profile = self.profile

        contrastive = self.contrastive

        api_key: None | str | Unset
        if isinstance(self.api_key, Unset):
            api_key = UNSET
        else:
            api_key = self.api_key

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "layer": layer,
                "index": index,
            }
        )
        if explanation_type is not UNSET:
            field_dict["explanationType"] = explanation_type
        if explanation_model_name is not UNSET:
            field_dict["explanationModelName"] = explanation_model_name
        if profile is not UNSET:
            field_dict["profile"] = profile
        if contrastive is not UNSET:
            field_dict["contrastive"] = contrastive
        if api_key is not UNSET:
            field_dict["apiKey"] = api_key

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        def _parse_index(data: object) -> int | str:
            return cast(int | str, data)

        index = _parse_index(d.pop("index"))

        explanation_type = d.pop("explanationType", UNSET)

        def _parse_explanation_model_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        explanation_model_name = _parse_explanation_model_name(d.pop("explanationModelName", UNSET))

        def _parse_profile(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        profile = _parse_profile(d.pop("profile", UNSET))

        contrastive = d.pop("contrastive", UNSET)

        def _parse_api_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        api_key = _parse_api_key(d.pop("apiKey", UNSET))

        generate_request = cls(
            model_id=model_id,
            layer=layer,
            index=index,
            explanation_type=explanation_type,
            explanation_model_name=explanation_model_name,
            profile=profile,
            contrastive=contrastive,
            api_key=api_key,
        )

        generate_request.additional_properties = d
        return generate_request

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
