"""The text of tokens while they are being written, a piece at a time."""

import re
from collections.abc import Sequence

from memicos_engine.model.language_model import LanguageModel

_CONTEXT_TOKENS = 16
"""How many tokens before new ones are decoded with them: enough for how decoders join two tokens."""
_REPLACEMENT_CHARACTER = "\ufffd"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


class IncrementalDetokenizer:
    """What tokens add to the text of `prefix_ids`, special tokens included.

    Decoders treat the start of a text apart (SentencePiece drops its first space), so tokens are decoded with some of
    those before them, and one costs the same however many there are already. A token is held back while what it reads
    as may change: its last character has bytes still to come, or it stands for a single byte, as SentencePiece's
    `<0x0A>` do, which decoders read as characters where all bytes in a row make some, and otherwise not at all.
    """

    def __init__(self, model: LanguageModel, prefix_ids: Sequence[int]) -> None:
        self._model = model
        self._before = list(prefix_ids[-_CONTEXT_TOKENS:])
        self._known = model.decode(self._before)
        self._held: list[int] = []

    def add(self, ids: Sequence[int], ended: bool) -> str:
        """What is known of the text beyond what was given before; with `ended`, after which no more come, all of it."""
        self._held += ids
        if not self._held:
            return ""
        both = [*self._before, *self._held]
        known, whole = self._known, self._model.decode(both)
        if not whole.startswith(known):
            # the text so far ends inside a character that is completed now
            known = known.rstrip(_REPLACEMENT_CHARACTER)
        new = whole[len(known) :]
        if not ended and (new.endswith(_REPLACEMENT_CHARACTER) or self._is_byte(self._held[-1])):
            return ""
        self._before, self._held = both[-_CONTEXT_TOKENS:], []
        self._known = self._model.decode(self._before)
        return new

    def _is_byte(self, token: int) -> bool:
        name = self._model.tokenizer.convert_ids_to_tokens(token)
        return isinstance(name, str) and _BYTE_TOKEN.fullmatch(name) is not None
