"""Decode tokens to text incrementally, while they are generated."""

from collections.abc import Sequence

from memicos_engine.model.language_model import LanguageModel
from memicos_engine.model.token_strings import CONTEXT_TOKENS, REPLACEMENT_CHARACTER, byte_of_token


class IncrementalDetokenizer:
    """Decodes tokens that continue `prefix_ids`, special tokens included.

    Tokenizers decode the start of a text differently (SentencePiece drops its first space), so tokens are decoded
    together with the CONTEXT_TOKENS before them, at a constant cost per token. A token is held back while its last
    character is incomplete.

    Byte tokens, such as SentencePiece's `<0x0A>`, are the bytes of a text in UTF-8: a character is returned with the
    token that completes it. Tokenizers decode a whole run of byte tokens as U+FFFD where one byte of it is invalid;
    here the characters before that byte stay, since they have been returned, and each byte from there to the end of
    the run is U+FFFD.
    """

    def __init__(self, model: LanguageModel, prefix_ids: Sequence[int]) -> None:
        self._model = model
        self._before = list(prefix_ids[-CONTEXT_TOKENS:])
        self._known = model.decode(self._before)
        self._held: list[int] = []
        newline = model.tokenizer.convert_tokens_to_ids("<0x0A>")
        # then other tokens hold whole characters, and U+FFFD is one of these
        self._byte_fallback = isinstance(newline, int) and byte_of_token(model.tokenizer, newline) is not None

    def add(self, ids: Sequence[int], ended: bool) -> str:
        """Add tokens; return the new text that is final. With `ended` no tokens follow, and all text is returned."""
        text = "".join(self._add(token) for token in ids)
        return text + self._rest() if ended else text

    def _add(self, token: int) -> str:
        self._held.append(token)
        if byte_of_token(self._model.tokenizer, token) is not None:
            return self._characters_of_bytes()
        new = self._new_text()
        incomplete = new.endswith(REPLACEMENT_CHARACTER) and not self._byte_fallback
        return "" if incomplete else self._return_held(new)

    def _characters_of_bytes(self) -> str:
        """The text of the held tokens if they are the bytes of whole characters, else "" and they stay held."""
        held = [byte_of_token(self._model.tokenizer, token) for token in self._held]
        try:
            characters = bytes(byte for byte in held if byte is not None).decode()
        except UnicodeDecodeError:
            return ""
        # the context stays that of the token before the run: decoding a part of the run could change its characters
        self._held = []
        return characters

    def _rest(self) -> str:
        return self._return_held(self._new_text()) if self._held else ""

    def _new_text(self) -> str:
        """What the held tokens add to the text."""
        known, text = self._known, self._model.decode([*self._before, *self._held])
        if text.startswith(known):
            return text[len(known) :]
        if known.endswith(REPLACEMENT_CHARACTER):
            # the known text ends inside a character that the new tokens complete
            return text[len(known.rstrip(REPLACEMENT_CHARACTER)) :]
        # an invalid byte turns the bytes before it, which are known, to U+FFFD
        context = list(self._before)
        while context and byte_of_token(self._model.tokenizer, context[-1]) is not None:
            context.pop()
        return self._model.decode([*context, *self._held])[len(self._model.decode(context)) :]

    def _return_held(self, new: str) -> str:
        self._before, self._held = [*self._before, *self._held][-CONTEXT_TOKENS:], []
        self._known = self._model.decode(self._before)
        return new
