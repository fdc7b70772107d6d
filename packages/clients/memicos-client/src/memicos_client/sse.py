"""Server-sent events from an httpx response.

httpx's own `iter_lines` also splits on U+2028, U+0085 and others, which JSON may hold raw; the protocol's lines end
in \\n, \\r\\n or \\r only.
"""

from collections.abc import AsyncIterator, Iterator

import httpx

from .errors import UnexpectedStatus


class _Decoder:
    """Collects the `data` of events; comments, names and ids are passed over."""

    def __init__(self) -> None:
        self._rest = ""
        self._data: list[str] = []

    def feed(self, text: str) -> Iterator[str]:
        text = self._rest + text
        # a \r at the very end may be the first half of \r\n
        held = "\r" if text.endswith("\r") else ""
        *lines, rest = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + held
        for line in lines:
            if line.startswith("data:"):
                self._data.append(line[5:].removeprefix(" "))
            elif not line and self._data:
                yield "\n".join(self._data)
                self._data = []


def iter_sse(response: httpx.Response) -> Iterator[str]:
    """The data of each event. Raises UnexpectedStatus for every answer but 200."""
    if response.status_code != 200:
        raise UnexpectedStatus(response.status_code, response.read())
    decoder = _Decoder()
    for text in response.iter_text():
        yield from decoder.feed(text)


async def aiter_sse(response: httpx.Response) -> AsyncIterator[str]:
    """Like `iter_sse`."""
    if response.status_code != 200:
        raise UnexpectedStatus(response.status_code, await response.aread())
    decoder = _Decoder()
    async for text in response.aiter_text():
        for data in decoder.feed(text):
            yield data
