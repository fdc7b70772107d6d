"""A client with many requests does not block others: in the model's thread, in the queue, or by changing its name."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import torch
from memicos_engine.capture import capture
from memicos_engine.generation.decoder import Decoder
from memicos_inference.http.responses import client_of
from memicos_inference.settings import Settings
from memicos_testing.inference_metrics import until_disconnects, until_waiting
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve
from pydantic import SecretStr
from starlette.requests import Request

SINGLE: dict[str, Any] = {"model": NAME, "prompt": "Alice sat on the bank", "source": "1-small", "index": 3}
LONG: dict[str, Any] = {
    "model": NAME,
    "prompt": "Alice",
    "types": ["DEFAULT"],
    "features": [],
    "n_completion_tokens": 60,
    "temperature": 50,
    "seed": 3,
}


@dataclass(frozen=True)
class HeldPrefill:
    """Prompts of generations run only after `go`; `reached` is set by the first attempt."""

    go: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def prefill(real_probe: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldPrefill]:
    prefill, real = HeldPrefill(), Decoder.prefill

    def held(self: Decoder, *args: Any) -> Any:
        prefill.reached.set()
        if prefill.go.wait(0.005):
            return real(self, *args)
        return []

    monkeypatch.setattr(Decoder, "prefill", held)
    yield prefill
    prefill.go.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_cached_results_do_not_block_other_requests(serve: Serve) -> None:
    """Many requests repeat one prompt, whose activations are cached; another prompt still gets its run."""
    url = await serve(residual_cache_bytes=2**20, wait_seconds=5, sae_sets=("small",))
    stop, counts = asyncio.Event(), [0] * 8
    all_of_it = {"model": NAME, "prompt": "Alice sat on the bank", "source_set": "small"}
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def loop(number: int) -> None:
            while not stop.is_set():
                assert (await http.post("/v1/activation/all", json=all_of_it)).status_code == 200
                counts[number] += 1

        loops = [asyncio.create_task(loop(number)) for number in range(8)]
        await until(lambda: min(counts) > 2)
        for number in range(3):
            response = await http.post("/v1/activation/single", json=SINGLE | {"prompt": f"Rabbit {number}"})
            assert response.status_code == 200, response.text
        stop.set()
        await asyncio.gather(*loops)


async def test_a_full_queue_evicts_requests_of_the_client_with_most(serve: Serve, prefill: HeldPrefill) -> None:
    url = await serve(max_waiting=4, max_rows=1, sae_sets=("small",), selftest_seconds=0, client_key=SecretStr("key"))
    async with httpx.AsyncClient(base_url=url, timeout=60, headers={"X-Client-Key": "key"}) as http:

        def send(client: str) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(http.post("/v1/steer/completion", json=LONG, headers={"X-Client-ID": client}))

        greedy = [send("greedy")]
        await asyncio.to_thread(prefill.reached.wait, 20)
        greedy += [send("greedy") for _ in range(5)]
        # one request runs, four wait, and one is refused
        await until(lambda: any(task.done() for task in greedy))
        await until_waiting(http, text=4)
        assert [task.result().status_code for task in greedy if task.done()] == [503]
        others = [send("other"), send("another")]
        # the newest requests of the greedy client are evicted, until other clients have as many
        await until(lambda: sum(task.done() for task in greedy) == 3)
        await until_waiting(http, text=4)
        assert not any(task.done() for task in others)
        assert [task.result().json()["cause"] for task in greedy if task.done()] == ["busy"] * 3
        assert (await send("other")).status_code == 503
        prefill.go.set()
        assert [response.status_code for response in await asyncio.gather(*others)] == [200, 200]
        assert sorted(response.status_code for response in await asyncio.gather(*greedy)) == [200] * 3 + [503] * 3


@pytest.mark.parametrize(
    ("settings", "sent_key", "client"),
    [
        (Settings(), None, "127.0.0.1"),
        (Settings(), b"", "127.0.0.1"),
        (Settings(client_key=SecretStr("key")), None, "127.0.0.1"),
        (Settings(client_key=SecretStr("key")), b"other", "127.0.0.1"),
        (Settings(client_key=SecretStr("key")), b"key", "ann"),
        # the guard has refused requests without the secret
        (Settings(secret=SecretStr("s")), None, "ann"),
    ],
)
def test_client_ids_are_accepted_with_the_secret_or_the_client_key(
    settings: Settings, sent_key: bytes | None, client: str
) -> None:
    """Others could take the turns of many clients by a new id for each request, also on this machine."""
    keys = [(b"x-client-key", sent_key)] if sent_key is not None else []
    scope = {"type": "http", "client": ("127.0.0.1", 5), "headers": [(b"x-client-id", b"ann"), *keys]}
    assert client_of(Request(scope), settings) == client


async def test_the_server_survives_running_out_of_memory(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        with monkeypatch.context() as patch:
            patch.setattr(capture, "_capture_by_modules", full)
            patch.setattr(torch, "tensor", full)
            for path, body in (("activation/single", SINGLE), ("steer/completion", LONG)):
                response = await http.post(f"/v1/{path}", json=body)
                assert response.status_code == 503 and response.json()["cause"] == "out_of_memory", response.text
        assert (await http.post("/v1/activation/single", json=SINGLE)).status_code == 200
        assert (await http.post("/v1/steer/completion", json=LONG)).status_code == 200


async def test_a_client_that_leaves_ends_its_captures(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await serve(slice_tokens=1, token_limit=100, sae_sets=("small",), selftest_seconds=0)
    runs, real = 0, capture._capture_by_modules
    reached, go = threading.Event(), threading.Event()

    def held(*args: Any) -> Any:
        nonlocal runs
        runs += 1
        reached.set()
        assert go.wait(30)
        return real(*args)

    monkeypatch.setattr(capture, "_capture_by_modules", held)
    body = SINGLE | {"prompt": "Alice " * 40}  # at 8 tokens at a time
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        task = asyncio.create_task(http.post("/v1/activation/single", json=body))
        await asyncio.to_thread(reached.wait, 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until_disconnects(http, 1)
        go.set()
        # would wait until all slices of the other prompt are run
        assert (await http.post("/v1/activation/single", json=SINGLE | {"prompt": "Alice"})).status_code == 200
        assert runs == 2
        assert (await http.post("/v1/activation/single", json=body)).status_code == 200
        assert runs > 6
