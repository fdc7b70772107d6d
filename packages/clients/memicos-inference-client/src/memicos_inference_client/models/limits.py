from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Limits")


@_attrs_define
class Limits:
    """Limits of a request, from the server's settings and the model. A request beyond them is refused.

    Attributes:
        token_limit (int): Tokens per prompt, a prepended BOS included.
        context (int): Tokens of prompt and completion together.
        max_completion_tokens (int): Generated tokens per type in a steering request.
        max_prompts (int): Prompts per request.
        batch_tokens (int): Tokens of all prompts of a request, each padded to the longest.
        capture_bytes (int): Memory for captured activations of all requests until they are answered, in bytes.
        max_values (int): Activation values per response.
        max_hooks (int): Hook points per request for raw activations.
        max_num_results (int): Largest `num_results` of a request.
        max_top_k (int): Largest `top_k` of a request.
        max_steered (int): Features or vectors per steering request.
        max_logprobs (int): Largest `n_logprobs` of a steering request.
        max_loaded_saes (int): Sources in memory at a time, and so per request.
        sae_bytes (int): Memory for the weights of sources at a time, in bytes.
        max_waiting (int): Requests in the queue for the model.
        body_bytes (int): Size of a request body, in bytes.
        max_text_characters (int | None | Unset): Characters per prompt: more are refused before they are tokenised, as
            they exceed `token_limit` tokens of the longest token's length; null: an earlier version, which tokenises texts
            of any length.
    """

    token_limit: int
    context: int
    max_completion_tokens: int
    max_prompts: int
    batch_tokens: int
    capture_bytes: int
    max_values: int
    max_hooks: int
    max_num_results: int
    max_top_k: int
    max_steered: int
    max_logprobs: int
    max_loaded_saes: int
    sae_bytes: int
    max_waiting: int
    body_bytes: int
    max_text_characters: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        token_limit = self.token_limit

        context = self.context

        max_completion_tokens = self.max_completion_tokens

        max_prompts = self.max_prompts

        batch_tokens = self.batch_tokens

        capture_bytes = self.capture_bytes

        max_values = self.max_values

        max_hooks = self.max_hooks

        max_num_results = self.max_num_results

        max_top_k = self.max_top_k

        max_steered = self.max_steered

        max_logprobs = self.max_logprobs

        max_loaded_saes = self.max_loaded_saes

        sae_bytes = self.sae_bytes

        max_waiting = self.max_waiting

        body_bytes = self.body_bytes

        max_text_characters: int | None | Unset
        if isinstance(self.max_text_characters, Unset):
            max_text_characters = UNSET
        else:
            max_text_characters = self.max_text_characters

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "token_limit": token_limit,
                "context": context,
                "max_completion_tokens": max_completion_tokens,
                "max_prompts": max_prompts,
                "batch_tokens": batch_tokens,
                "capture_bytes": capture_bytes,
                "max_values": max_values,
                "max_hooks": max_hooks,
                "max_num_results": max_num_results,
                "max_top_k": max_top_k,
                "max_steered": max_steered,
                "max_logprobs": max_logprobs,
                "max_loaded_saes": max_loaded_saes,
                "sae_bytes": sae_bytes,
                "max_waiting": max_waiting,
                "body_bytes": body_bytes,
            }
        )
        if max_text_characters is not UNSET:
            field_dict["max_text_characters"] = max_text_characters

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        token_limit = d.pop("token_limit")

        context = d.pop("context")

        max_completion_tokens = d.pop("max_completion_tokens")

        max_prompts = d.pop("max_prompts")

        batch_tokens = d.pop("batch_tokens")

        capture_bytes = d.pop("capture_bytes")

        max_values = d.pop("max_values")

        max_hooks = d.pop("max_hooks")

        max_num_results = d.pop("max_num_results")

        max_top_k = d.pop("max_top_k")

        max_steered = d.pop("max_steered")

        max_logprobs = d.pop("max_logprobs")

        max_loaded_saes = d.pop("max_loaded_saes")

        sae_bytes = d.pop("sae_bytes")

        max_waiting = d.pop("max_waiting")

        body_bytes = d.pop("body_bytes")

        def _parse_max_text_characters(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_text_characters = _parse_max_text_characters(d.pop("max_text_characters", UNSET))

        limits = cls(
            token_limit=token_limit,
            context=context,
            max_completion_tokens=max_completion_tokens,
            max_prompts=max_prompts,
            batch_tokens=batch_tokens,
            capture_bytes=capture_bytes,
            max_values=max_values,
            max_hooks=max_hooks,
            max_num_results=max_num_results,
            max_top_k=max_top_k,
            max_steered=max_steered,
            max_logprobs=max_logprobs,
            max_loaded_saes=max_loaded_saes,
            sae_bytes=sae_bytes,
            max_waiting=max_waiting,
            body_bytes=body_bytes,
            max_text_characters=max_text_characters,
        )

        limits.additional_properties = d
        return limits

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
