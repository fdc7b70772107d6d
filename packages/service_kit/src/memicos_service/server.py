"""The listening socket, uvicorn's configuration, and the end of a server by a signal."""

import asyncio
import errno
import ipaddress
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType

import psutil
import uvicorn
from starlette.types import ASGIApp

from memicos_service.connections.limited_connection import LimitedConfig
from memicos_service.connections.send_watch import limit_unsent_bytes
from memicos_service.connections.settings import ConnectionSettings

CANCEL_SECONDS = 1
"""Longest wait for requests that a second signal cancels."""


def is_loopback(host: str) -> bool:
    """Whether a bind address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(
    host: str,
    port: int,
    *,
    program: str,
    variables: Sequence[str],
    backlog: int | None = None,
) -> socket.socket:
    """A socket bound to the address; ends the program with one line on standard error where that fails.

    Args:
        host: name or address of an interface of this machine.
        port: TCP port.
        program: name of the program, for the message.
        variables: environment variables that set port and host, for the message.
        backlog: number of connections that may wait at once, before the server runs; None: none.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name the protocol; without it each answer may take 40 ms longer
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    limit_unsent_bytes(listener)
    try:
        listener.bind((host, port))
        if backlog is not None:
            listener.listen(backlog)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = f"it is held by {_listening_process(port)}" if in_use else error.strerror
        sys.exit(f"{program}: cannot listen on {host}:{port}: {reason}. Set {' or '.join(variables)}.")
    return listener


def _listening_process(port: int) -> str:
    """The process that listens on `port`, as `process 12 (command line)`, where this user may see it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command[:120]})"
    except psutil.Error:
        # macOS shows connections to root only; or the process has just ended
        pass
    return "another process"


def server_config(app: ASGIApp, graceful_seconds: int, limits: ConnectionSettings) -> LimitedConfig:
    """uvicorn's configuration: limits of connections, our own logs, and a limit on how long a shutdown waits.

    uvicorn itself reads no forwarding header: by default it would trust every process of this machine.
    """
    return LimitedConfig(
        app,
        limits,
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=graceful_seconds,
    )


class Server(uvicorn.Server):
    """Serves until SIGTERM or Ctrl-C, and shuts down in the same way after both: the exit status is 0.

    A second signal ends the wait for responses. uvicorn would then cancel the application, whose end would be a
    traceback in the log, and raise every signal again: the exit status would be that of a kill.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            if requests := set(self.server_state.tasks):
                for request in requests:
                    request.cancel()
                await asyncio.wait(requests, timeout=CANCEL_SECONDS)
            await self.lifespan.shutdown()


def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until a signal; further signals do not interrupt what the program does afterwards."""
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        # after the server has given back its handlers
        pass
    finally:
        # unlike SIG_IGN, a function is not inherited by other programs, such as those that stop PostgreSQL
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
