"""The listening socket and uvicorn's configuration."""

import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence

import psutil
from starlette.types import ASGIApp

from memicos_service.connections.limited_connection import LimitedConfig
from memicos_service.connections.send_watch import limit_unsent_bytes
from memicos_service.connections.settings import ConnectionSettings


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
