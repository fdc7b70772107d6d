"""Tolerant parsing of JSON in a model's answer, for providers without structured output."""

import json
import re
from typing import Any

from memicos_autointerp_core.errors import ProviderError

_REASONING = re.compile(r"<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_START = re.compile(r"[\[{]")
MAX_FAILED_STARTS = 200
"""Brackets that begin no JSON, after which the search ends: its time grows with their number times the length."""


def parse_json_answer(text: str, kind: type[Any] = dict) -> Any:
    """The last JSON value of the kind `dict` or `list` in the answer that is inside no other one.

    The last one, since models reason first. Hidden reasoning (`<think>…</think>`) is ignored; a fenced block takes
    precedence over other text.

    Raises:
        ProviderError: there is none (`unreadable`).
    """
    text = _REASONING.sub("", text)
    for part in (*reversed(_FENCED.findall(text)), text):
        values = [value for value in _values(part) if isinstance(value, kind)]
        if values:
            return values[-1]
    name = "object" if kind is dict else "list"
    raise ProviderError("unreadable", f"The model's answer has no JSON {name}.")


def _values(text: str) -> list[Any]:
    """JSON objects and lists in the text that are inside no other one, in order."""
    decoder = json.JSONDecoder()
    values: list[Any] = []
    position = failed = 0
    while match := _START.search(text, position):
        try:
            value, position = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            position = match.start() + 1
            failed += 1
            if failed > MAX_FAILED_STARTS:
                break
        else:
            values.append(value)
    return values
