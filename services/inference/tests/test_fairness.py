"""Whoever asks much does not shut out others: from the model, at the door, or by a name that it makes up."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import torch
from memicos_engine.capture import capture
from memicos_engine.generation.decoder import Decoder
from memicos_inference.http.responses import client_of
from memicos_inference.settings import Settings
from memicos_testing.servers import Serve
from memicos_testing.small_model import NAME
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


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """Prompts of texts are run only when it is set."""
    event, real = asyncio.Event(), Decoder.prefill

    def held(self: Decoder, *most: Any) -> Any:
        if event.is_set():
            return real(self, *most)
        time.sleep(0.005)
        return []

    monkeypatch.setattr(Decoder, "prefill", held)
    yield event
    event.set()


async def test_what_is_kept_does_not_keep_others_from_the_model(serve: Serve) -> None:
    """Many loop over one prompt, whose activations are kept; another prompt still gets its run."""
    url = await serve(residual_cache_bytes=2**20, wait_seconds=5, sae_sets=("small",))
    ended = asyncio.Event()
    all_of_it = {"model": NAME, "prompt": "Alice sat on the bank", "source_set": "small"}
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def loop() -> int:
            n = 0
            while not ended.is_set():
                assert (await http.post("/v1/activation/all", json=all_of_it)).status_code == 200
                n += 1
            return n

        loops = [asyncio.create_task(loop()) for _ in range(8)]
        await asyncio.sleep(0.5)
        for number in range(3):
            answer = await http.post("/v1/activation/single", json=SINGLE | {"prompt": f"Rabbit {number}"})
            assert answer.status_code == 200, answer.text
        ended.set()
        assert sum(await asyncio.gather(*loops)) > 20


async def test_who_fills_the_queue_makes_room_for_others(serve: Serve, go: asyncio.Event) -> None:
    url = await serve(max_waiting=4, max_rows=1, sae_sets=("small",), selftest_seconds=0)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        def asks(client: str) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(http.post("/v1/steer/completion", json=LONG, headers={"X-Client-ID": client}))

        greedy = [asks("greedy")]
        await asyncio.sleep(0.3)
        greedy += [asks("greedy") for _ in range(5)]
        for _ in range(500):  # one is at the model, four wait, and one is refused
            if any(one.done() for one in greedy):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert [one.result().status_code for one in greedy if one.done()] == [503]
        others = [asks("other"), asks("another")]
        await asyncio.sleep(0.5)
        # the newest of the greedy give way, until others have as many
        assert not any(one.done() for one in others)
        assert [one.result().json()["cause"] for one in greedy if one.done()] == ["busy"] * 3
        assert (await asks("other")).status_code == 503
        go.set()
        assert [one.status_code for one in await asyncio.gather(*others)] == [200, 200]
        assert sorted(one.status_code for one in await asyncio.gather(*greedy)) == [200] * 3 + [503] * 3


@pytest.mark.parametrize(
    ("address", "secret", "client"),
    [("127.0.0.1", None, "ann"), ("::1", None, "ann"), ("10.0.0.7", "s", "ann"), ("10.0.0.7", None, "10.0.0.7")],
)
def test_who_may_say_whom_they_ask_for(address: str, secret: str | None, client: str) -> None:
    """The webapp, on this machine or with the secret; anyone else could be somebody new each time."""
    scope = {"type": "http", "client": (address, 5), "headers": [(b"x-client-id", b"ann")]}
    assert client_of(Request(scope), Settings(secret=SecretStr(secret) if secret else None)) == client


async def test_where_the_machine_has_no_memory_the_server_goes_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        with monkeypatch.context() as patch:
            patch.setattr(capture, "_capture_by_modules", full)
            patch.setattr(torch, "tensor", full)
            for path, body in (("activation/single", SINGLE), ("steer/completion", LONG)):
                answer = await http.post(f"/v1/{path}", json=body)
                assert answer.status_code == 503 and answer.json()["cause"] == "out_of_memory", answer.text
        assert (await http.post("/v1/activation/single", json=SINGLE)).status_code == 200
        assert (await http.post("/v1/steer/completion", json=LONG)).status_code == 200


async def test_a_client_that_leaves_ends_its_captures(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await serve(slice_tokens=1, token_limit=100, sae_sets=("small",), selftest_seconds=0)
    runs, real = 0, capture._capture_by_modules

    def counted(*given: Any) -> Any:
        nonlocal runs
        runs += 1
        asyncio.run(asyncio.sleep(0.05))
        return real(*given)

    monkeypatch.setattr(capture, "_capture_by_modules", counted)
    body = SINGLE | {"prompt": "Alice " * 40}  # at 8 tokens at a time
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await http.post("/v1/activation/single", json=body)
        await asyncio.sleep(0.3)
        after, whole = runs, len((await http.post("/v1/tokenize", json={"model": NAME, "text": body["prompt"]})).json())
        await asyncio.sleep(0.3)
        assert 0 < runs == after < 12 and whole
