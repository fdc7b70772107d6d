"""Texts written token by token: a batch of rows with one cache of keys and values.

The rows of a batch differ in prompt and in what they are steered with; STEERED and DEFAULT are two of them. Prompts of
different length are padded on the left. Every run gets mask and positions: transformers derives them in `generate`
only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import DynamicCache

from memicos_engine.errors import Refused
from memicos_engine.model import LanguageModel
from memicos_engine.sampling import Logprob, Sampler, Sampling, logprob_of
from memicos_engine.steering import Steer, Steering

__all__ = ["Generation", "Logprob", "Row", "Sampling", "cache_bytes"]

Ended = Literal["length", "eos"]


@dataclass(frozen=True)
class Row:
    """A prompt and what steers it. `mask`, one a token of the prompt, is False where it is not steered.

    Generated tokens are always steered.
    """

    ids: Sequence[int]
    steers: Sequence[Steer] = ()
    mask: Sequence[bool] | None = None


def cache_bytes(model: LanguageModel, n_rows: int, n_positions: int) -> int:
    """Memory for keys and values of so many rows and positions, were every layer to keep all of them."""
    config = model.hf.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * n_rows * n_positions * model.n_layers * heads * d_head * model.dtype.itemsize


class Generation:
    """A batch being written. Lists are by row.

    `ids`: tokens generated so far, an ending EOS included; `ended`: why a row is complete, None while it is not;
    `logprobs`: one a generated token where `sampling` asks for them; `logits` (B, V): of the last step, float32.
    A row's tokens do not depend on the other rows.

    Raises:
        Refused: prompt and completion exceed the model's context or `kv_bytes`; or as `Steering`.
    """

    def __init__(
        self, model: LanguageModel, rows: Sequence[Row], n_tokens: int, sampling: Sampling, kv_bytes: int
    ) -> None:
        longest = max(len(row.ids) for row in rows)
        if longest + n_tokens > model.max_context:
            raise Refused(
                f"Prompt ({longest} tokens) and completion ({n_tokens}) are {longest + n_tokens} tokens together; "
                f"the model's context is {model.max_context}."
            )
        needed = cache_bytes(model, len(rows), longest + n_tokens)
        if needed > kv_bytes:
            raise Refused(
                f"Keys and values of this request need {needed:,} bytes; {kv_bytes:,} are set aside. "
                "Ask for fewer tokens or a shorter prompt."
            )
        self.ids: list[list[int]] = [[] for _ in rows]
        self.ended: list[Ended | None] = [None for _ in rows]
        self.logprobs: list[list[Logprob]] = [[] for _ in rows]
        self.logits: torch.Tensor | None = None
        self._model = model
        self._n_tokens = n_tokens
        self._n_logprobs = sampling.n_logprobs
        self._samplers = [Sampler(sampling, row.ids) for row in rows]
        self._steering = Steering(model, [row.steers for row in rows])
        self._cache = DynamicCache(config=model.hf.config)
        pads = [longest - len(row.ids) for row in rows]
        device = model.device
        padded = [[0] * pad + list(row.ids) for pad, row in zip(pads, rows, strict=True)]
        self._next = torch.tensor(padded, device=device)
        self._mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads], device=device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._where = _steered_positions(pads, rows, device)

    @property
    def done(self) -> bool:
        return None not in self.ended

    def written(self, row: int) -> list[int]:
        """The row's tokens without an EOS that ended it."""
        return self.ids[row][:-1] if self.ended[row] == "eos" else self.ids[row]

    @torch.inference_mode()
    def step(self) -> None:
        """Write one token in every row that has not ended.

        Raises:
            Refused: logits are not finite any more.
        """
        with self._steering.applied(self._where):
            output = self._model.hf(
                input_ids=self._next,
                attention_mask=self._mask,
                position_ids=self._positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.logits = logits = output.logits[:, -1].float().cpu()
        tokens = [self._write(row, logits[row]) for row in range(len(self.ids))]
        self._next = torch.tensor(tokens, device=self._model.device)[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._positions = self._positions[:, -1:] + 1
        self._where = None

    def _write(self, row: int, logits: torch.Tensor) -> int:
        """The token that `row` goes on with; a row that has ended repeats its last one, which nobody sees."""
        if self.ended[row] is not None:
            return self.ids[row][-1]
        token = self._samplers[row].choose(logits)
        self.ids[row].append(token)
        if self._n_logprobs:
            self.logprobs[row].append(logprob_of(token, logits, self._n_logprobs))
        if token in self._model.eos_token_ids:
            self.ended[row] = "eos"
        elif len(self.ids[row]) == self._n_tokens:
            self.ended[row] = "length"
        return token


def _steered_positions(pads: Sequence[int], rows: Sequence[Row], device: torch.device) -> torch.Tensor | None:
    """Boolean (B, T) of where prompts are steered; None: everywhere."""
    if all(row.mask is None for row in rows):
        return None
    return torch.tensor(
        [
            [True] * pad + (list(row.mask) if row.mask is not None else [True] * len(row.ids))
            for pad, row in zip(pads, rows, strict=True)
        ],
        device=device,
    )
