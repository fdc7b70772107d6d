"""Two real inference servers with the same model behind one webapp: one is stopped or killed, and comes back."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_pipeline.generate import generate
from memicos_testing.models.small_model import small_model, small_sae, write_extras
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.servers import free_port, in_thread
from memicos_webapp.app import create_app
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load
from memicos_webapp.settings import Settings

SOURCES = ("1-res", "2-res")
START_SECONDS = 240
SECRET = "a-secret-of-the-test"
SHOWN_SECONDS = 10
"""Longest time until a source that was added or removed shows; hosts are polled every 0.5 s."""
TEXT = {"feature": {"modelId": "glass", "layer": "1-res", "index": "5"}, "customText": "Alice sat by the Rabbit."}
STEER = {
    "modelId": "glass",
    "prompt": "Alice sat",
    "n_tokens": 64,
    "features": [{"modelId": "glass", "layer": "1-res", "index": 5, "strength": 2}],
}


@dataclass
class InferenceServer:
    """An inference server in a process of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        variables = {
            "MODEL_ID": "glass",
            "CUSTOM_HF_MODEL_ID": str(self.folder / "model"),
            "SAE_FOLDER": str(self.folder / "saes"),
            "SAE_SETS": '["res"]',
            "DEVICE": "cpu",
            "INFERENCE_PORT": str(self.port),
            "INFERENCE_SELFTEST_RESULTS": str(self.folder / "selftest"),
            "INFERENCE_SECRET": SECRET,
            "INFERENCE_SAE_ROOTS": json.dumps([str(self.folder / "saes")]),
        }
        log = (self.folder / f"inference-{self.port}.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "memicos_inference"],
                cwd=self.folder,
                env={**os.environ, **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def change(self, method: str, path: str, body: dict[str, str] | None = None) -> None:
        """Add or remove a source."""
        response = httpx.request(
            method, f"{self.url}/v1/admin/sources{path}", json=body, headers={"X-SECRET-KEY": SECRET}, timeout=120
        )
        assert response.status_code == 200, response.text

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)


@dataclass(frozen=True)
class Stack:
    webapp: str
    a: InferenceServer
    b: InferenceServer

    def states(self) -> dict[str, str]:
        return {host["name"]: host["state"] for host in httpx.get(f"{self.webapp}/health").json()["inference"]}

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{self.webapp}{path}", json=body, timeout=120)

    def wait(self, condition: Callable[[dict[str, str]], bool], seconds: float = START_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition(self.states()):
            assert time.monotonic() < end, self.states()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("hosts")
    small_model(folder / "model")
    for name in SOURCES:
        small_sae(folder / "saes" / name, int(name[0]), 48, seed=int(name[0]))
        write_extras(folder / "saes" / name, [0], None)
    servers = [InferenceServer(folder, free_port()) for _ in range(2)]
    try:
        for server in servers:
            server.start()
        config = tiny_config(folder, SOURCES, 32, 24)
        generate(config, lambda line: None)
        with temporary() as database:
            asyncio.run(migrate(database))
            asyncio.run(load(config.out, database))
            hosts = ",".join(f"{name}={server.url}" for name, server in zip("ab", servers, strict=True))
            own: Any = {
                "database_url": database,
                "inference_hosts": hosts,
                "inference_secret": SECRET,
                "inference_poll_seconds": 0.5,
                "embed_every_seconds": 0,
            }
            with in_thread(create_app(Settings(_env_file=None, **own))) as webapp:  # pyright: ignore[reportCallIssue]
                yield Stack(webapp, *servers)
    finally:
        for server in servers:
            server.kill()


def wait_for_status(stack: Stack, body: dict[str, Any], status: int) -> httpx.Response:
    """The first response with this status to a text on a feature."""
    end = time.monotonic() + SHOWN_SECONDS
    while (response := stack.post("/api/activation/new", body)).status_code != status:
        assert time.monotonic() < end, (response.status_code, response.text)
        time.sleep(0.2)
    return response


@pytest.mark.slow
def test_a_source_added_or_removed_at_a_running_server_shows_within_seconds(stack: Stack) -> None:
    stack.wait(lambda states: set(states.values()) == {"ready"})
    text = {**TEXT, "feature": {**TEXT["feature"], "layer": "2-res"}}
    expected = wait_for_status(stack, text, 200).json()["values"]
    # one host without it: the other serves it
    stack.a.change("DELETE", "/2-res")
    for _ in range(4):
        response = stack.post("/api/activation/new", text)
        assert response.status_code == 200, response.text
        assert response.json()["values"] == pytest.approx(expected, rel=1e-4)
    # no host has it: the response names both, and the other source is served as before
    stack.b.change("DELETE", "/2-res")
    refusal = wait_for_status(stack, text, 503).json()["error"]
    assert stack.a.url in refusal and stack.b.url in refusal and "2-res" in refusal, refusal
    assert stack.post("/api/activation/new", TEXT).status_code == 200
    stack.b.change("POST", "", {"spec": f"path:{stack.b.folder / 'saes' / '2-res'}"})
    assert wait_for_status(stack, text, 200).json()["values"] == pytest.approx(expected, rel=1e-4)
    stack.a.change("POST", "", {"spec": f"path:{stack.a.folder / 'saes' / '2-res'}"})


@pytest.mark.slow
def test_one_of_two_servers_is_stopped(stack: Stack) -> None:
    stack.wait(lambda states: set(states.values()) == {"ready"})
    expected = stack.post("/api/activation/new", TEXT).json()["values"]
    try:
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(stack.post, "/api/activation/new", TEXT) for _ in range(40)]
            calls[5].result()
            stack.a.send(signal.SIGSTOP)
            began = time.monotonic()
            responses = [call.result() for call in calls]
            seconds = time.monotonic() - began
        assert [response.status_code for response in responses] == [200] * 40
        assert all(response.json()["values"] == pytest.approx(expected, rel=1e-4) for response in responses)
        # calls that it held went to the other once a check had failed (5 s), long before the read time-out (120 s)
        assert 3 < seconds < 60
        assert stack.states() == {"a": "down", "b": "ready"}
        assert stack.post("/api/steer", {**STEER, "n_tokens": 2}).status_code == 200
    finally:
        stack.a.send(signal.SIGCONT)
    stack.wait(lambda states: set(states.values()) == {"ready"})
    assert stack.post("/api/activation/new", TEXT).status_code == 200


@pytest.mark.slow
def test_one_of_two_servers_is_killed_during_requests(stack: Stack) -> None:
    stack.wait(lambda states: set(states.values()) == {"ready"})
    expected = stack.post("/api/activation/new", TEXT).json()
    with ThreadPoolExecutor(6) as pool:
        steering = [pool.submit(stack.post, "/api/steer", STEER) for _ in range(2)]
        calls = [pool.submit(stack.post, "/api/activation/new", TEXT) for _ in range(20)]
        calls[5].result()
        stack.a.kill()
        responses = [call.result() for call in calls]
        streams = [call.result() for call in steering]
    # calls that were under way at the killed server were made again at the other
    assert [response.status_code for response in responses] == [200] * 20
    assert all(response.json()["values"] == pytest.approx(expected["values"], rel=1e-4) for response in responses)
    # a generation that had begun is not repeated: it is whole, or says what happened
    assert all(response.status_code == 200 or "was interrupted" in response.json()["error"] for response in streams)
    stack.wait(lambda states: states == {"a": "down", "b": "ready"}, 20)
    for _ in range(3):
        assert stack.post("/api/steer", {**STEER, "n_tokens": 2}).status_code == 200
    # it comes back by itself when it runs again
    stack.a.start()
    stack.wait(lambda states: states == {"a": "ready", "b": "ready"})
    stack.b.kill()
    assert stack.post("/api/activation/new", TEXT).json()["values"] == pytest.approx(expected["values"], rel=1e-4)
    stack.a.kill()
    response = stack.post("/api/activation/new", TEXT)
    # the connection to the one that was just killed may break while the request is sent
    assert response.status_code == 503 and response.json()["error"].count("http://127.0.0.1:") == 2
