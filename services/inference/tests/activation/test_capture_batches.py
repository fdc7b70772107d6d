"""Captures of several requests share forward passes and encodings, and each gets the values it gets alone."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from memicos_engine.capture import batched_ops
from memicos_engine.sources.source import SaeSource, Source
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.scheduler.pending_request import PendingRequest
from memicos_inference.scheduler.scheduler import Scheduler
from memicos_testing.inference_metrics import disconnects, until_disconnects, until_waiting
from memicos_testing.json_bodies.same_json import alike
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

ASKED: list[tuple[str, dict[str, Any]]] = [
    ("single", {"prompt": "Alice sat on the bank", "source": "1-small", "index": 3}),
    ("single", {"prompt": "Alice sat", "source": "1-small", "index": 9}),
    ("all", {"prompt": "Alice sat on the bank", "source_set": "small", "selected_sources": ["1-small", "2-small"]}),
    ("all", {"prompt": "the Rabbit", "source_set": "small", "selected_sources": ["2-small", "1-small"]}),
    ("all", {"prompt": "a Hatter, a Hare", "source_set": "small", "selected_sources": ["3-small"]}),
    ("topk-by-token", {"prompt": "of cabbages and kings", "source": "2-small"}),
    ("topk-by-token", {"prompt": "Alice", "source": "2-top"}),
    ("all-batch", {"prompts": ["one", "two, three and four"], "source_set": "small", "selected_sources": ["2-small"]}),
    ("source", {"prompts": ["a Dormouse", "tea"], "source": "1-small"}),
    ("single", {"prompt": "no such feature", "source": "1-small", "index": 10_000}),
]


class Gate:
    """Holds arriving requests until `go`, then submits them together. `runs`: sources, and requests per run."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.submitted = 0
        self.runs: list[tuple[str, int]] = []
        self.scheduler: Scheduler | None = None

    async def until_submitted(self, number: int) -> None:
        """Return when this many requests have been submitted, and their texts tokenised."""
        async with asyncio.timeout(30):
            while self.submitted < number or self.scheduler is None or self.scheduler._tokenizer.n_waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    original_round, submit, computed = Scheduler._round, Scheduler.submit, batched_ops.run_operations

    def held_round(self: Scheduler, served: LoadedModel) -> None:
        assert gate.go.wait(30)
        original_round(self, served)

    def counted_submit(self: Scheduler, *arguments: Any) -> PendingRequest:
        gate.submitted += 1
        gate.scheduler = self
        return submit(self, *arguments)

    def counted(source: Source, needed: Any) -> Any:
        gate.runs.append((source.id, len(needed)))
        return computed(source, needed)

    monkeypatch.setattr(Scheduler, "_round", held_round)
    monkeypatch.setattr("memicos_inference.scheduler.scheduler.ANSWER_SECONDS", 30)
    monkeypatch.setattr(Scheduler, "submit", counted_submit)
    monkeypatch.setattr(batched_ops, "run_operations", counted)
    yield gate
    gate.go.set()


async def _post(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    return await http.post(f"/v1/activation/{path}", json={"model": NAME} | body)


async def _at_once(url: str, gate: Gate, requests: list[tuple[str, dict[str, Any]]]) -> list[httpx.Response]:
    gate.go.clear()
    before = gate.submitted
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        tasks = [asyncio.create_task(_post(http, *request)) for request in requests]
        await gate.until_submitted(before + len(requests))
        gate.go.set()
        return await asyncio.gather(*tasks)


async def test_batched_requests_get_the_results_of_single_ones(url: str, gate: Gate) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        expected = [await _post(http, *request) for request in ASKED]
    gate.runs.clear()
    batched = await _at_once(url, gate, ASKED)
    for request, batched_response, single_response in zip(ASKED, batched, expected, strict=True):
        assert batched_response.status_code == single_response.status_code, batched_response.text
        assert alike(batched_response.json(), single_response.json()), request
    # requests for one source share its run, until a request needs it after another source
    shared = {source: max(n for source_of_run, n in gate.runs if source_of_run == source) for source, _ in gate.runs}
    assert shared["1-small"] >= 4 and shared["2-small"] >= 3 and shared["2-top"] == 1


async def test_clients_that_leave_end_their_searches_within_one_source(
    url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both searches have captured their activations; the first source of one is being run when they leave."""
    running, go_on = threading.Event(), threading.Event()
    counted: Callable[..., Any] = batched_ops.run_operations

    def held(source: Source, needed: Any) -> Any:
        running.set()
        assert go_on.wait(30)
        return counted(source, needed)

    go_on.set()
    monkeypatch.setattr(batched_ops, "run_operations", held)
    searches = [
        {"prompt": f"Alice left {sources}", "source_set": "small", "selected_sources": sources}
        for sources in (["1-small", "2-small", "3-small"], ["2-small", "3-small"])
    ]
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        # with every source in memory no search waits for one
        assert (await _post(http, "all", {**searches[0], "prompt": "Alice"})).status_code == 200
        gate.runs.clear()
        running.clear()
        go_on.clear()
        earlier = await disconnects(http)
        gate.go.clear()
        before = gate.submitted
        tasks = [asyncio.create_task(_post(http, "all", search)) for search in searches]
        await gate.until_submitted(before + 2)
        gate.go.set()
        await asyncio.to_thread(running.wait, 30)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until_disconnects(http, earlier + 2)
        go_on.set()
        await until_waiting(http)
    assert len(gate.runs) == 1


async def test_sources_in_memory_stay_within_the_limit(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting requests do not hold weights: an evicted source is freed."""
    url = await serve(max_loaded_saes=1, sae_sets=("small", "top"), selftest_seconds=0)
    peak = 0
    computed: Callable[..., Any] = batched_ops.run_operations

    def loaded() -> int:
        return sum(isinstance(candidate, SaeSource) for candidate in gc.get_objects())

    def watched(source: Source, needed: Any) -> Any:
        nonlocal peak
        peak = max(peak, loaded())
        return computed(source, needed)

    monkeypatch.setattr(batched_ops, "run_operations", watched)
    requests = [
        ("topk-by-token", {"prompt": f"Alice {number}", "source": source})
        for number in range(4)
        for source in ("1-small", "2-small", "3-small", "2-top")
    ]
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        assert (await _post(http, *requests[0])).status_code == 200
        gc.collect()  # of servers of earlier tests
        peak = baseline = loaded()  # of this server, with those of others in this process
        assert [response.status_code for response in await _at_once(url, gate, requests)] == [200] * len(requests)
        steered = {
            "model": NAME,
            "prompt": "Alice",
            "types": ["STEERED"],
            "features": [
                {"model": NAME, "source": source, "index": 3, "strength": 1.0}
                for source in ("1-small", "2-small", "3-small")
            ],
            "n_completion_tokens": 3,
            "temperature": 0,
        }
        assert (await http.post("/v1/steer/completion", json=steered)).status_code == 200
    assert peak == baseline
    # each source is loaded once for all waiting requests
    assert [source for source, n in gate.runs if n == 4].count("2-small") == 1
