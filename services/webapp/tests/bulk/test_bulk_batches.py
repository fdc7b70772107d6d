"""Jobs that explain features by OpenAI's Batch API: suspended while a batch is open, continued, cancelled; its faults.

Jobs whose worker is killed are in `test_killed_batches.py`.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from memicos_autointerp_core.bulk.stored_batches import OpenBatch
from memicos_autointerp_core.providers import batches
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Received, Reply, explain_marks
from memicos_testing.servers import Start
from memicos_testing.webapp.database import connected, execute, fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.bulk_jobs import PRICE_EACH, ended, local_provider
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.bulk import explain
from memicos_webapp.bulk.cancel_batches import CANCEL_BATCHES
from memicos_webapp.bulk.open_batches import DatabaseBatches
from memicos_webapp.bulk.options import ExplainOptions, FeatureSelection
from memicos_webapp.errors import BadInput
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs import worker as job_worker

METHOD = "eleuther_acts_top20"
LIVE, SAMPLE = 60, 20
FACTOR = 0.4
"""Price of a request in a batch."""
COPY_AN_ANSWER = """INSERT INTO language_model_answer (key, answer)
                    SELECT $1, answer FROM language_model_answer LIMIT 1"""
KINDS = (explain.EXPLAIN, CANCEL_BATCHES)


@pytest.fixture
def llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmProvider]:
    monkeypatch.setattr(batches, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(job_worker, "SWEEP_SECONDS", 0.1)
    monkeypatch.setenv("AUTOINTERP_BATCH_POLL_SECONDS", "0.1")
    monkeypatch.setenv("AUTOINTERP_MAX_TOKENS", "100")
    more = f"batch = true\nbatch_price_factor = {FACTOR}\n[single]\nbase_url = 'http://127.0.0.1:9'\nmodels = ['s']"
    with local_provider(tmp_path, monkeypatch, more) as server:
        server.answer = explain_marks
        yield server


def options(**fields: Any) -> ExplainOptions:
    selection = FeatureSelection(**fields.pop("selection", {}))
    values = {"method": METHOD, "author": 1, "profile": "local", "budget": 5.0, "batch": True, **fields}
    return ExplainOptions(**values, selection=selection)


async def add(url: str, chosen: ExplainOptions, address: str = "small/1-res") -> int:
    async with connected(url) as connection:
        return await explain.add(connection, address, chosen)


async def get(url: str, number: int) -> dict[str, Any]:
    async with connected(url) as connection:
        job = await jobs.get(connection, number)
        assert job is not None
        return dict(job)


async def waits(url: str, number: int, stage: str = "in_progress") -> None:
    """Returns once the job is suspended, and says that its batch is so."""

    async def has_batch() -> bool:
        job = await get(url, number)
        assert job["state"] not in ("done", "failed"), job["error"]
        return job["state"] == "queued" and job["run_again_at"] is not None and stage in (job["stage"] or "")

    await until(has_batch)


async def explained(url: str) -> set[int]:
    return {row["index"] for row in await fetch(url, "SELECT index FROM explanation WHERE model = 'm'")}


async def log(url: str, number: int) -> str:
    return "\n".join(
        row["line"] for row in await fetch(url, "SELECT line FROM job_line WHERE job_id = $1 ORDER BY id", number)
    )


def submitted(llm: LlmProvider) -> list[str]:
    """`custom_id` of every request of every batch."""
    return [line["custom_id"] for batch in llm.batches.batches.values() for line in batch.lines]


def price(asked: int, in_batches: int) -> Any:
    return pytest.approx(asked * PRICE_EACH + in_batches * PRICE_EACH * FACTOR, rel=1e-9)


async def test_a_job_that_waits_for_its_batch_occupies_no_worker_slot(own_url: str, llm: LlmProvider) -> None:
    llm.batches.held = True
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        await waits(own_url, number, "batch batch-0: in_progress, 0 of 40 answered")
        job = await get(own_url, number)
        assert (job["rows_done"], job["batches"]) == (SAMPLE, 1)
        assert len(await explained(own_url)) == SAMPLE
        # the worker has one slot for jobs of this kind
        other = await ended(own_url, await add(own_url, options(batch=False), "small/2-res"))
        assert other["state"] == "done" and len(llm.requests) == SAMPLE + LIVE
        llm.batches.held, llm.batches.answers_per_read = False, 15
        job = await ended(own_url, number)
    assert (job["state"], job["error"], job["failures"], job["batches"]) == ("done", None, [], 0)
    assert (job["rows_done"], job["attempts"]) == (LIVE, 1)
    assert len(set(submitted(llm))) == len(submitted(llm)) == LIVE - SAMPLE
    assert job["paid"] == price(SAMPLE, LIVE - SAMPLE)
    lines = await log(own_url, number)
    estimate = (LIVE - SAMPLE) * PRICE_EACH * FACTOR
    assert f"(measured on 20): about ${estimate:.2f} in batches, at 40% of the price" in lines
    assert "batch batch-0: 40 requests submitted" in lines and "completed, 40 of 40 answered" in lines
    assert lines.count("attempt ") == 1 and "of an interrupted run" not in lines
    assert "60 of 60 features" in lines and SERVER_KEY not in lines
    assert await fetch(own_url, "SELECT FROM job_batch_request") == []


async def test_several_batches_and_their_failures(
    own_url: str, llm: LlmProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is continued by another run of the job, and no failure of an earlier one is asked again."""
    monkeypatch.setenv("AUTOINTERP_BATCH_REQUESTS", "15")
    kept: dict[str, Reply] = {}

    def failing(received: Received) -> Reply:
        prompt = received.body["messages"][-1]["content"]
        if not received.headers and len(kept) < 2 and prompt not in kept:
            kept[prompt] = [Reply(fields={"message": {"content": None, "refusal": "no"}}), Reply(status=429)][len(kept)]
        return kept.get(prompt) or explain_marks(received)

    llm.answer, llm.batches.forget = failing, {5}
    async with worker(own_url, *KINDS):
        job = await ended(own_url, await add(own_url, options()))
    assert job["state"] == "done" and [len(batch.lines) for batch in llm.batches.batches.values()] == [15, 15, 10]
    assert len(set(submitted(llm))) == len(submitted(llm)) == LIVE - SAMPLE and len(llm.requests) == SAMPLE
    causes = sorted(row["column"] for row in job["failures"])
    # line 5 of each batch has no answer
    assert causes == ["filtered", "malformed", "malformed", "malformed", "rate_limited"]
    assert len(await explained(own_url)) == LIVE - 5 == job["rows_done"]


