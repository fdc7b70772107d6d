"""What a row of a generation says, brought up to date as it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memicos_inference.steering.schemas import OutputDelta, SteerType, TokenLogprob, TopLogprob

if TYPE_CHECKING:
    from memicos_engine.generation.generation import FinishReason, Generation, Logprob
    from memicos_engine.model.language_model import LanguageModel


class OutputStream:
    """`words`: the completion; of a chat without special tokens, which `raw` has. `logprobs`: one a token, if any.

    A step costs what is new, not what there is.
    """

    def __init__(
        self, model: LanguageModel, writing: Generation, row: int, kind: SteerType, prefix: Sequence[int], chat: bool
    ) -> None:
        from memicos_engine.generation.incremental_detokenizer import IncrementalDetokenizer

        self.kind: SteerType = kind
        self.completion = ""
        self.raw = ""
        self.ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason: FinishReason | None = None
        self._model = model
        self._writing = writing
        self._row = row
        self._text = IncrementalDetokenizer(model, prefix)
        self._raw = IncrementalDetokenizer(model, prefix) if chat else None

    def advance(self) -> OutputDelta | None:
        """Take what was written since; None where nothing was."""
        start = len(self.ids)
        ids = self._writing.ids[self._row][start:]
        if not ids:
            return None
        self.ids += ids
        self.finish_reason = self._writing.finish_reasons[self._row]
        logprobs = [self._logprob(one) for one in self._writing.logprobs[self._row][start:]]
        self.logprobs += logprobs
        ended = self.finish_reason is not None
        raw: str | None = None
        if self._raw is None:
            words = self._text.add(ids[:-1] if self.finish_reason == "eos" else ids, ended)
        else:
            words = self._text.add(self._model.remove_special(ids), ended)
            raw = self._raw.add(ids, ended)
            self.raw += raw
        self.completion += words
        return OutputDelta.model_construct(
            type=self.kind,
            completion=words,
            raw=None if raw == words else raw,
            token_ids=ids,
            finished=self.finish_reason,
            logprobs=logprobs or None,
        )

    def _logprob(self, found: Logprob) -> TokenLogprob:
        tokens = [found.token, *(token for token, _ in found.top)]
        own, *others = self._model.token_strings(tokens)
        top = [
            TopLogprob.model_construct(token=text, logprob=logprob)
            for text, (_, logprob) in zip(others, found.top, strict=True)
        ]
        return TokenLogprob.model_construct(token=own, logprob=found.logprob, top_logprobs=top)
