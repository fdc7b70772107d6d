"""Columns of explanations and scores about the requests to a language model (`schema.REQUEST_COLUMNS`)."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from memicos_dataset.read import Batch

_COUNTS = ("template_version", "prompt_tokens", "completion_tokens", "cost")


def check_requests(batch: Batch) -> None:
    """Check these columns of explanations or scores, as far as the file has them.

    Raises:
        RowError: a number is negative, or parameters are not a JSON object that PostgreSQL can store.
    """
    names = batch.rows.schema.names
    for name in _COUNTS:
        if name in names:
            for row, value in enumerate(batch.rows.column(name).to_pylist()):
                if value is not None and value < 0:
                    raise batch.error(row, name, f"{value} is negative")
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
        ValueError: it is not a JSON object, or has a number or a text that PostgreSQL cannot store.
    """
    try:
        found = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
