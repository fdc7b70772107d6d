"""Server-sent events from an httpx response.

httpx's own `iter_lines` also splits on U+2028, U+0085 and others, which JSON may hold raw; the protocol's lines end
in \\n, \\r\\n or \\r only.
"""

import json
from collections.abc import AsyncIterator, Iterator

import httpx

from .errors import UnexpectedStatus, raise_for_error


class StreamError(Exception):
    """A stream that had begun and brought no whole answer.

    `error` says why in words. `cause` is the server's for programs, where it gives one; "incomplete" where it said
    nothing and the stream just ended.
    """

    def __init__(self, error: str, cause: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.cause = cause


class _Decoder:
    """Collects name and `data` of events; comments and ids are passed over."""

    def __init__(self) -> None:
        self._rest = ""
        self._name = ""
        self._data: list[str] = []

    def feed(self, text: str) -> Iterator[tuple[str, str]]:
        """The events that end in `text`. Raises StreamError for one that is named "error"."""
        text = self._rest + text
        # a \r at the very end may be the first half of \r\n
        held = "\r" if text.endswith("\r") else ""
        *lines, rest = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + held
        for line in lines:
            if line.startswith("data:"):
                self._data.append(line[5:].removeprefix(" "))
            elif line.startswith("event:"):
                self._name = line[6:].removeprefix(" ")
            elif not line:
                name, data = self._name or "message", "\n".join(self._data)
                had_data, self._name, self._data = bool(self._data), "", []
                if had_data and name == "error":
                    raise _stream_error(data)
                if had_data:
                    yield name, data


def _stream_error(data: str) -> StreamError:
    try:
        body = json.loads(data)
        return StreamError(str(body["error"]), body.get("cause"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return StreamError(data, None)


def events(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """Name and data of each event; "message" is the name of one without.

    Raises:
        ApiError: For an error response.
        UnexpectedStatus: For another success than 200.
        StreamError: At an event named "error".
    """
    if response.status_code != 200:
        response.read()
        raise_for_error(response)
        raise UnexpectedStatus(response.status_code, response.content)
    decoder = _Decoder()
    for text in response.iter_text():
        yield from decoder.feed(text)


async def aevents(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Like `events`."""
    if response.status_code != 200:
        await response.aread()
        raise_for_error(response)
        raise UnexpectedStatus(response.status_code, response.content)
    decoder = _Decoder()
    async for text in response.aiter_text():
        for name, data in decoder.feed(text):
            yield name, data


def ended(last: str) -> None:
    """Raises StreamError where the last event of a stream, named `last`, was no whole answer."""
    if last != "message":
        raise StreamError("The stream ended without the whole answer.", "incomplete")
