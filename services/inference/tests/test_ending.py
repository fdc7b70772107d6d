"""A server that is told to end: streams say so, what waits is refused, and the program ends at once and in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from event_stream import ask_and_stop, events
from inference_bodies import VECTOR
from servers import free_port
from small_model import NAME

SLOW = """
import time
from memicos_engine.decoder import Decoder

def slow(self, real=Decoder.step):
    time.sleep(0.05)
    return real(self)

Decoder.step = slow
from memicos_inference.__main__ import main
main()
"""
"""The program, with a model that takes its time."""
LONG: dict[str, Any] = {
    "model": NAME,
    "prompt": "Alice",
    "types": ["DEFAULT"],
    "features": [],
    "n_completion_tokens": 100,
    "temperature": 50,
    "seed": 3,
}


@pytest.fixture
def program(model_folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, ready, with room for three texts at a time; and where it listens."""
    port = free_port()
    own = {
        "MODEL_ID": NAME,
        "CUSTOM_HF_MODEL_ID": str(model_folder),
        "SAE_SETS": "[]",
        "DEVICE": "cpu",
        "INFERENCE_PORT": str(port),
        "INFERENCE_MAX_ROWS": "3",
        "INFERENCE_SELFTEST_SECONDS": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _is_ready(process, url))
        yield process, url
    finally:
        process.kill()
        process.communicate(timeout=20)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _is_ready(process: subprocess.Popen[str], url: str) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(f"{url}/health").json()["ready"]
    except httpx.ConnectError:
        return False


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
    program: tuple[subprocess.Popen[str], str], number: signal.Signals, stopped: bool
) -> None:
    """Beside a client that does not read, too: it is not waited for long."""
    process, url = program
    one = ask_and_stop(f"{url}/v1/steer/completion", LONG | {"stream": True, "n_logprobs": 10}) if stopped else None
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
    process.send_signal(number)
    _, log = process.communicate(timeout=20)
    assert time.monotonic() - began < (5 if stopped else 2) and process.returncode == 0
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
