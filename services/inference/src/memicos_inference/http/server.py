"""How the server ends: whoever waits is told why, and nobody is waited for longer than a moment."""

import asyncio
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from memicos_inference.scheduler.scheduler import Scheduler

PATIENCE = 2
"""Seconds for readers to take what there is for them. Then their connections are closed."""


class Server(uvicorn.Server):
    """Serves `app` until a signal, and ends in order whichever it was."""

    def __init__(self, app: FastAPI) -> None:
        # its own log settings would take its lines away from ours; requests have lines in request_log
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=2 * PATIENCE
        )
        super().__init__(config)
        self._scheduler: Scheduler = app.state.scheduler

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would also keep the signal and raise it at the end, and the exit status would be that of a kill
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for answers first, and streams would go on until it cuts them off
        self._scheduler.stop()
        closing = asyncio.get_running_loop().call_later(PATIENCE, self._close)
        await super().shutdown(sockets)
        closing.cancel()

    def _close(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
