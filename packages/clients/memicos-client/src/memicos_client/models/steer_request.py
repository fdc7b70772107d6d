from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.steer_request_steer_method import (
    SteerRequestSteerMethod,
    check_steer_request_steer_method,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.steer_feature import SteerFeature


T = TypeVar("T", bound="SteerRequest")


@_attrs_define
class SteerRequest:
    """
    Attributes:
        model_id (str): id of the model
        prompt (str): text to continue; with the generated tokens it must fit the model's token limit
        features (list[SteerFeature]): features to steer with, at most 16 (setting MEMICOS_STEER_FEATURES)
        temperature (float | Unset): sampling temperature; 0: always the most probable token Default: 0.5.
        n_tokens (int | Unset): tokens to generate, at most 256 (setting MEMICOS_STEER_TOKENS) Default: 256.
        freq_penalty (float | Unset): frequency penalty: subtracted from a token's logit, after division by temperature,
            for each time that the token is in the text so far, prompt included; 0 or less, or temperature 0: none Default:
            1.0.
        seed (int | Unset): seed of sampling; equal requests with equal seeds give equal text Default: 16.
        strength_multiplier (float | Unset): factor on every feature's strength Default: 1.0.
        steer_method (SteerRequestSteerMethod | Unset): with c = strength_multiplier x strength, v the decoder vector, u
            = v / |v| and h the activation: SIMPLE_ADDITIVE gives h + c v; ORTHOGONAL_DECOMP multiplies the component along
            v by c, h + (c - 1) (h.u) u Default: 'SIMPLE_ADDITIVE'.
        n_logprobs (int | Unset): alternatives reported for each token; 0 sends no log-probabilities Default: 5.
        stream (bool | Unset): respond with server-sent events; each is the whole response so far, unless `delta` is set
            Default: False.
        delta (bool | Unset): with `stream`: events named `delta` hold new text only, and the last event, which has no
            name, the whole response Default: False.
        frame_logprobs (bool | Unset): with `stream` and without `delta`: every event has the log-probabilities of all
            tokens so far; otherwise only the last one has them Default: False.
    """

    model_id: str
    prompt: str
    features: list[SteerFeature]
    temperature: float | Unset = 0.5
    n_tokens: int | Unset = 256
    freq_penalty: float | Unset = 1.0
    seed: int | Unset = 16
    strength_multiplier: float | Unset = 1.0
    steer_method: SteerRequestSteerMethod | Unset = "SIMPLE_ADDITIVE"
    n_logprobs: int | Unset = 5
    stream: bool | Unset = False
    delta: bool | Unset = False
    frame_logprobs: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        prompt = self.prompt

        features = []
        for features_item_data in self.features:
            features_item = features_item_data.to_dict()
            features.append(features_item)

        temperature = self.temperature

        n_tokens = self.n_tokens

        freq_penalty = self.freq_penalty

        seed = self.seed

        strength_multiplier = self.strength_multiplier

        steer_method: str | Unset = UNSET
        if not isinstance(self.steer_method, Unset):
            steer_method = self.steer_method

        n_logprobs = self.n_logprobs

        stream = self.stream

        delta = self.delta

        frame_logprobs = self.frame_logprobs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "prompt": prompt,
                "features": features,
            }
        )
        if temperature is not UNSET:
            field_dict["temperature"] = temperature
        if n_tokens is not UNSET:
            field_dict["n_tokens"] = n_tokens
        if freq_penalty is not UNSET:
            field_dict["freq_penalty"] = freq_penalty
        if seed is not UNSET:
            field_dict["seed"] = seed
        if strength_multiplier is not UNSET:
            field_dict["strength_multiplier"] = strength_multiplier
        if steer_method is not UNSET:
            field_dict["steer_method"] = steer_method
        if n_logprobs is not UNSET:
            field_dict["n_logprobs"] = n_logprobs
        if stream is not UNSET:
            field_dict["stream"] = stream
        if delta is not UNSET:
            field_dict["delta"] = delta
        if frame_logprobs is not UNSET:
            field_dict["frame_logprobs"] = frame_logprobs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.steer_feature import SteerFeature  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("modelId")

        prompt = d.pop("prompt")

        features = []
        _features = d.pop("features")
        for features_item_data in _features:
            features_item = SteerFeature.from_dict(features_item_data)

            features.append(features_item)

        temperature = d.pop("temperature", UNSET)

        n_tokens = d.pop("n_tokens", UNSET)

        freq_penalty = d.pop("freq_penalty", UNSET)

        seed = d.pop("seed", UNSET)

        strength_multiplier = d.pop("strength_multiplier", UNSET)

        _steer_method = d.pop("steer_method", UNSET)
        steer_method: SteerRequestSteerMethod | Unset
        if isinstance(_steer_method, Unset):
            steer_method = UNSET
        else:
            steer_method = check_steer_request_steer_method(_steer_method)

        n_logprobs = d.pop("n_logprobs", UNSET)

        stream = d.pop("stream", UNSET)

        delta = d.pop("delta", UNSET)

        frame_logprobs = d.pop("frame_logprobs", UNSET)

        steer_request = cls(
            model_id=model_id,
            prompt=prompt,
            features=features,
            temperature=temperature,
            n_tokens=n_tokens,
            freq_penalty=freq_penalty,
            seed=seed,
            strength_multiplier=strength_multiplier,
            steer_method=steer_method,
            n_logprobs=n_logprobs,
            stream=stream,
            delta=delta,
            frame_logprobs=frame_logprobs,
        )

        steer_request.additional_properties = d
        return steer_request

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
