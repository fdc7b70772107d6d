"""Checks of the text in a request's body."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import Request

from memicos_webapp.errors import BadInput, is_api
from memicos_webapp.security.middleware import SAFE_METHODS, UPLOAD_PARTS


def _strings(body: Any) -> Iterator[tuple[str, str]]:
    """(location, string) of every string in a body, keys included, at any depth."""
    pending = [("", body)]
    while pending:
        location, value = pending.pop()
        if isinstance(value, str):
            yield location or "The body", value
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            pending.append((f"{location}.{key}".removeprefix("."), item))
            if isinstance(key, str):
                yield f"A name in {location or 'the body'}", key


async def _json(request: Request) -> Any:
    """The body of a request; routes that take none have not read it.

    Raises:
        BadInput: it is not valid JSON.
    """
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        raise BadInput("The body is not valid JSON, or is nested too deeply.") from error


async def check_body_text(request: Request) -> None:
    """Dependency of every route: refuse strings in the body that PostgreSQL or JSON cannot hold.

    These are strings with a NUL character, and JSON strings with half of a surrogate pair.

    Raises:
        BadInput: the body has such a string; the message says where. Or a form was expected, or it is not valid JSON.
    """
    content_type = request.headers.get("content-type", "")
    if request.method in SAFE_METHODS or request.url.path.startswith(UPLOAD_PARTS):
        # a part is bytes, whatever the header says: the route streams it to a file
        return
    if content_type and "form" not in content_type and not is_api(request) and await request.body():
        # the form's fields would get their defaults
        raise BadInput(
            f"{request.url.path} takes a form (application/x-www-form-urlencoded), not {content_type[:100]}."
        )
    if "json" in content_type:
        # without an escape sequence no JSON string has either; a single character is searched for many times as fast
        content = await request.body()
        body = await _json(request) if b"\\" in content and b"\\u" in content else None
    else:
        body = await request.form() if "form" in content_type else None
    for location, text in _strings(body):
        if "\0" in text:
            raise BadInput(f"{location} has a NUL character, which is not allowed.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            problem = "an unpaired surrogate (\\ud800 to \\udfff), which is not a character"
            raise BadInput(f"{location} has {problem}.") from error
