"""Looks up the name of an inference host before a connection to it, one lookup at a time."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx


class NameLookup:
    """Looks up the name of a host in a thread of its own.

    A lookup of a name that no longer exists, such as that of a container that ended, can take 10 s or more. It cannot
    be cancelled and keeps its thread; many of them would use up the event loop's threads, on which the lookups of the
    other hosts wait too.

    Args:
        seconds: How long a request waits for a lookup.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, "name-lookup")
        self._lookup: asyncio.Future[Any] | None = None

    async def check(self, request: httpx.Request) -> None:
        """Wait until the name of the request's host has been looked up; an httpx hook.

        Raises:
            httpx.ConnectError: The name does not exist.
            httpx.ConnectTimeout: The lookup takes too long.
        """
        if self._lookup is None or self._lookup.done():
            loop = asyncio.get_running_loop()
            url = request.url
            self._lookup = loop.run_in_executor(self._thread, socket.getaddrinfo, url.host, url.port)
            # a failure that no request waits for any more is not reported as unhandled
            self._lookup.add_done_callback(lambda lookup: lookup.cancelled() or lookup.exception())
        try:
            async with asyncio.timeout(self._seconds):
                await asyncio.shield(self._lookup)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"{request.url.host} was not found in time", request=request) from None
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error), request=request) from error

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
