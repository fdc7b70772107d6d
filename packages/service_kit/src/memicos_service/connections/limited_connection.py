"""uvicorn's connections with limits: on their number, and on the time that a request or a response stays incomplete.

An incomplete request costs its client nothing and the server an open file. uvicorn limits only the time between two
requests of a connection, and accepts connections until the process has no open files left.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from memicos_service.connections.send_watch import SendWatch
from memicos_service.connections.settings import MAX_CONNECTIONS, ConnectionSettings
from memicos_service.logs.request_log import CLIENT_DISCONNECTED
from memicos_service.security.headers import security_headers

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""Age of an incomplete request from which on its connection is closed for a new one before any idle connection."""
REFUSED_CONNECTIONS = 16
"""Number of refused connections that stay open until their clients have read the response."""
REFUSED_SECONDS = 1.0
"""Longest time that a refused connection stays open."""


class Phase(Enum):
    """What a connection waits for."""

    HEADERS = auto()
    BODY = auto()
    RESPONSE = auto()
    NEXT_REQUEST = auto()
    CLOSE = auto()
    """The connection was refused, and waits until the client closes it."""


class LimitedConfig(uvicorn.Config):
    """uvicorn's configuration with limits on connections, for `LimitedConnection`."""

    def __init__(self, app: ASGIApp, limits: ConnectionSettings, **options: Any) -> None:
        super().__init__(app, http=LimitedConnection, ws="none", backlog=limits.backlog, **options)
        self.limits = limits
        self.max_connections = limits.max_connections or MAX_CONNECTIONS
        self.refused: set[LimitedConnection] = set()


class LimitedConnection(H11Protocol):
    """Closes the connection of a request that stays incomplete or of a response that is not read.

    It also closes a connection for each that exceeds their limit.
    """

    def __init__(
        self,
        config: LimitedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = config.limits
        self.max_connections = config.max_connections
        self.refused = config.refused
        self.timeout_keep_alive = config.limits.idle_seconds
        self.phase = Phase.HEADERS
        self.phase_began = self.loop.time()
        self._request: RequestResponseCycle | None = None
        """The request that `phase` is about."""
        self._deadline: asyncio.TimerHandle | None = None
        self._send_watch = SendWatch(self.loop, config.limits.send_seconds, self.abort)

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections and not self._close_another():
            return self._refuse()
        self._enter(Phase.HEADERS)

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.CLOSE:
            return
        super().data_received(data)
        self._update_phase()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_watch.start(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._send_watch.record_progress()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._send_watch.start(self.transport)
        self._update_phase()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.scope.setdefault("state", {})[CLIENT_DISCONNECTED] = True
        self._cancel_deadline()
        self._send_watch.stop()
        self.refused.discard(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection at once; a request in progress is told that its client disconnected."""
        self.connections.discard(self)
        self.transport.abort()

    def _update_phase(self) -> None:
        """Enter the phase that follows from the parser's state, where it is another one."""
        state = self.conn.their_state
        if state is h11.IDLE:
            is_first = self.cycle is None
            phase = Phase.HEADERS if is_first or self.conn.trailing_data[0] else Phase.NEXT_REQUEST
        else:
            phase = Phase.BODY if state is h11.SEND_BODY else Phase.RESPONSE
        if (phase, self.cycle) != (self.phase, self._request):
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        self._cancel_deadline()
        self.phase = phase
        self.phase_began = self.loop.time()
        self._request = self.cycle
        seconds = {
            Phase.HEADERS: self.limits.header_seconds,
            Phase.BODY: self.limits.body_seconds,
            # uvicorn's own timer does not run after the rest of a body that nobody has read
            Phase.NEXT_REQUEST: self.limits.idle_seconds,
            Phase.CLOSE: REFUSED_SECONDS,
        }.get(phase)
        if seconds is not None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(seconds, self._end)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        """Close the connection, whose phase has taken too long."""
        if self.phase is Phase.BODY and self.flow.read_paused:
            # the application does not read at present: that is no fault of the client
            return self._enter(Phase.BODY)
        if self.phase is Phase.NEXT_REQUEST and self.transport.get_write_buffer_size():
            # the client still reads the response
            return self._enter(Phase.NEXT_REQUEST)
        is_incomplete = self.phase is Phase.BODY or bool(self.conn.trailing_data[0])
        if is_incomplete:
            log.warning("requests were not complete in time: their connections are closed")
        if is_incomplete and self._may_respond:
            self._send(408, b"The request was not complete in time.", {"retry-after": "1"})
            self.transport.close()
        else:
            self.abort()

    def send_400_response(self, msg: str) -> None:
        """The response to what is no HTTP, or has headers that contradict one another."""
        if self._may_respond:
            self._send(400, msg.encode(), {})
        self.transport.close()

    @property
    def _may_respond(self) -> bool:
        """Whether no response to the request has begun."""
        return self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    def _send(self, status: int, text: bytes, more: Mapping[str, str]) -> None:
        """Send a response of the server itself, the last one of the connection."""
        headers = {"content-type": "text/plain; charset=utf-8", "connection": "close", **security_headers(), **more}
        headers["content-length"] = str(len(text))
        for event in (
            h11.Response(status_code=status, headers=list(headers.items())),
            h11.Data(data=text),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")

    def _close_another(self) -> bool:
        """Close the connection that a new one replaces; False where all have requests in progress.

        It is one of the address with most connections: the longest incomplete request, else the connection that has
        been idle longest, else the oldest request that is incomplete since less than `GRACE_SECONDS`.
        """
        others = [connection for connection in self.connections if isinstance(connection, LimitedConnection)]
        addresses = Counter(connection.address for connection in others)
        now = self.loop.time()

        def rank(connection: LimitedConnection) -> tuple[int, int, float]:
            if connection.phase is Phase.NEXT_REQUEST:
                group = 1
            else:
                group = 0 if now - connection.phase_began >= GRACE_SECONDS else 2
            return -addresses[connection.address], group, connection.phase_began

        waiting = [other for other in others if other is not self and other.phase is not Phase.RESPONSE]
        if not waiting:
            return False
        log.warning("the limit of connections is reached: those without a complete request are closed for new ones")
        min(waiting, key=rank).abort()
        return True

    @property
    def address(self) -> str:
        return self.client[0] if self.client else ""

    def _refuse(self) -> None:
        log.warning("the limit of connections is reached by requests in progress: new connections are refused")
        self._send(503, b"The server has too many connections.", {"retry-after": "1"})
        self.connections.discard(self)
        if len(self.refused) >= REFUSED_CONNECTIONS:
            return self.transport.abort()
        # closed before the client's request is read, the connection would be reset, and the response be lost
        self.refused.add(self)
        self.transport.write_eof()
        self._enter(Phase.CLOSE)
