"""Texts of contexts from the strings of the vocabulary, which decodes each token separately.

The vocabulary writes a byte that is part of a character as `<0xE4>`. In a context these bytes are joined to characters.
"""

import re
from collections.abc import Sequence

_BYTE = re.compile(r"<0x([89A-F][0-9A-F])>")


def has_byte(string: str) -> bool:
    """Whether the string of a token has a byte that is part of a character."""
    return _BYTE.search(string) is not None


def context_strings(strings: Sequence[str]) -> list[str]:
    """Strings of consecutive tokens; joined they are the text.

    A character made of several tokens is in the string of the token that completes it; the earlier ones have "". Bytes
    that form no character, such as those of a character at the edge of a window, stay as they are.
    """
    texts = list(strings)
    start = 0
    while start < len(strings):
        if not has_byte(strings[start]):
            start += 1
            continue
        end = start
        while end < len(strings) and has_byte(strings[end]):
            end += 1
        texts[start:end] = _assign_characters([_to_bytes(string) for string in strings[start:end]])
        start = end
    return texts


def _to_bytes(string: str) -> bytes:
    parts = _BYTE.split(string)  # text and bytes in hexadecimal digits alternate
    return b"".join(bytes.fromhex(part) if i % 2 else part.encode() for i, part in enumerate(parts))


def _assign_characters(tokens: Sequence[bytes]) -> list[str]:
    """Each character of the joined bytes at the token that has its last byte."""
    # surrogateescape decodes each invalid byte 0xNN to U+DCNN, and encodes it back
    characters = b"".join(tokens).decode("utf-8", "surrogateescape")
    texts = [""] * len(tokens)
    token, end, position = 0, len(tokens[0]), 0
    for character in characters:
        position += len(character.encode("utf-8", "surrogateescape"))
        while position > end:
            token += 1
            end += len(tokens[token])
        texts[token] += f"<0x{ord(character) - 0xDC00:02X}>" if 0xDC80 <= ord(character) <= 0xDCFF else character
    return texts
