"""A server that is told to end: streams say so, what waits is refused, and the program ends at once and in order."""

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
from memicos_testing.json_bodies.event_stream import ask_and_stop, events
from memicos_testing.json_bodies.inference_bodies import VECTOR
from memicos_testing.servers import free_port
from memicos_testing.small_model import NAME

PROGRAM = """
import os, sys, time
from memicos_engine.sources import source_selection
from memicos_engine.generation.decoder import Decoder
from memicos_inference.__main__ import main

def step(self, real=Decoder.step):
    time.sleep(0.05 if self.n_batch_rows > 1 else 0)
    return real(self)

Decoder.step = step
ports, sys.argv[1:] = sys.argv[1:], []
for port in ports:
    if (process := os.fork()) == 0:
        os.dup2(os.open(f"{port}.log", os.O_WRONLY | os.O_CREAT), 2)
        os.environ["INFERENCE_PORT"] = port
        main()
    print(process, flush=True)
for _ in ports:
    process, status = os.wait()
    print(process, os.waitstatus_to_exitcode(status), flush=True)
"""
"""The program once for each port, a model that takes its time when it has more than one text to write; the modules,
which take long, are imported once. Prints the processes, and then which has ended with what status."""
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
    """Two of them, ready, with room for three texts at a time; and what is printed as they end."""
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
    command = [sys.executable, "-c", PROGRAM, *map(str, ports)]
    with subprocess.Popen(command, env=os.environ | own, cwd=folder, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        running = [
            Running(f"http://127.0.0.1:{port}", int(parent.stdout.readline()), folder / f"{port}.log") for port in ports
        ]
        try:
            for one in running:
                with httpx.Client(base_url=one.url) as http:
                    until(lambda http=http: _is_ready(http))
            yield parent.stdout, running
        finally:
            for one in running:
                with suppress(ProcessLookupError):
                    os.kill(one.process, signal.SIGKILL)


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/health").json()["ready"]
    except httpx.ConnectError:
        return False


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


class Reader(threading.Thread):
    """Asks and reads: `status` and `text` are of the answer so far."""

    def __init__(self, url: str, **values: Any) -> None:
        super().__init__()
        self.url, self.body = url, LONG | values
        self.status, self.headers, self.text = 0, httpx.Headers(), ""

    def run(self) -> None:
        with httpx.stream("POST", f"{self.url}/v1/steer/completion", json=self.body, timeout=60) as answer:
            self.status, self.headers = answer.status_code, answer.headers
            for piece in answer.iter_text():
                self.text += piece


@pytest.mark.parametrize(("number", "stopped"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_streams_are_told_and_what_waits_is_refused(
    programs: tuple[IO[str], list[Running]], number: signal.Signals, stopped: bool
) -> None:
    """Beside a client that does not read, too: it is not waited for long."""
    ended, running = programs
    program = running[stopped]
    url = program.url
    one = None
    if stopped:
        one = ask_and_stop(f"{url}/v1/steer/completion", LONG | {"stream": True, "n_logprobs": 10})
        time.sleep(2)  # more than there is room for between here and there
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
    time.sleep(0.5)  # nothing tells that they have arrived
    began = time.monotonic()
    os.kill(program.process, number)
    assert ended.readline() == f"{program.process} 0\n"
    assert time.monotonic() - began < (6 if stopped else 3)
    log = program.log.read_text()
    assert "Traceback" not in log and "ERROR" not in log, log
    for reader in (*readers, *waiting):
        reader.join(10)
    for reader, name in zip(readers, ("message", "delta"), strict=True):
        *before, last = events(reader.text)
        assert {one for one, _ in before} == {name}
        assert last == ("error", {"error": "The server is shutting down.", "cause": "stopping"})
    for reader in waiting:
        assert reader.status == 503 and '"cause":"stopping"' in reader.text and int(reader.headers["retry-after"]) > 0
    if one is not None:
        one.close()
