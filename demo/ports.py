"""Checks whether a port is free, and which process listens on it."""

import errno
import socket

import psutil


def listener(port: int) -> str:
    """A description of the process that listens on `port`, as far as this user may see it."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        # on macOS only root may list them
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


def port_problem(service: str, host: str, port: int, variable: str) -> str | None:
    """Why `service` cannot listen on host:port and what to do; None if it can."""
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
        f"port {port}, which {service} needs, is held by {listener(port)}. "
        f"Stop it, or choose another port: {variable}={port + 10} make demo"
    )
