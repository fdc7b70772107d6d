"""Tolerant parsing of JSON in a model's answer, for providers without structured output."""

import json
import re
from typing import Any

from memicos_autointerp_core.errors import ProviderError

_FENCE = "```"
_FENCE_START = re.compile(r"```(?:json)?[^\S\n]*\n", re.IGNORECASE)
_START = re.compile(r"[\[{]")
MAX_CHARACTERS = 200_000
"""Largest number of characters that are searched; answers have a few thousand."""
MAX_FAILED_STARTS = 200
"""Brackets that begin no JSON, after which the search ends."""
MAX_FAILED_SHARE = 10
"""The search also ends when so many times the characters of the text were read as JSON that had an error."""


def parse_json_answer(text: str, kind: type[Any] = dict) -> Any:
    """The last JSON value of the kind `dict` or `list` in the answer that is inside no other one.

    The last one, since models reason first. Hidden reasoning (`<think>…</think>`) is ignored; a fenced block takes
    precedence over other text. The time grows with the length of the text, whatever it holds: the provider chose it,
    and the caller may be an event loop.

    Raises:
        ProviderError: there is none, or the answer is too long to search (`unreadable`).
    """
    text = _without_reasoning(text)
    if len(text) > MAX_CHARACTERS:
        raise ProviderError(
            "unreadable", f"The model's answer has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read."
        )
    for part in (*reversed(_fenced(text)), text):
        values = [value for value in _values(part) if isinstance(value, kind)]
        if values:
            return values[-1]
    name = "object" if kind is dict else "list"
    raise ProviderError("unreadable", f"The model's answer has no JSON {name}.")


def _without_reasoning(text: str) -> str:
    """The text without `<think>…</think>`; an expression for it would search to the end from every `<think>`."""
    kept: list[str] = []
    position = 0
    while (start := text.find("<think>", position)) >= 0 and (end := text.find("</think>", start)) >= 0:
        kept.append(text[position:start])
        position = end + len("</think>")
    return "".join([*kept, text[position:]])


def _fenced(text: str) -> list[str]:
    """The contents of fenced blocks, of JSON or without a language."""
    blocks: list[str] = []
    position = 0
    while match := _FENCE_START.search(text, position):
        end = text.find(_FENCE, match.end())
        if end < 0:
            break
        blocks.append(text[match.end() : end])
        position = end + len(_FENCE)
    return blocks


def _values(text: str) -> list[Any]:
    """JSON objects and lists in the text that are inside no other one, in order."""
    decoder = json.JSONDecoder()
    values: list[Any] = []
    position = starts = characters = 0
    while match := _START.search(text, position):
        try:
            value, position = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError) as error:
            position = match.start() + 1
            starts += 1
            characters += _error_position(error, text) - match.start()
            if starts > MAX_FAILED_STARTS or characters > MAX_FAILED_SHARE * len(text):
                break
        else:
            values.append(value)
    return values


def _error_position(error: ValueError | RecursionError, text: str) -> int:
    """The character up to which JSON was read; the position of a string without an end is that of its beginning."""
    if isinstance(error, json.JSONDecodeError) and not error.msg.startswith("Unterminated string"):
        return error.pos
    return len(text)
