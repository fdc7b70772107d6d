"""The output of one row of a generation, updated as tokens are generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memicos_inference.steering.schemas import OutputDelta, SteerType, TokenLogprob, TopLogprob

if TYPE_CHECKING:
    from memicos_engine.generation.generation import FinishReason, Generation, Logprob
    from memicos_engine.model.language_model import LanguageModel


class OutputStream:
    """Text, token ids and log-probabilities of a row. `advance` takes time by the new tokens, not by all.

    Attributes:
        kind: STEERED or DEFAULT.
        completion: the generated text, without the token that ended it. Other special tokens are part of it: a text in
            which the model begins another turn must not look like one turn.
        raw: of a chat, the generated text with the token that ended it.
        ids: generated token ids.
        logprobs: one entry per token, where log-probabilities were requested.
        finish_reason: None while the row is being generated.
    """

    def __init__(
        self, model: LanguageModel, generation: Generation, row: int, kind: SteerType, prefix: Sequence[int], chat: bool
    ) -> None:
        from memicos_engine.generation.incremental_detokenizer import IncrementalDetokenizer

        self.kind: SteerType = kind
        self.completion = ""
        self.raw = ""
        self.ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason: FinishReason | None = None
        self._model = model
        self._generation = generation
        self._row = row
        self._text = IncrementalDetokenizer(model, prefix)
        self._raw = IncrementalDetokenizer(model, prefix) if chat else None

    def advance(self) -> OutputDelta | None:
        """Take over the tokens that were generated since the last call. Returns them; None where there are none."""
        start = len(self.ids)
        ids = self._generation.ids[self._row][start:]
        if not ids:
            return None
        self.ids += ids
        self.finish_reason = self._generation.finish_reasons[self._row]
        logprobs = [self._logprob(logprob) for logprob in self._generation.logprobs[self._row][start:]]
        self.logprobs += logprobs
        ended = self.finish_reason is not None
        text = self._text.add(ids[:-1] if self.finish_reason == "eos" else ids, ended)
        raw: str | None = None
        if self._raw is not None:
            raw = self._raw.add(ids, ended)
            self.raw += raw
        self.completion += text
        return OutputDelta.model_construct(
            type=self.kind,
            completion=text,
            raw=None if raw == text else raw,
            token_ids=ids,
            finished=self.finish_reason,
            logprobs=logprobs or None,
        )

    def _logprob(self, logprob: Logprob) -> TokenLogprob:
        tokens = [logprob.token, *(token for token, _ in logprob.top)]
        own, *others = self._model.single_token_strings(tokens)
        top = [
            TopLogprob.model_construct(token=text, logprob=value)
            for text, (_, value) in zip(others, logprob.top, strict=True)
        ]
        return TokenLogprob.model_construct(token=own, logprob=logprob.logprob, top_logprobs=top)
