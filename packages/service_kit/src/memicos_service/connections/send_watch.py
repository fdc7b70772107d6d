"""Time-out of sending: connections whose clients stop reading a response are closed."""

import asyncio
import logging
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

UNSENT_BYTES = 128 * 1024
"""Bytes that the kernel takes over from the server before it can send them to the client.

By default it takes megabytes, and reports progress only once a third of them is sent: a slow reader would look stopped.
"""
CHECKS = 4
"""Checks of a connection within the time-out; a stopped reader is closed at most one interval later."""


def limit_unsent_bytes(listener: socket.socket) -> None:
    """Limit the bytes in the kernel that cannot be sent yet, for connections of `listener`, where the system can."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


class SendWatch:
    """Closes a connection with unsent bytes whose client reads none of them for some time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, close: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._close = close
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._changed_at = 0.0

    def start(self, transport: asyncio.Transport) -> None:
        """Watch the bytes of `transport` that are unsent now, if there are any."""
        if self._timer is None:
            self._unsent = transport.get_write_buffer_size()
            self._changed_at = self._loop.time()
            self._schedule(transport)

    def record_progress(self) -> None:
        """The client has read something."""
        self._changed_at = self._loop.time()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, transport: asyncio.Transport) -> None:
        self._timer = self._loop.call_later(self._seconds / CHECKS, self._check, transport)

    def _check(self, transport: asyncio.Transport) -> None:
        self._timer = None
        unsent = transport.get_write_buffer_size()
        if not unsent:
            return
        if unsent != self._unsent:
            self._unsent = unsent
            self.record_progress()
        elif self._loop.time() - self._changed_at >= self._seconds:
            log.warning("clients stopped reading their responses: their connections are closed")
            self._close()
            return
        self._schedule(transport)
