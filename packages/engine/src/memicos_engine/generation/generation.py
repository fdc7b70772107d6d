"""The state of a generation: its prompts and settings, and the tokens generated so far.

The rows of a request differ in prompt and steering; STEERED and DEFAULT are two rows. A `Decoder` runs them in one
batch with the rows of other requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.sampling import Logprob, Sampler, Sampling, logprob_of
from memicos_engine.generation.steering import SteeringVector, steering_plan
from memicos_engine.model.language_model import LanguageModel

__all__ = ["CompletedText", "Generation", "Logprob", "Row", "Sampling", "kv_cache_bytes"]

FinishReason = Literal["length", "eos"]


@dataclass(frozen=True)
class Row:
    """A prompt and its steering vectors. `mask` has one entry per prompt token: False where it is not steered.

    Generated tokens are always steered.
    """

    ids: Sequence[int]
    steers: Sequence[SteeringVector] = ()
    mask: Sequence[bool] | None = None


@dataclass(frozen=True)
class CompletedText:
    """A complete row: its tokens with the final EOS, why it ended, and log-probabilities if they were requested."""

    ids: Sequence[int]
    finish_reason: FinishReason
    logprobs: Sequence[Logprob]

    def first(self, n_tokens: int) -> "CompletedText | None":
        """The text that a limit of `n_tokens` would have given; None if this text is too short to tell."""
        if len(self.ids) < n_tokens and self.finish_reason == "length":
            return None
        finish_reason = self.finish_reason if len(self.ids) <= n_tokens else "length"
        return CompletedText(self.ids[:n_tokens], finish_reason, self.logprobs[:n_tokens])


def kv_cache_bytes(model: LanguageModel, n_rows: int, n_positions: int) -> int:
    """Memory for keys and values of `n_rows` rows of `n_positions`, if every layer keeps all positions.

    0 for a model without attention heads (Mamba, RWKV), whose state does not grow with the text.
    """
    config = model.hf.config.get_text_config(decoder=True)
    # in some classes the sizes of heads differ between layers
    layers = getattr(config, "per_layer_config", None) or [config] * model.n_layers
    numbers = sum(_key_numbers(layer) for layer in layers)
    return 2 * n_rows * n_positions * numbers * model.dtype.itemsize


def _key_numbers(config: Any) -> int:
    """Numbers of a layer's keys at one position."""
    queries = getattr(config, "num_attention_heads", None)
    heads = getattr(config, "num_key_value_heads", None) or queries
    if not queries or not heads:
        return 0
    return heads * (getattr(config, "head_dim", None) or config.hidden_size // queries)


class Generation:
    """The generation of one request. Lists have one entry per row.

    `ids`: tokens generated so far, with the final EOS; `finish_reasons`: why a row is complete, None if it isn't;
    `eos`: tokens that end a row; `logprobs`: one entry per generated token if `sampling` requests them; `logits` (V,):
    of a row's last step, float32; `error`: why the generation failed; `cancelled`: the rest is not needed. A row's
    tokens do not depend on other rows. `known` are completed rows from a cache, which are not generated again.

    Raises:
        InvalidRequestError: prompt and completion exceed the model's context or `kv_bytes`; or as `steering_plan`.
    """

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Row],
        n_tokens: int,
        sampling: Sampling,
        kv_bytes: int,
        known: Mapping[int, CompletedText] | None = None,
    ) -> None:
        longest = max(len(row.ids) for row in rows)
        if longest + n_tokens > model.max_context:
            raise InvalidRequestError(
                f"Prompt ({longest} tokens) and completion ({n_tokens}) are {longest + n_tokens} tokens together; "
                f"the model's context is {model.max_context}."
            )
        needed = kv_cache_bytes(model, len(rows), longest + n_tokens)
        if needed > kv_bytes:
            raise InvalidRequestError(
                f"Keys and values of this request need {needed:,} bytes; {kv_bytes:,} are available. "
                "Ask for fewer tokens or a shorter prompt."
            )
        self.rows = rows
        self.n_tokens = n_tokens
        self.ids: list[list[int]] = [[] for _ in rows]
        self.finish_reasons: list[FinishReason | None] = [None for _ in rows]
        self.logprobs: list[list[Logprob]] = [[] for _ in rows]
        self.logits: list[torch.Tensor | None] = [None for _ in rows]
        self.error: InvalidRequestError | None = None
        self.cancelled = False
        self.steering = [steering_plan(model, row.steers) for row in rows]
        self.eos = model.eos_token_ids
        for row, text in (known or {}).items():
            self.ids[row], self.finish_reasons[row] = list(text.ids), text.finish_reason
            self.logprobs[row] = list(text.logprobs)
        self.sampling = sampling
        self._samplers = [Sampler(sampling, row.ids) for row in rows]

    @property
    def done(self) -> bool:
        return self.cancelled or self.error is not None or None not in self.finish_reasons

    @property
    def unfinished_rows(self) -> list[int]:
        """Indices of the rows that are not complete."""
        return [row for row, finish_reason in enumerate(self.finish_reasons) if finish_reason is None]

    def result(self, row: int) -> CompletedText:
        """The text of a complete row."""
        finish_reason = self.finish_reasons[row]
        assert finish_reason is not None
        return CompletedText(self.ids[row], finish_reason, self.logprobs[row])

    def accept(self, row: int, logits: torch.Tensor) -> int:
        """Choose the next token of `row` from `logits` (V,), float32 on the CPU, and append it.

        Raises:
            InvalidRequestError: logits are not finite.
        """
        token = self._samplers[row].choose(logits)
        self.logits[row] = logits
        self.ids[row].append(token)
        if self.sampling.n_logprobs:
            self.logprobs[row].append(logprob_of(token, logits, self.sampling.n_logprobs))
        if token in self.eos:
            self.finish_reasons[row] = "eos"
        elif len(self.ids[row]) == self.n_tokens:
            self.finish_reasons[row] = "length"
        return token
