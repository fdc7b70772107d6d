"""Columns of explanations and scores about the requests to a language model (`schema.REQUEST_COLUMNS`)."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from memicos_dataset.read import Batch

MAX_NESTING = 50
"""Levels of objects and arrays in a value of `parameters`. Deeper ones could be stored, but not be shown: what writes
JSON recurses."""

_COUNTS = ("template_version", "prompt_tokens", "completion_tokens", "cost")
_TOKENS = ("prompt_tokens", "completion_tokens")


def check_requests(batch: Batch) -> None:
    """Check these columns of explanations or scores, as far as the file has them.

    Raises:
        RowError: a number is negative, one of the two numbers of tokens is missing, or parameters are not a JSON object
            that can be stored and shown.
    """
    names = batch.rows.schema.names
    for name in _COUNTS:
        if name in names:
            for row, value in enumerate(batch.rows.column(name).to_pylist()):
                if value is not None and value < 0:
                    raise batch.error(row, name, f"{value} is negative")
    tokens = [batch.rows.column(name).to_pylist() if name in names else [None] * len(batch.rows) for name in _TOKENS]
    for row, (prompt, completion) in enumerate(zip(*tokens, strict=True)):
        if prompt is None and completion is not None:
            raise batch.error(row, "prompt_tokens", f"is missing, and completion_tokens is {completion}")
        if completion is None and prompt is not None:
            raise batch.error(row, "completion_tokens", f"is missing, and prompt_tokens is {prompt}")
    if "parameters" in names:
        for row, content in enumerate(batch.rows.column("parameters").to_pylist()):
            if content is not None:
                try:
                    read_parameters(content)
                except ValueError as error:
                    raise batch.error(row, "parameters", str(error)) from error


def read_parameters(content: str) -> dict[str, Any]:
    """The object of a value of the column `parameters`.

    Raises:
        ValueError: it is not a JSON object, is nested more than MAX_NESTING levels deep, or has a number or a text that
            PostgreSQL cannot store.
    """
    try:
        found = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")
    if _is_deeper(found, MAX_NESTING):
        raise ValueError(f"has more than {MAX_NESTING} levels of objects and arrays")
    try:
        # numbers above the largest float were read as infinity; lone surrogates cannot be encoded
        written = write_parameters(found)
        written.encode()
    except ValueError as error:
        raise ValueError(f"has a value that cannot be stored ({error})") from error
    # what is left of an escaped backslash must not be taken for the escape of a NUL
    if "\\u0000" in written.replace("\\\\", ""):
        raise ValueError("has a text with a NUL character, which PostgreSQL cannot store")
    return found


def write_parameters(parameters: Mapping[str, Any]) -> str:
    """A value of the column `parameters`: equal objects give equal texts.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(dict(parameters), sort_keys=True, ensure_ascii=False, allow_nan=False)


def _is_deeper(value: dict[str, Any], levels: int) -> bool:
    """Whether objects and arrays are nested more than `levels` deep; without recursion."""
    level: list[Any] = [value]
    for _ in range(levels):
        level = [
            entry
            for container in level
            for entry in (container.values() if isinstance(container, dict) else container)
            if isinstance(entry, dict | list)
        ]
    return bool(level)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
