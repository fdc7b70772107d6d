"""An orderly shutdown: every waiting request gets a response, and no client delays the exit for long."""

import asyncio
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI
from memicos_service.connections.settings import ConnectionSettings
from memicos_service.server import server_config

from memicos_inference.scheduler.scheduler import Scheduler

CLOSE_AFTER_SECONDS = 2
"""Time that clients have to read the end of their responses. Then their connections are closed."""


class Server(uvicorn.Server):
    """Serves `app` until a signal, and shuts down in the same way after each."""

    def __init__(self, app: FastAPI, limits: ConnectionSettings) -> None:
        super().__init__(server_config(app, graceful_seconds=2 * CLOSE_AFTER_SECONDS, limits=limits))
        self._scheduler: Scheduler = app.state.scheduler

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own method keeps the signal and raises it again at the end: the exit status would be of a kill
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn first waits for responses: end the streams now, or they would run until it cuts them off
        self._scheduler.stop()
        closing = asyncio.get_running_loop().call_later(CLOSE_AFTER_SECONDS, self._close_connections)
        await super().shutdown(sockets)
        closing.cancel()

    def _close_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