async def test_what_a_batch_does_not_answer_in_time_is_tried_again_alone(own_url: str, llm: LlmProvider) -> None:
    llm.batches.expire_after = 30
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        job = await ended(own_url, number)
        assert job["state"] == "done" and len(await explained(own_url)) == SAMPLE + 30
        assert {row["column"] for row in job["failures"]} == {"timeout"} and len(job["failures"]) == 10
        assert "expired before this request" in job["failures"][0]["reason"]
        llm.batches.expire_after = None
        again = await ended(own_url, await add(own_url, options(attempt=1, selection={"failed_in": number})))
    assert (again["state"], again["failures"]) == ("done", []) and len(await explained(own_url)) == LIVE


async def test_a_budget_bounds_what_batches_can_cost(own_url: str, llm: LlmProvider) -> None:
    async with worker(own_url, *KINDS):
        job = await ended(own_url, await add(own_url, options(budget=0.025)))
    assert job["state"] == "failed" and "The budget of $0.03 is reached" in job["error"]
    assert 0.015 < job["paid"] <= 0.025 and job["paid"] == price(SAMPLE, len(submitted(llm)))
    assert len(submitted(llm)) == len(await explained(own_url)) - SAMPLE > 5


@pytest.mark.parametrize(
    ("change", "message", "batches_left"),
    [
        ({"refuse": f"the key {SERVER_KEY} is over its limit"}, "rejected: 127.0.0.1:.* refused the batch batch-0", 0),
        ({"fail_next": {"POST files": [401]}}, "unauthorized: ", 0),
        ({"fail_next": {"POST batches": [404]}}, "cannot make a batch .status 404", 0),
        ({"fail_next": {"GET batches": [401]}}, "unauthorized: ", 1),
        ({"fail_next": {"GET batches": [404]}}, "Cancel the job to delete the record of the batch", 1),
        ({"fail_next": {"GET files/content": [403]}}, "unauthorized: |rejected: ", 1),
        ({"answer_next": {"GET batches": [b"[1]"]}}, "answer to read a batch is not one", 1),
    ],
)
async def test_what_ends_a_job_is_named_and_the_job_resumed(
    own_url: str, llm: LlmProvider, change: dict[str, Any], message: str, batches_left: int
) -> None:
    for name, value in change.items():
        setattr(llm.batches, name, value)
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        job = await ended(own_url, number)
        assert job["state"] == "failed" and re.search(message, job["error"]), job["error"]
        assert SERVER_KEY not in job["error"] and len(await explained(own_url)) == SAMPLE
        assert job["batches"] == batches_left
        llm.batches.refuse = None
        made = len(llm.batches.batches)
        async with connected(own_url) as connection:
            await job_service.resume(connection, number)
        job = await ended(own_url, number)
    assert (job["state"], job["failures"]) == ("done", []) and len(await explained(own_url)) == LIVE
    # an open batch is not sent again
    assert len(llm.batches.batches) == (made if batches_left else made + 1)
    # the cost is not measured again at the full price
    assert len(llm.requests) == SAMPLE and job["paid"] == price(SAMPLE, LIVE - SAMPLE)


