"""Spreads the requests of one profile over several servers that answer alike."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

AVOID_SECONDS = 5.0
"""How long a replica whose connection failed gets requests only where no other one runs."""


@dataclass(eq=False)
class Replica:
    """A running server.

    Attributes:
        url: scheme, host and port.
        in_flight: requests that it has not answered.
        answered: number of requests so far that it has answered.
        failed_at: when a connection to it failed last, in seconds of `time.monotonic`.
    """

    url: str
    in_flight: int = 0
    answered: int = 0
    failed_at: float = float("-inf")


class LeastBusyTransport(httpx2.AsyncBaseTransport):
    """Sends each request to the least busy one of `running`, whatever host its URL names. It repeats none itself.

    A proxy of the environment gets none of them.
    """

    def __init__(self, running: Sequence[Replica]) -> None:
        self._running = running
        self._connections = httpx2.AsyncHTTPTransport(
            trust_env=False, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """
        Raises:
            TransportError: no replica runs, or the connection to the chosen one failed.
        """
        replica = self._least_busy()
        if replica is None:
            raise httpx2.ConnectError("no replica is running", request=request)
        target = httpx2.URL(replica.url)
        request.url = request.url.copy_with(scheme=target.scheme, host=target.host, port=target.port)
        request.headers["Host"] = target.netloc.decode("ascii")
        replica.in_flight += 1
        try:
            response = await self._connections.handle_async_request(request)
        except httpx2.TransportError as error:
            if not isinstance(error, httpx2.TimeoutException):
                replica.failed_at = time.monotonic()
            raise
        finally:
            replica.in_flight -= 1
        replica.answered += 1
        return response

    def _least_busy(self) -> Replica | None:
        avoided = time.monotonic() - AVOID_SECONDS
        return min(self._running, key=lambda one: (one.failed_at > avoided, one.in_flight, one.answered), default=None)

    async def aclose(self) -> None:
        await self._connections.aclose()
