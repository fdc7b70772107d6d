"""Jobs with batches whose process is killed with SIGKILL at each stage: no request is paid twice, and none is lost."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from memicos_testing.llm_provider import LlmProvider, explain_marks
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.bulk_jobs import PRICE_EACH, ended, local_provider
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.bulk import explain
from memicos_webapp.bulk.options import ExplainOptions

LIVE, SAMPLE = 60, 20
START_SECONDS = 240
"""Longest time in which a worker starts, and does what it is killed at, on a busy machine."""


@pytest.fixture
def llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmProvider]:
    monkeypatch.setenv("AUTOINTERP_BATCH_POLL_SECONDS", "0.1")
    with local_provider(tmp_path, monkeypatch, "batch = true") as server:
        server.answer = explain_marks
        yield server


async def start(url: str, *arguments: str) -> asyncio.subprocess.Process:
    program = (sys.executable, "-c", "from memicos_cli.main import app; app()", *arguments)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *program, env={**os.environ, "DATABASE_URL": url}, stdout=pipe, stderr=pipe, stdin=asyncio.subprocess.DEVNULL
    )


async def kill_worker_when(url: str, reached: Callable[[], Awaitable[bool]]) -> None:
    process = await start(url, "worker")
    try:
        await until(reached, START_SECONDS)
        assert process.returncode is None
    finally:
        process.kill()
        await process.communicate()


async def explanations(url: str) -> int:
    return (await fetch(url, "SELECT count(*) AS n FROM explanation WHERE model = 'm'"))[0]["n"]


@pytest.mark.slow
async def test_a_worker_that_is_killed_at_each_stage(own_url: str, llm: LlmProvider) -> None:
    async with connected(own_url) as connection:
        chosen = ExplainOptions("eleuther_acts_top20", 1, "local", budget=5.0, batch=True)
        number = await explain.add(connection, "small/1-res", chosen)

    async def hung() -> bool:
        return llm.batches.hung.is_set()

    async def answers_are_read() -> bool:
        return (await fetch(own_url, "SELECT count(*) AS n FROM language_model_answer"))[0]["n"] > SAMPLE + 2

    made, done = [], []
    # before the upload; after the batch was made, before its id is stored; while the provider is asked for it; while
    # the answers are downloaded
    for path, carried_out in (
        ("POST files", False), ("POST batches", True), ("GET batches", True), ("GET files/content", True),
    ):  # fmt: skip
        llm.batches.hung.clear()
        llm.batches.hang_next = {path: carried_out}
        await kill_worker_when(own_url, hung)
        made.append(len(llm.batches.batches))
        done.append(await explanations(own_url))
    # the cost is measured once, also where there is no batch yet
    assert made == [0, 1, 1, 1] and done == [SAMPLE] * 4
    await kill_worker_when(own_url, answers_are_read)
    async with worker(own_url, explain.EXPLAIN):
        job = await ended(own_url, number)
    assert (job["state"], job["failures"], job["batches"]) == ("done", [], 0)
    assert await explanations(own_url) == LIVE
    (batch,) = llm.batches.batches.values()
    assert len(batch.lines) == LIVE - SAMPLE and len(llm.requests) == SAMPLE
    assert job["paid"] == pytest.approx((SAMPLE + (LIVE - SAMPLE) / 2) * PRICE_EACH, rel=1e-9)


@pytest.mark.slow
async def test_a_command_that_is_killed_goes_on_with_its_batch(own_url: str, llm: LlmProvider) -> None:
    arguments = ("sources", "explain", "small/1-res", "--profile", "local", "--batch", "--budget", "5")
    llm.batches.held = True
    process = await start(own_url, *arguments)

    async def in_progress() -> bool:
        assert process.returncode is None
        return any(batch.status == "in_progress" for batch in llm.batches.batches.values())

    await until(in_progress)
    process.kill()
    await process.communicate()
    llm.batches.held = False
    output, errors = (part.decode() for part in await (await start(own_url, *arguments)).communicate())
    assert "continues the interrupted job" in output and "batch batch-0: of an interrupted run" in output, output
    assert not errors and await explanations(own_url) == LIVE
    assert len(llm.batches.batches) == 1 and len(llm.requests) == SAMPLE
    (job,) = await fetch(own_url, "SELECT state, paid FROM job WHERE kind = 'explain'")
    assert job["state"] == "done"
    assert job["paid"] == pytest.approx((SAMPLE + (LIVE - SAMPLE) / 2) * PRICE_EACH, rel=1e-9)


async def test_a_command_that_failed_goes_on_with_its_batch_when_it_is_repeated(own_url: str, llm: LlmProvider) -> None:
    arguments = ("sources", "explain", "small/1-res", "--profile", "local", "--batch", "--budget", "5")
    llm.batches.fail_next = {"GET batches": [401]}
    process = await start(own_url, *arguments)
    errors = (await process.communicate())[1].decode()
    assert process.returncode == 1 and "stopped: unauthorized" in errors, errors
    output, errors = (part.decode() for part in await (await start(own_url, *arguments)).communicate())
    (job,) = await fetch(own_url, "SELECT id, state, error, background, attempts FROM job WHERE kind = 'explain'")
    assert f"continues the open batch of the failed job {job['id']}" in output and not errors, output + errors
    assert tuple(job)[1:] == ("done", None, False, 2) and await explanations(own_url) == LIVE
    assert len(llm.batches.batches) == 1 and len(llm.requests) == SAMPLE