@pytest.mark.parametrize("seconds", ["60", "0"])
async def test_a_provider_that_is_down_while_it_is_asked(
    own_url: str, llm: LlmProvider, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setenv("AUTOINTERP_BATCH_UNREACHABLE_SECONDS", seconds)
    llm.batches.fail_next = {"GET batches": [503, 503]}
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        if seconds == "60":
            await waits(own_url, number, "status 503")
        else:
            job = await ended(own_url, number)
            assert job["state"] == "failed" and "status 503" in job["error"] and job["batches"] == 1
            llm.batches.fail_next = {}
            async with connected(own_url) as connection:
                await job_service.resume(connection, number)
        job = await ended(own_url, number)
    assert job["state"] == "done" and len(llm.batches.batches) == 1 and len(await explained(own_url)) == LIVE


async def test_a_cancelled_job_cancels_its_batch_and_keeps_what_is_answered(own_url: str, llm: LlmProvider) -> None:
    llm.batches.held = True
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        await waits(own_url, number)
        llm.batches.held, llm.batches.answers_per_read = False, 10
        # one read more than the cancellation's own may be in progress
        async with connected(own_url) as connection:
            await job_service.cancel(connection, number)
        assert (await get(own_url, number))["state"] == "cancelled"

        async def closed() -> bool:
            return not (await get(own_url, number))["batches"]

        await until(closed)
        (batch,) = llm.batches.batches.values()
        answered = len(batch.output)
        assert batch.status == "cancelled" and answered in (10, 20)
        (closing,) = await fetch(own_url, "SELECT id FROM job WHERE kind = 'cancel-batches'")
        assert (await ended(own_url, closing["id"]))["state"] == "done"
        assert (await get(own_url, number))["paid"] == price(SAMPLE, answered)
        assert f"its batches are closed by job {closing['id']}" in await log(own_url, number)
        # what is answered is not asked again
        llm.batches.answers_per_read = None
        async with connected(own_url) as connection:
            await job_service.resume(connection, number)
        job = await ended(own_url, number)
    assert (job["state"], job["failures"]) == ("done", []) and len(await explained(own_url)) == LIVE
    second = len(llm.requests) - SAMPLE
    assert job["paid"] == price(SAMPLE + second, LIVE - SAMPLE - second)


async def test_the_batch_of_a_failed_job_can_be_cancelled_and_that_of_a_lost_one_deleted(
    own_url: str, llm: LlmProvider
) -> None:
    llm.batches.fail_next = {"GET batches": [404]}
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        assert (await ended(own_url, number))["state"] == "failed"
        llm.batches.batches.clear()
        async with connected(own_url) as connection:
            await job_service.cancel(connection, number)

        async def closed() -> bool:
            return not (await get(own_url, number))["batches"]

        await until(closed)
        (closing,) = await fetch(own_url, "SELECT id FROM job WHERE kind = 'cancel-batches'")
        assert (await ended(own_url, closing["id"]))["state"] == "done"
        assert "its record was deleted, its answers are lost" in await log(own_url, closing["id"])


async def test_a_cancellation_that_the_provider_refuses_is_named_and_resumed(own_url: str, llm: LlmProvider) -> None:
    llm.batches.held = True
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        await waits(own_url, number)
        llm.batches.fail_next = {"POST batches/cancel": [401]}
        async with connected(own_url) as connection:
            await job_service.cancel(connection, number)

        async def refused() -> bool:
            return bool(await fetch(own_url, "SELECT FROM job WHERE kind = 'cancel-batches' AND state = 'failed'"))

        await until(refused)
        (closing,) = await fetch(own_url, "SELECT id, error FROM job WHERE kind = 'cancel-batches'")
        assert closing["error"].startswith("unauthorized: ") and (await get(own_url, number))["batches"] == 1
        async with connected(own_url) as connection:
            await job_service.resume(connection, closing["id"])
        assert (await ended(own_url, closing["id"]))["state"] == "done"
        (batch,) = llm.batches.batches.values()
        assert batch.status == "cancelled" and not (await get(own_url, number))["batches"]


@pytest.mark.parametrize("batch", [True, False])
async def test_what_a_batch_will_answer_is_paid_by_no_other_job(own_url: str, llm: LlmProvider, batch: bool) -> None:
    llm.batches.held = True
    async with worker(own_url, *KINDS):
        number = await add(own_url, options())
        await waits(own_url, number)
        asked = len(llm.requests)
        other = await ended(own_url, await add(own_url, options(batch=batch)))
        assert other["state"] == "failed" and f"A batch of job {number} has a request of this job" in other["error"]
        assert len(llm.requests) == asked and len(llm.batches.batches) == 1
        llm.batches.held = False
        assert (await ended(own_url, number))["state"] == "done"
        async with connected(own_url) as connection:
            await job_service.resume(connection, other["id"])
        again = await ended(own_url, other["id"])
    assert (again["state"], again["paid"]) == ("done", 0) and len(await explained(own_url)) == LIVE


@pytest.mark.parametrize("answered", [5, LIVE - SAMPLE])
async def test_what_another_job_was_answered_while_this_one_collected_is_not_sent(
    own_url: str, llm: LlmProvider, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    add_batch, times = DatabaseBatches.add, 0

    async def add_after_another_job(store: DatabaseBatches, batch: OpenBatch, requests: Collection[str]) -> Any:
        nonlocal times
        times += 1
        for key in list(requests)[::2][:answered] if answered < len(requests) else requests:
            await execute(own_url, COPY_AN_ANSWER, key)
        return await add_batch(store, batch, requests)

    monkeypatch.setattr(DatabaseBatches, "add", add_after_another_job)
    async with worker(own_url, *KINDS):
        job = await ended(own_url, await add(own_url, options()))
    assert (job["state"], job["failures"], job["batches"], times) == ("done", [], 0, 1)
    assert len(await explained(own_url)) == LIVE and len(llm.requests) == SAMPLE
    left = LIVE - SAMPLE - answered
    assert len(set(submitted(llm))) == len(submitted(llm)) == left and job["paid"] == price(SAMPLE, left)


async def test_batches_are_offered_where_the_profile_has_them(own_url: str, llm: LlmProvider, started: Start) -> None:
    with pytest.raises(BadInput, match="The profile single has no batches: add batch = true"):
        await add(own_url, options(profile="single", budget=None))
    origin = {"Origin": "http://localhost"}
    llm.batches.held = True
    async with started(own_url) as client, worker(own_url, *KINDS):
        page = (await client.get("/account/data/explain", params={"name": "small/1-res"})).text
        assert 'value="local m" data-batch' in page and "in batches 40% of that" in page
        assert 'value="single s">' in page and 'name="batch" value="yes">' in page
        form = {"name": "small/1-res", "method": METHOD, "batch": "yes"}
        response = await client.post("/account/data/explain", data={**form, "model": "single s"}, headers=origin)
        assert response.status_code == 400 and "has no batches" in response.text
        assert 'name="batch" value="yes" checked' in response.text
        wrong = {**form, "method": "eleuther_embedding", "model": "local m"}
        response = await client.post("/account/data/score", data=wrong, headers=origin)
        assert response.status_code == 400 and "asks no language model" in response.text
        body = {"name": "small/1-res", "profile": "single", "batch": True}
        response = await client.post("/api/admin/explanations", json=body, headers=origin)
        assert response.status_code == 400 and "has no batches" in response.json()["error"], response.text
        data = {**form, "model": "local m", "budget": "1"}
        response = await client.post("/account/data/explain", data=data, headers=origin)
        assert response.status_code == 303
        number = int(response.headers["location"].rpartition("/")[2])
        await waits(own_url, number)
        job = (await client.get(f"/api/admin/jobs/{number}")).json()["job"]
        assert (job["state"], job["batches"]) == ("waiting", 1) and "0 of 40 answered" in job["stage"]
        page = (await client.get(f"/account/data/jobs/{number}")).text
        assert "waiting" in page and "0 of 40 answered" in page and f"/jobs/{number}/cancel" in page
        response = await client.post(f"/account/data/jobs/{number}/cancel", headers=origin)
        assert response.status_code == 303

        async def closed() -> bool:
            return not (await get(own_url, number))["batches"]

        await until(closed)
        (closing,) = await fetch(own_url, "SELECT id FROM job WHERE kind = 'cancel-batches'")
        page = (await client.get(f"/account/data/jobs/{closing['id']}")).text
        assert f"the batches of job {number} are being cancelled" in page
