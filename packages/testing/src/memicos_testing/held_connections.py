"""A client that holds many connections without sending complete requests, and another one that asks for a page."""

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["header", "body", "silent", "idle"]
BEGINNINGS: dict[Kind, bytes] = {
    "header": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Part: ",
    "body": b"POST /v1/tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{",
    "silent": b"",
    "idle": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}
"""What a connection sends: half of the headers, half of a body, nothing, or one request before it stays open."""


@contextmanager
def held(port: int, number: int, kind: Kind) -> Iterator[None]:
    """Hold `number` connections to a port of this machine; open another one for each that the server closes."""
    stop = threading.Event()
    connections: list[socket.socket] = []

    def hold() -> None:
        while not stop.is_set():
            connections[:] = [connection for connection in connections if _is_open(connection)]
            for _ in range(number - len(connections)):
                if (connection := _connect(port, BEGINNINGS[kind])) is not None:
                    connections.append(connection)
            stop.wait(0.1)
        for connection in connections:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _connect(port: int, beginning: bytes) -> socket.socket | None:
    connection = socket.socket()
    connection.settimeout(0.5)
    try:
        connection.connect(("127.0.0.1", port))
        connection.sendall(beginning)
    except OSError:
        # the server does not accept connections, or has closed this one
        connection.close()
        return None
    connection.setblocking(False)
    return connection


def _is_open(connection: socket.socket) -> bool:
    """Whether the server has not closed the connection; closes our end where it has."""
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    connection.close()
    return False


@dataclass(frozen=True)
class Service:
    """How requests of another client fared: seconds of each that was answered, and the number of all."""

    seconds: list[float]
    requests: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("inf")


def measure_service(port: int, seconds: float, *, every: float, timeout: float) -> Service:
    """Request /health on a new connection again and again for some seconds.

    Args:
        port: port of this machine.
        seconds: duration of the measurement; no request is sent afterwards.
        every: seconds between two requests.
        timeout: seconds after which a request counts as unanswered.
    """
    answered, requests = [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        requests += 1
        if _is_answered(port, timeout):
            answered.append(time.monotonic() - started)
        time.sleep(max(0.0, every - (time.monotonic() - started)))
    return Service(answered, requests)


def _is_answered(port: int, timeout: float) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return connection.recv(20).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
