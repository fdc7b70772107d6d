from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ScoreRequest")


@_attrs_define
class ScoreRequest:
    """An explanation, the method, and the language model that judges.

    Attributes:
        explanation_id (int): id of the explanation; a number, or a string of digits
        scorer_type (str | Unset): method: one of eleuther_embedding, eleuther_fuzz, eleuther_recall, recall_alt,
            simulation, output_texts, output_tokens Default: 'eleuther_embedding'.
        scorer_model (None | str | Unset): the language model as its provider names it; null or empty: the profile's
            default
        profile (None | str | Unset): provider, by its name on the autointerp server; null or empty: the default one
        api_key (None | str | Unset): your own key for the profile: it is sent to that provider only, and not stored;
            null or empty: the key that you stored for the profile, or else the server's
        near_misses (bool | Unset): whether half of the texts on which the feature is not active are examples of similar
            features Default: False.
        seed (int | Unset): of every random choice Default: 0.
        attempt (int | Unset): another number asks the language model again for what is stored Default: 0.
        stream (bool | Unset): respond with server-sent events; the last one is the score Default: False.
        stream_steps (bool | Unset): with stream: also send an event after each step Default: False.
    """

    explanation_id: int
    scorer_type: str | Unset = "eleuther_embedding"
    scorer_model: None | str | Unset = UNSET
    profile: None | str | Unset = UNSET
    api_key: None | str | Unset = UNSET
    near_misses: bool | Unset = False
    seed: int | Unset = 0
    attempt: int | Unset = 0
    stream: bool | Unset = False
    stream_steps: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        explanation_id = self.explanation_id

        scorer_type = self.scorer_type

        scorer_model: None | str | Unset
        if isinstance(self.scorer_model, Unset):
            scorer_model = UNSET
        else:
            scorer_model = self.scorer_model

        profile: None | str | Unset
        if isinstance(self.profile, Unset):
            profile = UNSET
        else:
            profile = self.profile

        api_key: None | str | Unset
        if isinstance(self.api_key, Unset):
            api_key = UNSET
        else:
            api_key = self.api_key

        near_misses = self.near_misses

        seed = self.seed

        attempt = self.attempt

        stream = self.stream

        stream_steps = self.stream_steps

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "explanationId": explanation_id,
            }
        )
        if scorer_type is not UNSET:
            field_dict["scorerType"] = scorer_type
        if scorer_model is not UNSET:
            field_dict["scorerModel"] = scorer_model
        if profile is not UNSET:
            field_dict["profile"] = profile
        if api_key is not UNSET:
            field_dict["apiKey"] = api_key
        if near_misses is not UNSET:
            field_dict["nearMisses"] = near_misses
        if seed is not UNSET:
            field_dict["seed"] = seed
        if attempt is not UNSET:
            field_dict["attempt"] = attempt
        if stream is not UNSET:
            field_dict["stream"] = stream
        if stream_steps is not UNSET:
            field_dict["streamSteps"] = stream_steps

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        explanation_id = d.pop("explanationId")

        scorer_type = d.pop("scorerType", UNSET)

        def _parse_scorer_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        scorer_model = _parse_scorer_model(d.pop("scorerModel", UNSET))

        def _parse_profile(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        profile = _parse_profile(d.pop("profile", UNSET))

        def _parse_api_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        api_key = _parse_api_key(d.pop("apiKey", UNSET))

        near_misses = d.pop("nearMisses", UNSET)

        seed = d.pop("seed", UNSET)

        attempt = d.pop("attempt", UNSET)

        stream = d.pop("stream", UNSET)

        stream_steps = d.pop("streamSteps", UNSET)

        score_request = cls(
            explanation_id=explanation_id,
            scorer_type=scorer_type,
            scorer_model=scorer_model,
            profile=profile,
            api_key=api_key,
            near_misses=near_misses,
            seed=seed,
            attempt=attempt,
            stream=stream,
            stream_steps=stream_steps,
        )

        score_request.additional_properties = d
        return score_request

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
