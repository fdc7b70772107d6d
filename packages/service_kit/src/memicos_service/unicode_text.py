"""The field type of texts in requests."""

from typing import Annotated

from pydantic import AfterValidator


def check_unicode(value: str) -> str:
    """Refuse half of a surrogate pair: JSON can hold one, but it cannot be encoded as UTF-8, tokenised or sent on.

    Raises:
        ValueError: the text has one.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("has half of a surrogate pair, which is no character") from None
    return value


Text = Annotated[str, AfterValidator(check_unicode)]
"""A string that UTF-8 can hold."""
