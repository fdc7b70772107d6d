"""Shutdown by a signal: streams end in an error event, waiting requests are refused, the process exits with 0."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from memicos_testing.inference_metrics import parse_metric
from memicos_testing.json_bodies.event_stream import events, post_without_reading
from memicos_testing.json_bodies.inference_bodies import VECTOR
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import free_port

PROGRAM = Path(__file__).with_name("slow_servers.py")
LONG: dict[str, Any] = {
    "model": NAME,
    "prompt": "Alice",
    "types": ["DEFAULT"],
    "features": [],
    "n_completion_tokens": 100,
    "temperature": 50,
    "seed": 3,
}


@dataclass(frozen=True)
class Running:
    url: str
    process: int
    log: Path


@pytest.fixture(scope="module")
def programs(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[IO[str], list[Running]]]:
    """Two servers that are ready, each with INFERENCE_MAX_ROWS=3; and the output that has their exit statuses."""
    ports = [free_port(), free_port()]
    folder = tmp_path_factory.mktemp("logs")
    own = {
        "MODEL_ID": NAME,
        "CUSTOM_HF_MODEL_ID": str(model_folder),
        "SAE_SETS": "[]",
        "DEVICE": "cpu",
        "INFERENCE_MAX_ROWS": "3",
        "INFERENCE_SELFTEST_SECONDS": "0",
    }
    command = [sys.executable, str(PROGRAM), *map(str, ports)]
    with subprocess.Popen(command, env=os.environ | own, cwd=folder, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        running = [
            Running(f"http://127.0.0.1:{port}", int(parent.stdout.readline()), folder / f"{port}.log") for port in ports
        ]
        try:
            for server in running:
                with httpx.Client(base_url=server.url) as http:
                    until(lambda http=http: _is_ready(http))
            yield parent.stdout, running
        finally:
            for server in running:
                with suppress(ProcessLookupError):
                    os.kill(server.process, signal.SIGKILL)


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/health").json()["ready"]
    except httpx.ConnectError:
        return False


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def metric(url: str, name: str) -> dict[str, float]:
    return parse_metric(httpx.get(f"{url}/metrics").text, name)


class Reader(threading.Thread):
    """Sends a request and reads the response; `status` and `text` are those of the response so far."""

    def __init__(self, url: str, **values: Any) -> None:
        super().__init__()
        self.url, self.body = url, LONG | values
        self.status, self.headers, self.text = 0, httpx.Headers(), ""

    def run(self) -> None:
        with httpx.stream("POST", f"{self.url}/v1/steer/completion", json=self.body, timeout=60) as response:
            self.status, self.headers = response.status_code, response.headers
            for piece in response.iter_text():
                self.text += piece


@pytest.mark.parametrize(("number", "stopped"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_streams_end_in_an_error_event_and_waiting_requests_are_refused(
    programs: tuple[IO[str], list[Running]], number: signal.Signals, stopped: bool
) -> None:
    """Also with a client that does not read: the server does not wait for it for more than a few seconds."""
    ended, running = programs
    program = running[stopped]
    url = program.url
    unread = None
    if stopped:
        unread = post_without_reading(f"{url}/v1/steer/completion", LONG | {"stream": True, "n_logprobs": 10})
        until(lambda: metric(url, "tokens_out_total").get("") == LONG["n_completion_tokens"])
        # more than the buffers of the connection hold: the response has not ended
        assert not any("/v1/steer/completion" in label for label in metric(url, "requests_total"))
    readers = [Reader(url, stream=True), Reader(url, stream=True, stream_deltas=True)]
    for reader in readers:
        reader.start()
    until(lambda: all(reader.text.count("data: ") > 3 for reader in readers))
    waiting = [
        Reader(url, types=["DEFAULT", "STEERED"], features=None, vectors=[VECTOR], stream=stream)
        for stream in (True, False)
    ]
    for reader in waiting:
        reader.start()
    until(lambda: metric(url, "waiting").get('{kind="text"}') == 2)
    started = time.monotonic()
    os.kill(program.process, number)
    assert ended.readline() == f"{program.process} 0\n"
    assert time.monotonic() - started < (6 if stopped else 3)
    log = program.log.read_text()
    assert "Traceback" not in log and "ERROR" not in log, log
    for reader in (*readers, *waiting):
        reader.join(10)
    for reader, name in zip(readers, ("message", "delta"), strict=True):
        *before, last = events(reader.text)
        assert {event_name for event_name, _ in before} == {name}
        assert last == ("error", {"error": "The server is shutting down.", "cause": "stopping"})
    for reader in waiting:
        assert reader.status == 503 and '"cause":"stopping"' in reader.text and int(reader.headers["retry-after"]) > 0
    if unread is not None:
        unread.close()
