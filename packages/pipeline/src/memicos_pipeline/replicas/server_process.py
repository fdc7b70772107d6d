"""A server as a process of this machine: its start, its health, its last lines, its end."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from memicos_pipeline.replicas import process_supervisor

LAST_LINES = 20
"""Lines of a server's output that a message has."""
HEALTH_SECONDS = 5.0
"""Between two questions whether a running server is healthy, and the longest time of an answer."""
UNHEALTHY_ANSWERS = 3
"""Questions in a row without a good answer after which a running server counts as lost."""
STOP_SECONDS = process_supervisor.GRACE_SECONDS + 5


class ReplicaError(RuntimeError):
    """A replica does not start; the message says why, with the server's last lines."""


def free_port(host: str) -> int:
    """A port at which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


class ServerProcess:
    """A server with `GET /health`, started from `command`. It ends with this process, also where that is killed.

    Raises:
        ReplicaError: there is no such program.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], host: str, port: int) -> None:
        self._host, self._port = host, port
        self._name = Path(command[0]).name
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._status: str | None = None
        if shutil.which(command[0]) is None:
            raise ReplicaError(
                f"{command[0]} is not installed on {socket.gethostname()}: install vLLM there (pip install vllm), or "
                "name the program by its path in AUTOINTERP_VLLM_COMMAND"
            )
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", process_supervisor.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self._supervisor.wait()
        self._reader = threading.Thread(target=self._read, name="server-output", daemon=True)
        self._reader.start()

    def wait_until_healthy(self, seconds: float) -> None:
        """
        Raises:
            ReplicaError: it has ended, or /health has not answered within `seconds`.
        """
        end = time.monotonic() + seconds
        while not self.healthy():
            if not self._reader.is_alive():
                raise ReplicaError(f"{self._name} ended while it started{self._ending()}")
            if time.monotonic() > end:
                raise ReplicaError(
                    f"/health of {self._name} did not answer within {seconds:g} s (AUTOINTERP_VLLM_START_SECONDS)"
                    f"{self._last_lines()}"
                )
            self._reader.join(0.2)

    def healthy(self) -> bool:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=HEALTH_SECONDS)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_until_lost(self) -> str:
        """Why it serves no longer, when it does not: it has ended, or its /health does not answer."""
        unhealthy = 0
        while unhealthy < UNHEALTHY_ANSWERS:
            self._reader.join(HEALTH_SECONDS)
            if not self._reader.is_alive():
                return f"{self._name} ended{self._ending()}"
            unhealthy = 0 if self.healthy() else unhealthy + 1
        return f"/health of {self._name} does not answer any more{self._last_lines()}"

    def stop(self) -> None:
        """End it, and wait for that."""
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        self._reader.join(STOP_SECONDS)

    def _read(self) -> None:
        assert self._supervisor.stdout is not None
        for raw in self._supervisor.stdout:
            line = raw.decode(errors="replace").rstrip()
            if line.startswith(process_supervisor.STATUS_MARK):
                self._status = line.removeprefix(process_supervisor.STATUS_MARK)
            elif line:
                self._lines.append(line)

    def _ending(self) -> str:
        return f" with status {self._status or 'unknown'}{self._last_lines()}"

    def _last_lines(self) -> str:
        return "; its last lines:\n" + "\n".join(self._lines) if self._lines else "; it has printed nothing"
