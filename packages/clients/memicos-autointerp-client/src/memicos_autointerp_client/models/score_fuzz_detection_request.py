from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.score_fuzz_detection_request_type import (
    ScoreFuzzDetectionRequestType,
    check_score_fuzz_detection_request_type,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.activation import Activation


T = TypeVar("T", bound="ScoreFuzzDetectionRequest")


@_attrs_define
class ScoreFuzzDetectionRequest:
    """
    Attributes:
        activations (list[Activation]): texts on which the feature is active (a value is above 0), and texts on which it
            is not; at least 5 of each, and at most AUTOINTERP_MAX_ACTIVATIONS in all
        explanation (str): the explanation to score
        type_ (ScoreFuzzDetectionRequestType): FUZZ: whether the marked tokens fit the explanation; DETECTION: whether
            the text has what it names
        model (None | str | Unset): model, as its endpoint names it; null: the profile's default. Without a key of the
            request one of the profile's models (AUTOINTERP_MODEL, AUTOINTERP_MODELS for the default profile)
        profile (None | str | Unset): provider by its name on this server; null: the default profile
        openrouter_key (None | str | Unset): the client's key for OpenRouter, sent only there; empty is the same as null
        api_key (None | str | Unset): the client's key for profile or base_url, or for the default profile where both
            are null
        base_url (None | str | Unset): another endpoint that this server allows; needs api_key and model. With profile:
            the only endpoint that api_key may be sent to, so that a profile with another one is refused
        seed (int | Unset): of the order of the texts, of random marks and of the bootstrap Default: 0.
    """

    activations: list[Activation]
    explanation: str
    type_: ScoreFuzzDetectionRequestType
    model: None | str | Unset = UNSET
    profile: None | str | Unset = UNSET
    openrouter_key: None | str | Unset = UNSET
    api_key: None | str | Unset = UNSET
    base_url: None | str | Unset = UNSET
    seed: int | Unset = 0
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        explanation = self.explanation

        type_: str = self.type_

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        profile: None | str | Unset
        if isinstance(self.profile, Unset):
            profile = UNSET
        else:
            profile = self.profile

        openrouter_key: None | str | Unset
        if isinstance(self.openrouter_key, Unset):
            openrouter_key = UNSET
        else:
            openrouter_key = self.openrouter_key

        api_key: None | str | Unset
        if isinstance(self.api_key, Unset):
            api_key = UNSET
        else:
            api_key = self.api_key

        base_url: None | str | Unset
        if isinstance(self.base_url, Unset):
            base_url = UNSET
        else:
            base_url = self.base_url

        seed = self.seed

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activations": activations,
                "explanation": explanation,
                "type": type_,
            }
        )
        if model is not UNSET:
            field_dict["model"] = model
        if profile is not UNSET:
            field_dict["profile"] = profile
        if openrouter_key is not UNSET:
            field_dict["openrouter_key"] = openrouter_key
        if api_key is not UNSET:
            field_dict["api_key"] = api_key
        if base_url is not UNSET:
            field_dict["base_url"] = base_url
        if seed is not UNSET:
            field_dict["seed"] = seed

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.activation import Activation  # noqa: PLC0415

        d = dict(src_dict)
        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = Activation.from_dict(activations_item_data)

            activations.append(activations_item)

        explanation = d.pop("explanation")

        type_ = check_score_fuzz_detection_request_type(d.pop("type"))

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_profile(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        profile = _parse_profile(d.pop("profile", UNSET))

        def _parse_openrouter_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        openrouter_key = _parse_openrouter_key(d.pop("openrouter_key", UNSET))

        def _parse_api_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        api_key = _parse_api_key(d.pop("api_key", UNSET))

        def _parse_base_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        base_url = _parse_base_url(d.pop("base_url", UNSET))

        seed = d.pop("seed", UNSET)

        score_fuzz_detection_request = cls(
            activations=activations,
            explanation=explanation,
            type_=type_,
            model=model,
            profile=profile,
            openrouter_key=openrouter_key,
            api_key=api_key,
            base_url=base_url,
            seed=seed,
        )

        score_fuzz_detection_request.additional_properties = d
        return score_fuzz_detection_request

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
