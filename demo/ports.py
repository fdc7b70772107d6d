"""Is a port free, and who holds it?"""

import errno
import socket

import psutil


def holder(port: int) -> str:
    """The process that listens on `port`, in words, as far as this user may see it."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        # macOS tells root only
        connections = []
    for connection in connections:
        address = connection.laddr
        listens = connection.status == psutil.CONN_LISTEN and address and address.port == port
        if listens and connection.pid:
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline())
            except psutil.Error:
                command = ""
            return f"process {connection.pid}" + (f" ({command[:120]})" if command else "")
    return "another process"


def problem(service: str, host: str, port: int, variable: str) -> str | None:
    """Why `service` cannot listen on host:port, with what helps; None where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"{service} cannot listen on {host}:{port}: {error.strerror}. Set {variable}."
    return (
        f"port {port}, which {service} needs, is held by {holder(port)}. "
        f"Stop it, or choose another port: {variable}={port + 10} make demo"
    )
