"""Decode tokens to text incrementally, while they are generated."""

import re
from collections.abc import Sequence

from memicos_engine.model.language_model import LanguageModel

_CONTEXT_TOKENS = 16
"""Tokens before the new ones that are decoded with them, enough for how tokenizers join adjacent tokens."""
_REPLACEMENT_CHARACTER = "\ufffd"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


class IncrementalDetokenizer:
    """Decodes tokens that continue `prefix_ids`, special tokens included.

    Tokenizers decode the start of a text differently (SentencePiece drops its first space), so tokens are decoded
    together with the _CONTEXT_TOKENS before them, at a constant cost per token. A token is held back while its text may
    change: its last character is incomplete, or it is a byte token such as SentencePiece's `<0x0A>`, which decodes to a
    character only together with the adjacent byte tokens.
    """

    def __init__(self, model: LanguageModel, prefix_ids: Sequence[int]) -> None:
        self._model = model
        self._before = list(prefix_ids[-_CONTEXT_TOKENS:])
        self._known = model.decode(self._before)
        self._held: list[int] = []

    def add(self, ids: Sequence[int], ended: bool) -> str:
        """Add tokens; return the new text that is final. With `ended` no tokens follow, and all text is returned."""
        self._held += ids
        if not self._held:
            return ""
        window = [*self._before, *self._held]
        known, text = self._known, self._model.decode(window)
        if not text.startswith(known):
            # the known text ends inside a character that the new tokens complete
            known = known.rstrip(_REPLACEMENT_CHARACTER)
        new = text[len(known) :]
        if not ended and (new.endswith(_REPLACEMENT_CHARACTER) or self._is_byte(self._held[-1])):
            return ""
        self._before, self._held = window[-_CONTEXT_TOKENS:], []
        self._known = self._model.decode(self._before)
        return new

    def _is_byte(self, token: int) -> bool:
        name = self._model.tokenizer.convert_ids_to_tokens(token)
        return isinstance(name, str) and _BYTE_TOKEN.fullmatch(name) is not None
