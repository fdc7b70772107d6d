"""Decode tokens to text incrementally, while they are generated."""

from collections.abc import Sequence

from memicos_engine.model.language_model import LanguageModel
from memicos_engine.model.token_strings import CONTEXT_TOKENS, REPLACEMENT_CHARACTER, is_byte_token


class IncrementalDetokenizer:
    """Decodes tokens that continue `prefix_ids`, special tokens included.

    Tokenizers decode the start of a text differently (SentencePiece drops its first space), so tokens are decoded
    together with the CONTEXT_TOKENS before them, at a constant cost per token. A token is held back while its text may
    change: its last character is incomplete, or it is a byte token such as SentencePiece's `<0x0A>`, which decodes to a
    character only together with the adjacent byte tokens.
    """

    def __init__(self, model: LanguageModel, prefix_ids: Sequence[int]) -> None:
        self._model = model
        self._context = list(prefix_ids[-CONTEXT_TOKENS:])
        self._context_text = model.decode(self._context)
        self._held: list[int] = []

    def add(self, ids: Sequence[int], ended: bool) -> str:
        """Add tokens; return the new text that is final. With `ended` no tokens follow, and all text is returned."""
        self._held += ids
        if not self._held:
            return ""
        window = [*self._context, *self._held]
        context_text, text = self._context_text, self._model.decode(window)
        if not text.startswith(context_text):
            # the known text ends inside a character that the new tokens complete
            context_text = context_text.rstrip(REPLACEMENT_CHARACTER)
        new_text = text[len(context_text) :]
        if not ended and (
            new_text.endswith(REPLACEMENT_CHARACTER) or is_byte_token(self._model.tokenizer, self._held[-1])
        ):
            return ""
        self._context, self._held = window[-CONTEXT_TOKENS:], []
        self._context_text = self._model.decode(self._context)
        return new_text
