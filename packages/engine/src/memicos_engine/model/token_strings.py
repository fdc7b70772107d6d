"""Strings of tokens: in a sequence, what each token adds to the decoded text; alone, the token as inside a text.

A token decoded by itself loses what its neighbours decide: decoders of the SentencePiece kind drop the first space of a
text, WordPiece joins "##" tokens, and a character may be made of several tokens.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import Any

from transformers import PreTrainedTokenizerBase

REPLACEMENT_CHARACTER = "\ufffd"
CONTEXT_TOKENS = 16
"""Tokens that are decoded with those after them, enough for how tokenizers join adjacent tokens."""
_CHUNK_TOKENS = 16
"""Smallest number of tokens of a sequence whose strings are found together, with the chunk before as their context."""
_LONGEST_CHARACTER = 4
"""Largest number of tokens, of one byte each, that a character of UTF-8 is made of."""
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


def byte_of_token(tokenizer: PreTrainedTokenizerBase, token: int) -> int | None:
    """The byte of a token of SentencePiece's byte fallback, such as 10 of `<0x0A>`; None for other tokens."""
    name = tokenizer.convert_ids_to_tokens(token)
    return int(name[3:5], 16) if isinstance(name, str) and _BYTE_TOKEN.fullmatch(name) else None


def sequence_strings(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """What each token of `ids` adds to the text in its place; joined, the strings are the decoded text.

    A character made of several tokens stands at the token that completes it; the earlier ones have "".
    """
    alone = decode_all(tokenizer, [[token] for token in ids])
    text = decode_all(tokenizer, [ids])[0]
    joined = "".join(alone)
    if joined == text and REPLACEMENT_CHARACTER not in joined:
        return alone
    completes = _characters_completed(tokenizer, ids)
    strings: list[str] = []
    before: Sequence[int] = []
    start = 0
    while start < len(ids):
        end = min(start + _CHUNK_TOKENS, len(ids))
        while end < len(ids):
            boundary = completes[end - 1]
            following = ids[end : end + _LONGEST_CHARACTER]
            if boundary is None:
                boundary = _is_stable(tokenizer, [*before, *ids[start:end]], following)
            if boundary:
                break
            end += 1
        chunk = ids[start:end]
        strings += _chunk_strings(tokenizer, before, chunk)
        before, start = chunk, end
    return strings


def _characters_completed(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[bool | None]:
    """Whether each byte token that others follow completes a character; None for other tokens.

    A byte fallback decoder decodes a run of byte tokens as one: an invalid byte turns every byte of the run to U+FFFD,
    so that none of its tokens completes a character.
    """
    completes: list[bool | None] = []
    values = [byte_of_token(tokenizer, token) for token in ids]
    for is_byte, run in groupby(values, key=lambda value: value is not None):
        tokens = list(run)
        ends: list[bool | None] = [None] * len(tokens)
        if is_byte:
            raw = bytes(value for value in tokens if value is not None)
            try:
                raw.decode()
            except UnicodeDecodeError:
                ends = [False] * len(tokens)
            else:  # a continuation byte is 0b10xxxxxx
                ends = [byte & 0xC0 != 0x80 for byte in raw[1:]]
            ends = [*ends[: len(tokens) - 1], None]
        completes += ends
    return completes


def _is_stable(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], following: Sequence[int]) -> bool:
    """Whether the text of `before` stays the same when one or more of `following` come after it."""
    longer = [[*before, *following[:count]] for count in range(len(following) + 1)]
    text, *texts = decode_all(tokenizer, longer)
    return all(other.startswith(text) for other in texts)


def _chunk_strings(tokenizer: PreTrainedTokenizerBase, context: Sequence[int], ids: Sequence[int]) -> list[str]:
    """Strings of `ids`, which come after `context`."""
    prefixes = decode_all(tokenizer, [[*context, *ids[:count]] for count in range(len(ids) + 1)])
    text = prefixes[-1]
    end = _common_length(prefixes[0], text)
    strings = []
    for prefix in prefixes[1:-1]:
        # the end of a prefix may change with the tokens that follow: only what the whole text has counts
        start, end = end, max(end, _common_length(prefix, text))
        strings.append(text[start:end])
    return [*strings, text[end:]]


def _common_length(first: str, second: str) -> int:
    if second.startswith(first):
        return len(first)
    return next(i for i, (a, b) in enumerate(zip(first + "\0", second + "\1", strict=False)) if a != b)


def single_strings(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Each token alone, as it would read inside a text; a byte that is no whole character as `<0xE4>`."""
    anchor: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]  # pyright: ignore[reportAssignmentType]
    before = decode_all(tokenizer, [anchor])[0]
    strings = []
    for token, text in zip(ids, decode_all(tokenizer, [[*anchor, token] for token in ids]), strict=True):
        string = text[len(before) :] if text.startswith(before) else decode_all(tokenizer, [[token]])[0]
        if REPLACEMENT_CHARACTER in string:
            string = _with_bytes(tokenizer, token, string)
        strings.append(string)
    return strings


def _with_bytes(tokenizer: PreTrainedTokenizerBase, token: int, string: str) -> str:
    """The token with each byte that belongs to no whole character as `<0xE4>`; `string` if its bytes are unknown."""
    name: Any = tokenizer.convert_ids_to_tokens(token)
    if not isinstance(name, str) or name == string:
        return string
    if _BYTE_TOKEN.fullmatch(name):
        return name
    byte_of = _byte_alphabet()
    if any(character not in byte_of for character in name):
        return string
    raw = bytes(byte_of[character] for character in name)
    # surrogateescape decodes each invalid byte 0xNN to U+DCNN
    characters = raw.decode("utf-8", "surrogateescape")
    return "".join(f"<0x{ord(c) - 0xDC00:02X}>" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in characters)


@cache
def _byte_alphabet() -> dict[str, int]:
    """The byte of each character in the token names of byte-level BPE.

    Radford et al. 2019 (GPT-2): visible Latin-1 characters stand for themselves, the other bytes for the characters
    from U+0100 on, in order.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    other = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(other)}


def decode_all(tokenizer: PreTrainedTokenizerBase, sequences: Sequence[Sequence[int]]) -> list[str]:
    """Text of each sequence, special tokens included."""
    if not sequences:
        return []
    return tokenizer.batch_decode(
        [list(ids) for ids in sequences], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
