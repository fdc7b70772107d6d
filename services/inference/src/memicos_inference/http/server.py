"""An orderly shutdown: every waiting request gets a response, and no client delays the exit for long."""

import asyncio
import socket

from fastapi import FastAPI
from memicos_service import server
from memicos_service.connections.settings import ConnectionSettings

from memicos_inference.scheduler.scheduler import Scheduler

CLOSE_AFTER_SECONDS = 2
"""Time that clients have to read the end of their responses. Then their connections are closed."""


class Server(server.Server):
    """Serves `app` until a signal, and ends its streams then."""

    def __init__(self, app: FastAPI, limits: ConnectionSettings) -> None:
        super().__init__(server.server_config(app, graceful_seconds=2 * CLOSE_AFTER_SECONDS, limits=limits))
        self._scheduler: Scheduler = app.state.scheduler

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn first waits for responses: end the streams now, or they would run until it cuts them off
        self._scheduler.stop()
        closing = asyncio.get_running_loop().call_later(CLOSE_AFTER_SECONDS, self._close_connections)
        await super().shutdown(sockets)
        closing.cancel()

    def _close_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
