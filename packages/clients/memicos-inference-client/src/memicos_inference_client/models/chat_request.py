from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.chat_request_steer_method import (
    ChatRequestSteerMethod,
    check_chat_request_steer_method,
)
from ..models.chat_request_types_item import (
    ChatRequestTypesItem,
    check_chat_request_types_item,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.chat_message import ChatMessage
    from ..models.steer_feature import SteerFeature
    from ..models.steer_vector import SteerVector


T = TypeVar("T", bound="ChatRequest")


@_attrs_define
class ChatRequest:
    """A conversation to continue with the assistant's turn. Settings are those of a completion.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        types (list[ChatRequestTypesItem]): Outputs to generate, each at most once: `STEERED` with the directions,
            `DEFAULT` without them.
        n_completion_tokens (int): Largest number of tokens to generate for each type, at most `max_completion_tokens`
            in the capabilities' limits.
        temperature (float): Sampling temperature; 0: always take the most probable token.
        prompt (list[ChatMessage]): Messages of the conversation, oldest first.
        steer_method (ChatRequestSteerMethod | Unset): How directions change activations: `SIMPLE_ADDITIVE` adds them,
            `ORTHOGONAL_DECOMP` scales the component along them, `PROJECTION_CAP` limits that component. Default:
            'SIMPLE_ADDITIVE'.
        normalize_steering (bool | Unset): Whether to scale each direction to L2 norm 1 first. Default: False.
        features (list[SteerFeature] | None | Unset): Features to steer with, at most `max_steered` in the capabilities'
            limits. Not together with `vectors`.
        vectors (list[SteerVector] | None | Unset): Directions to steer with, at most `max_steered` in the capabilities'
            limits. Not together with `features`.
        strength_multiplier (float | Unset): Factor of the strengths of all directions. Default: 1.0.
        freq_penalty (float | Unset): Frequency penalty: subtracted from a token's logit, after division by temperature,
            once per occurrence in prompt and completion so far. No effect if it or the temperature is not above 0. Default:
            0.0.
        seed (int | Unset): Seed of the sampling, used afresh for each type. Default: 16.
        stream (bool | Unset): Whether to send the response as server-sent events (text/event-stream). Default: False.
        stream_deltas (bool | Unset): Whether events named `delta` send only the new part, followed by one unnamed event
            with the whole response. Requires `stream`. Default: False.
        n_logprobs (int | Unset): Number of most probable tokens listed per generated token; 0: no log-probabilities.
            Default: 0.
        steer_special_tokens (bool | Unset): Whether to steer at special tokens of the prompt. Generated special tokens
            are always steered. Default: True.
        continue_final_message (bool | Unset): Whether to continue the last message, which has to be the assistant's,
            instead of opening a new turn. Default: False.
        is_assistant_axis (bool | Unset): Not supported: true gets status 400. Default: False.
    """

    model: str
    types: list[ChatRequestTypesItem]
    n_completion_tokens: int
    temperature: float
    prompt: list[ChatMessage]
    steer_method: ChatRequestSteerMethod | Unset = "SIMPLE_ADDITIVE"
    normalize_steering: bool | Unset = False
    features: list[SteerFeature] | None | Unset = UNSET
    vectors: list[SteerVector] | None | Unset = UNSET
    strength_multiplier: float | Unset = 1.0
    freq_penalty: float | Unset = 0.0
    seed: int | Unset = 16
    stream: bool | Unset = False
    stream_deltas: bool | Unset = False
    n_logprobs: int | Unset = 0
    steer_special_tokens: bool | Unset = True
    continue_final_message: bool | Unset = False
    is_assistant_axis: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        types = []
        for types_item_data in self.types:
            types_item: str = types_item_data
            types.append(types_item)

        n_completion_tokens = self.n_completion_tokens

        temperature = self.temperature

        prompt = []
        for prompt_item_data in self.prompt:
            prompt_item = prompt_item_data.to_dict()
            prompt.append(prompt_item)

        steer_method: str | Unset = UNSET
        if not isinstance(self.steer_method, Unset):
            steer_method = self.steer_method

        normalize_steering = self.normalize_steering

        features: list[dict[str, Any]] | None | Unset
        if isinstance(self.features, Unset):
            features = UNSET
        elif isinstance(self.features, list):
            features = []
            for features_type_0_item_data in self.features:
                features_type_0_item = features_type_0_item_data.to_dict()
                features.append(features_type_0_item)

        else:
            features = self.features

        vectors: list[dict[str, Any]] | None | Unset
        if isinstance(self.vectors, Unset):
            vectors = UNSET
        elif isinstance(self.vectors, list):
            vectors = []
            for vectors_type_0_item_data in self.vectors:
                vectors_type_0_item = vectors_type_0_item_data.to_dict()
                vectors.append(vectors_type_0_item)

        else:
            vectors = self.vectors

        strength_multiplier = self.strength_multiplier

        freq_penalty = self.freq_penalty

        seed = self.seed

        stream = self.stream

        stream_deltas = self.stream_deltas

        n_logprobs = self.n_logprobs

        steer_special_tokens = self.steer_special_tokens

        continue_final_message = self.continue_final_message

        is_assistant_axis = self.is_assistant_axis

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "types": types,
                "n_completion_tokens": n_completion_tokens,
                "temperature": temperature,
                "prompt": prompt,
            }
        )
        if steer_method is not UNSET:
            field_dict["steer_method"] = steer_method
        if normalize_steering is not UNSET:
            field_dict["normalize_steering"] = normalize_steering
        if features is not UNSET:
            field_dict["features"] = features
        if vectors is not UNSET:
            field_dict["vectors"] = vectors
        if strength_multiplier is not UNSET:
            field_dict["strength_multiplier"] = strength_multiplier
        if freq_penalty is not UNSET:
            field_dict["freq_penalty"] = freq_penalty
        if seed is not UNSET:
            field_dict["seed"] = seed
        if stream is not UNSET:
            field_dict["stream"] = stream
        if stream_deltas is not UNSET:
            field_dict["stream_deltas"] = stream_deltas
        if n_logprobs is not UNSET:
            field_dict["n_logprobs"] = n_logprobs
        if steer_special_tokens is not UNSET:
            field_dict["steer_special_tokens"] = steer_special_tokens
        if continue_final_message is not UNSET:
            field_dict["continue_final_message"] = continue_final_message
        if is_assistant_axis is not UNSET:
            field_dict["is_assistant_axis"] = is_assistant_axis

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.chat_message import ChatMessage  # noqa: PLC0415
        from ..models.steer_feature import SteerFeature  # noqa: PLC0415
        from ..models.steer_vector import SteerVector  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        types = []
        _types = d.pop("types")
        for types_item_data in _types:
            types_item = check_chat_request_types_item(types_item_data)

            types.append(types_item)

        n_completion_tokens = d.pop("n_completion_tokens")

        temperature = d.pop("temperature")

        prompt = []
        _prompt = d.pop("prompt")
        for prompt_item_data in _prompt:
            prompt_item = ChatMessage.from_dict(prompt_item_data)

            prompt.append(prompt_item)

        _steer_method = d.pop("steer_method", UNSET)
        steer_method: ChatRequestSteerMethod | Unset
        if isinstance(_steer_method, Unset):
            steer_method = UNSET
        else:
            steer_method = check_chat_request_steer_method(_steer_method)

        normalize_steering = d.pop("normalize_steering", UNSET)

        def _parse_features(data: object) -> list[SteerFeature] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                features_type_0 = []
                _features_type_0 = data
                for features_type_0_item_data in _features_type_0:
                    features_type_0_item = SteerFeature.from_dict(features_type_0_item_data)

                    features_type_0.append(features_type_0_item)

                return features_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[SteerFeature] | None | Unset, data)

        features = _parse_features(d.pop("features", UNSET))

        def _parse_vectors(data: object) -> list[SteerVector] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                vectors_type_0 = []
                _vectors_type_0 = data
                for vectors_type_0_item_data in _vectors_type_0:
                    vectors_type_0_item = SteerVector.from_dict(vectors_type_0_item_data)

                    vectors_type_0.append(vectors_type_0_item)

                return vectors_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[SteerVector] | None | Unset, data)

        vectors = _parse_vectors(d.pop("vectors", UNSET))

        strength_multiplier = d.pop("strength_multiplier", UNSET)

        freq_penalty = d.pop("freq_penalty", UNSET)

        seed = d.pop("seed", UNSET)

        stream = d.pop("stream", UNSET)

        stream_deltas = d.pop("stream_deltas", UNSET)

        n_logprobs = d.pop("n_logprobs", UNSET)

        steer_special_tokens = d.pop("steer_special_tokens", UNSET)

        continue_final_message = d.pop("continue_final_message", UNSET)

        is_assistant_axis = d.pop("is_assistant_axis", UNSET)

        chat_request = cls(
            model=model,
            types=types,
            n_completion_tokens=n_completion_tokens,
            temperature=temperature,
            prompt=prompt,
            steer_method=steer_method,
            normalize_steering=normalize_steering,
            features=features,
            vectors=vectors,
            strength_multiplier=strength_multiplier,
            freq_penalty=freq_penalty,
            seed=seed,
            stream=stream,
            stream_deltas=stream_deltas,
            n_logprobs=n_logprobs,
            steer_special_tokens=steer_special_tokens,
            continue_final_message=continue_final_message,
            is_assistant_axis=is_assistant_axis,
        )

        chat_request.additional_properties = d
        return chat_request

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
