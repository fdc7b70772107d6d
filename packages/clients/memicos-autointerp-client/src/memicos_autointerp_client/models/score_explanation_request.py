from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.score_explanation_request_method import (
    ScoreExplanationRequestMethod,
    check_score_explanation_request_method,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.text_to_score import TextToScore


T = TypeVar("T", bound="ScoreExplanationRequest")


@_attrs_define
class ScoreExplanationRequest:
    """
    Attributes:
        activations (list[TextToScore]): texts on which the feature is active (a value is above 0), and texts on which
            it is not; at least 5 of each, and at most AUTOINTERP_MAX_ACTIVATIONS in all
        explanation (str): the explanation to score
        method (ScoreExplanationRequestMethod): scorer; eleuther_embedding needs no key
        model (None | str | Unset): model, as its endpoint names it; null: the profile's default. Without a key of the
            request one of the profile's models (AUTOINTERP_MODEL, AUTOINTERP_MODELS for the default profile)
        profile (None | str | Unset): provider by its name on this server; null: the default profile
        openrouter_key (None | str | Unset): the client's key for OpenRouter, sent only there; empty is the same as null
        api_key (None | str | Unset): the client's key for profile or base_url, or for the default profile where both
            are null
        base_url (None | str | Unset): another endpoint that this server allows; needs api_key and model. With profile:
            the only endpoint that api_key may be sent to, so that a profile with another one is refused
        seed (int | Unset): of the order of the texts, of random marks and of the bootstrap Default: 0.
        attempt (int | Unset): another number asks the language model again for what is stored Default: 0.
        stream (bool | Unset): respond with server-sent events; the last one is the score Default: False.
        stream_steps (bool | Unset): with `stream`: also send an event after each request to the model Default: False.
    """

    activations: list[TextToScore]
    explanation: str
    method: ScoreExplanationRequestMethod
    model: None | str | Unset = UNSET
    profile: None | str | Unset = UNSET
    openrouter_key: None | str | Unset = UNSET
    api_key: None | str | Unset = UNSET
    base_url: None | str | Unset = UNSET
    seed: int | Unset = 0
    attempt: int | Unset = 0
    stream: bool | Unset = False
    stream_steps: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        explanation = self.explanation

        method: str = self.method

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

        attempt = self.attempt

        stream = self.stream

        stream_steps = self.stream_steps

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activations": activations,
                "explanation": explanation,
                "method": method,
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
        if attempt is not UNSET:
            field_dict["attempt"] = attempt
        if stream is not UNSET:
            field_dict["stream"] = stream
        if stream_steps is not UNSET:
            field_dict["stream_steps"] = stream_steps

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.text_to_score import TextToScore  # noqa: PLC0415

        d = dict(src_dict)
        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = TextToScore.from_dict(activations_item_data)

            activations.append(activations_item)

        explanation = d.pop("explanation")

        method = check_score_explanation_request_method(d.pop("method"))

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

        attempt = d.pop("attempt", UNSET)

        stream = d.pop("stream", UNSET)

        stream_steps = d.pop("stream_steps", UNSET)

        score_explanation_request = cls(
            activations=activations,
            explanation=explanation,
            method=method,
            model=model,
            profile=profile,
            openrouter_key=openrouter_key,
            api_key=api_key,
            base_url=base_url,
            seed=seed,
            attempt=attempt,
            stream=stream,
            stream_steps=stream_steps,
        )

        score_explanation_request.additional_properties = d
        return score_explanation_request

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
