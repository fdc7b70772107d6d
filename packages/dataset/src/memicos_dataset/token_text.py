"""Texts of contexts from the strings of the vocabulary, which has each token alone.

In a vocabulary a byte that is no whole character is written as `<0xE4>`. In a context such bytes make characters.
"""

import re
from collections.abc import Sequence

_BYTE = re.compile(r"<0x([89A-F][0-9A-F])>")


def context_strings(strings: Sequence[str]) -> list[str]:
    """Strings of consecutive tokens; joined they are the text.

    A character made of several tokens stands at the token that completes it, and the earlier ones have "". Bytes that
    make no character, such as those of a character that a window cuts, stay as they are.
    """
    placed = list(strings)
    start = 0
    while start < len(strings):
        if not _BYTE.search(strings[start]):
            start += 1
            continue
        end = start
        while end < len(strings) and _BYTE.search(strings[end]):
            end += 1
        placed[start:end] = _place([_to_bytes(string) for string in strings[start:end]])
        start = end
    return placed


def _to_bytes(string: str) -> bytes:
    parts = _BYTE.split(string)  # text and bytes in hexadecimal digits alternate
    return b"".join(bytes.fromhex(part) if i % 2 else part.encode() for i, part in enumerate(parts))


def _place(tokens: Sequence[bytes]) -> list[str]:
    """Each character of the joined bytes at the token that has its last byte."""
    # surrogateescape decodes each invalid byte 0xNN to U+DCNN, and encodes it back
    characters = b"".join(tokens).decode("utf-8", "surrogateescape")
    placed = [""] * len(tokens)
    token, end, position = 0, len(tokens[0]), 0
    for character in characters:
        position += len(character.encode("utf-8", "surrogateescape"))
        while position > end:
            token += 1
            end += len(tokens[token])
        placed[token] += f"<0x{ord(character) - 0xDC00:02X}>" if 0xDC80 <= ord(character) <= 0xDCFF else character
    return placed
