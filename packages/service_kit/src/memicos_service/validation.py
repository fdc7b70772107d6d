"""The field type of texts in requests, and pydantic's errors as one line for the client, without the values sent."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

MAX_ERRORS = 3
"""Errors that one message names."""
REQUEST_PARTS = ("body", "query", "path")
"""FastAPI starts an error's location with the part of the request that the field is in."""

SURROGATE = "unpaired_surrogate"
"""Pydantic's type of the error of a text that is not Unicode."""


def describe(errors: Sequence[Any]) -> str:
    """The first errors as `field.0.name: what is wrong; other: …`."""
    lines = []
    for error in errors[:MAX_ERRORS]:
        location = ".".join(str(part) for part in error["loc"] if part not in REQUEST_PARTS)
        problem = error_text(error)
        lines.append(f"{location}: {problem}" if location else problem)
    return "; ".join(lines)


def error_text(error: Any) -> str:
    """Pydantic's message, without the prefix that it gives to a validator's own."""
    return str(error["msg"]).removeprefix("Value error, ")


def check_unicode(value: str) -> str:
    """Refuse half of a surrogate pair: JSON can hold one, but it cannot be encoded as UTF-8, tokenised or sent on.

    Raises:
        PydanticCustomError: the text has one; a ValueError.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(SURROGATE, "has an unpaired surrogate, which is not a character") from None
    return value


Text = Annotated[str, AfterValidator(check_unicode)]
"""A string that UTF-8 can hold."""
