"""Requests to HTTP servers that fail for a moment are repeated; a file is read on from where it broke off."""

import importlib
import io
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

RETRY_SECONDS = (0.5, 1.0, 2.0)
"""Pauses before a request is sent again."""
BUSY = (408, 429)
"""Statuses, besides those from 500 on, after which a request is sent again."""
_BLOCK = 1 << 20


def is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def retried(place: str, call: Callable[[], Result]) -> Result:
    """The result of a request for `place`, sent again where it fails for a moment."""
    if not is_http(place):
        return call()
    for pause in RETRY_SECONDS:
        try:
            return call()
        except Exception as error:
            if not _is_momentary(error):
                raise
        time.sleep(pause)
    return call()


class RetriedFile(io.RawIOBase):
    """A file on an HTTP server that is read from its beginning to its end.

    Where a connection breaks off, the file is requested again, and what was read before is left out. `open_file` sends
    the request.
    """

    def __init__(self, open_file: Callable[[], Any]) -> None:
        self._open_file, self._position = open_file, 0
        self._file = open_file()

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end."""
        for pause in RETRY_SECONDS:
            try:
                return self._read(size)
            except Exception as error:
                if not _is_momentary(error):
                    raise
                self._close_connection()
            time.sleep(pause)
        return self._read(size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def _read(self, size: int) -> bytes:
        if self._file is None:
            self._file = self._open_file()
            self._skip(self._position)
        block = self._file.read(size)
        self._position += len(block)
        return block

    def _skip(self, count: int) -> None:
        assert self._file is not None
        while count:
            block = self._file.read(min(count, _BLOCK))
            if not block:
                raise OSError("the file is shorter than it was when its connection broke off")
            count -= len(block)

    def close(self) -> None:
        self._close_connection()
        super().close()

    def _close_connection(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_momentary(error: BaseException) -> bool:
    """Whether the same request may succeed later: the server is busy, or a connection broke off or was not made."""
    aiohttp = _aiohttp()
    cause: Any = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
    if isinstance(cause, aiohttp.ClientResponseError):
        return cause.status >= 500 or cause.status in BUSY
    if isinstance(cause, aiohttp.ClientConnectorDNSError | aiohttp.ClientSSLError):
        return False
    return isinstance(cause, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | TimeoutError)


def _aiohttp() -> Any:
    # takes long
    return importlib.import_module("aiohttp")
