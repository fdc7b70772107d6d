"""The job `explain`: explanations of many features, as they come; its failures, budget, and a worker that is killed."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Received, Reply, explain_marks
from memicos_testing.servers import Start
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.jobs.bulk_jobs import PRICE_EACH, ended, local_provider
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.accounts import service as accounts
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.bulk import explain
from memicos_webapp.bulk.options import ExplainOptions, FeatureSelection
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotConfigured

METHOD = "eleuther_acts_top20"
SCOPES: tuple[Scope, ...] = ("write", "admin")
LIVE = 60
COST = PRICE_EACH


@pytest.fixture
def llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmProvider]:
    """The provider of the profile `local`, which answers by the marked word."""
    with local_provider(tmp_path, monkeypatch) as server:
        server.answer = explain_marks
        yield server


def options(**fields: Any) -> ExplainOptions:
    selection = FeatureSelection(**fields.pop("selection", {}))
    return ExplainOptions(**{"method": METHOD, "author": 1, "profile": "local", "selection": selection, **fields})


async def add(url: str, address: str, chosen: ExplainOptions) -> int:
    async with connected(url) as connection:
        return await explain.add(connection, address, chosen)


async def explained(url: str) -> dict[tuple[str, int], str]:
    rows = await fetch(
        url,
        """SELECT source.name, index, description, cost, author_id FROM explanation
           JOIN source ON source.id = source_id WHERE method = $1 AND model = 'm'""",
        METHOD,
    )
    assert all(row["author_id"] == 1 and row["cost"] == pytest.approx(COST) for row in rows)
    return {(row["name"], row["index"]): row["description"] for row in rows}


async def test_a_set_is_explained_and_paid_once(own_url: str, llm: LlmProvider) -> None:
    async with worker(own_url, explain.EXPLAIN):
        job = await ended(own_url, await add(own_url, "small/res", options(budget=5.0)))
        assert (job["state"], job["error"], job["failures"]) == ("done", None, [])
        found = await explained(own_url)
        assert len(found) == len(llm.requests) == 3 * LIVE == job["rows_done"]
        assert found["1-res", 0] == "the word Call"
        assert job["paid"] == pytest.approx(3 * LIVE * COST, rel=1e-9)
        lines = [row["line"] for row in await fetch(own_url, "SELECT line FROM job_line ORDER BY id")]
        assert any("160 features, 321 + 12 tokens each (measured on 20): about $0.12" in line for line in lines)
        assert not any(SERVER_KEY in line for line in lines)
        # nothing is left to explain
        again = await ended(own_url, await add(own_url, "small/res", options(budget=5.0)))
        assert (again["state"], again["paid"]) == ("done", 0) and len(llm.requests) == 3 * LIVE


async def test_a_selection(own_url: str, llm: LlmProvider) -> None:
    async with worker(own_url, explain.EXPLAIN):
        chosen = {"indices": [3, 5, 6, 15], "score_below": 0.55}
        job = await ended(own_url, await add(own_url, "small/2-res", options(budget=5.0, selection=chosen)))
        # the score of feature i is (i mod 11) / 10; 15 never fires
        assert job["state"] == "done" and set(await explained(own_url)) == {("2-res", 3), ("2-res", 5)}
        await ended(own_url, await add(own_url, "small/2-res", options(model="n", selection={"unexplained": True})))
        assert len(llm.requests) == 2 + LIVE - 2
        dense = await fetch(
            own_url,
            """SELECT index FROM feature JOIN source ON current_load_id = load_id
               WHERE name = '1-res' AND density BETWEEN 0.01 AND 0.03 AND max_activation > 0""",
        )
        assert 0 < len(dense) < LIVE
        density = {"min_density": 0.01, "max_density": 0.03}
        await ended(own_url, await add(own_url, "small/1-res", options(budget=5.0, selection=density)))
        assert {index for name, index in await explained(own_url) if name == "1-res"} == {row["index"] for row in dense}


async def test_contrastive_prompts_show_texts_of_similar_features(own_url: str, llm: LlmProvider) -> None:
    async with worker(own_url, explain.EXPLAIN):
        chosen = options(budget=5.0, contrastive=True, selection={"indices": [3, 4]})
        job = await ended(own_url, await add(own_url, "small/1-res", chosen))
    assert (job["state"], job["failures"], len(llm.requests)) == ("done", [], 2)
    counts = []
    for request in llm.requests:
        shown, _, silent = request.body["messages"][-1]["content"].partition("this feature is silent")
        assert "<<" in shown and "<<" not in silent
        counts.append(len(silent.strip().splitlines()) - 1)
    rows = await fetch(own_url, "SELECT parameters FROM explanation WHERE model = 'm'")
    stored = [json.loads(row["parameters"])["negatives"] for row in rows]
    assert sorted(stored) == sorted(counts) and all(2 <= count <= 5 for count in counts)


async def test_a_job_in_the_background_needs_a_budget(own_url: str, llm: LlmProvider) -> None:
    """As one whose cost was not agreed to in a terminal, and that is resumed."""
    async with worker(own_url, explain.EXPLAIN):
        job = await ended(own_url, await add(own_url, "small/1-res", options()))
    assert job["state"] == "failed" and "Name a budget" in job["error"] and llm.requests == []


async def test_the_budget_ends_a_job_and_another_continues(own_url: str, llm: LlmProvider) -> None:
    async with worker(own_url, explain.EXPLAIN):
        job = await ended(own_url, await add(own_url, "small/1-res", options(budget=0.05)))
        assert job["state"] == "failed" and "The budget of $0.05 is reached" in job["error"]
        paid = len(llm.requests)
        assert 0.02 <= job["paid"] <= 0.05 and len(await explained(own_url)) == paid < LIVE
        await ended(own_url, await add(own_url, "small/1-res", options(budget=5.0)))
        assert len(await explained(own_url)) == len(llm.requests) == LIVE


@pytest.mark.parametrize(("reply", "cause"), [(Reply(status=402), "payment_required"), (Reply(status=401), "unauth")])
async def test_a_fault_that_all_requests_have_ends_the_job(
    own_url: str, llm: LlmProvider, reply: Reply, cause: str
) -> None:
    llm.answer, llm.default = None, reply
    async with worker(own_url, explain.EXPLAIN):
        job = await ended(own_url, await add(own_url, "small/res", options(budget=5.0)))
    assert job["state"] == "failed" and job["error"].startswith(cause) and not job["failures"]
    assert not await explained(own_url) and len(llm.requests) <= 6


async def test_failures_are_listed_and_retried_alone(own_url: str, llm: LlmProvider) -> None:
    bad: list[str] = []

    def answer(received: Received) -> Reply:
        prompt = received.body["messages"][-1]["content"]
        if len(bad) < 3 and prompt not in bad:
            bad.append(prompt)
        return Reply(content="no label") if prompt in bad else explain_marks(received)

    llm.answer = answer
    async with worker(own_url, explain.EXPLAIN):
        number = await add(own_url, "small/1-res", options(budget=5.0))
        job = await ended(own_url, number)
        assert job["state"] == "done" and len(job["failures"]) == 3 and len(await explained(own_url)) == LIVE - 3
        assert {(row["file"], row["column"]) for row in job["failures"]} == {("1-res", "unreadable")}
        llm.answer = explain_marks
        retried = options(budget=5.0, attempt=1, selection={"failed_in": number})
        again = await ended(own_url, await add(own_url, "small/1-res", retried))
        assert (again["state"], again["failures"]) == ("done", [])
        assert len(await explained(own_url)) == LIVE and len(llm.requests) == LIVE + 3


async def test_a_worker_that_ends_pays_nothing_twice(own_url: str, llm: LlmProvider) -> None:
    """The worker ends twice in the middle, with requests in flight: their answers are stored, or paid again."""
    llm.answer = lambda received: replace(explain_marks(received), delay=0.02)
    number = await add(own_url, "small/1-res", options(budget=5.0))
    for count in (10, 30):
        async with worker(own_url, explain.EXPLAIN):
            while len(llm.requests) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    async with worker(own_url, explain.EXPLAIN):
        job = await ended(own_url, number)
    assert job["state"] == "done" and len(await explained(own_url)) == LIVE
    assert LIVE <= len(llm.requests) <= LIVE + 2 * 4
    assert LIVE * COST <= job["paid"] * (1 + 1e-9) <= len(llm.requests) * COST * (1 + 1e-9)


async def test_the_owner_adds_a_job_by_page_and_api(own_url: str, llm: LlmProvider, started: Start) -> None:
    origin = {"Origin": "http://localhost"}
    async with started(own_url) as client, worker(own_url, explain.EXPLAIN):
        response = await client.get("/account/data/explain", params={"name": "small/1-res"})
        page = response.text
        assert response.status_code == 200, page[page.find("<main") :][:900]
        assert "$2.0 and $10.0 per million" in page and "local m" in page and "oai_attention-head" not in page
        form = {"name": "small/1-res", "method": METHOD, "model": "local m"}
        for wrong, message in (
            ({}, "Name a budget"),
            ({"budget": "x"}, "The budget has to be a number"),
            ({"budget": "１"}, "The budget has to be a number"),
            ({"budget": "1", "min_density": "2"}, "The smallest density"),
            ({"budget": "1", "indices": "a"}, "is not an index"),
            ({"budget": "1", "method": "none"}, "There is no method"),
            ({"budget": "1", "name": "small/9-res"}, "There is no source or set"),
            ({"budget": "1", "failed_in": "1"}, "Job 1 is import"),
        ):
            response = await client.post("/account/data/explain", data={**form, **wrong}, headers=origin)
            assert response.status_code in (400, 404) and message in response.text, response.text
        llm.answer, llm.default = None, Reply(content="no label")
        data = {**form, "budget": "1", "indices": "0-4", "contrastive": "yes"}
        response = await client.post("/account/data/explain", data=data, headers=origin)
        assert response.status_code == 303
        number = int(response.headers["location"].rpartition("/")[2])
        assert len((await ended(own_url, number))["failures"]) == 5
        assert all("this feature is silent" in request.body["messages"][-1]["content"] for request in llm.requests)
        # job 1 is an import: the form has no options of it
        assert (await client.get("/account/data/explain?name=small/1-res&failed_in=1")).status_code == 200
        again = await client.get("/account/data/explain", params={"name": "small/1-res", "failed_in": number})
        assert 'name="contrastive" value="yes" checked' in again.text
        page = (await client.get(f"/account/data/jobs/{number}")).text
        assert "Failed features" in page and "1-res/3, unreadable" in page and f"failed_in={number}" in page
        assert f"${5 * COST:.4f} paid" in page
        llm.answer = explain_marks
        body = {"name": "small/1-res", "profile": "local", "budget": 1, "failedIn": number}
        response = await client.post("/api/admin/explanations", json=body, headers=origin)
        assert response.status_code == 202 and response.json()["kind"] == "explain"
        job = await ended(own_url, response.json()["id"])
        assert job["state"] == "done" and set(await explained(own_url)) == {("1-res", index) for index in range(5)}
        assert (await client.get(f"/api/admin/jobs/{job['id']}")).json()["job"]["paid"] == pytest.approx(5 * COST)


async def test_a_program_adds_a_job_with_an_api_key(own_url: str, llm: LlmProvider, started: Start) -> None:
    settings = make_settings(own_url)
    database = Database(own_url, settings)
    keys = {}
    for scope in SCOPES:
        _, key = await accounts.create_api_key(database, settings, 1, scope, [scope], None)
        keys[scope] = {"X-Api-Key": key}
    await database.close()
    body = {"name": "small/1-res", "profile": "local", "budget": 1, "indices": "0-4"}
    async with started(own_url, host="0.0.0.0") as client, worker(own_url, explain.EXPLAIN):
        assert (await client.post("/api/admin/explanations", json=body, headers=keys["write"])).status_code == 403
        response = await client.post("/api/admin/explanations", json=body, headers=keys["admin"])
        assert response.status_code == 202, response.text
        path = f"/api/admin/jobs/{response.json()['id']}"
        assert (await ended(own_url, response.json()["id"]))["state"] == "done"
        job = (await client.get(path, headers=keys["admin"])).json()["job"]
        assert job["state"] == "done" and job["paid"] == pytest.approx(5 * COST)
        assert (await client.get(path, headers=keys["write"])).status_code == 403
    assert set(await explained(own_url)) == {("1-res", index) for index in range(5)}


async def test_what_cannot_run_adds_no_job(own_url: str, llm: LlmProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ({"method": "none"}, {"profile": "none"}, {"model": "n", "budget": 1.0}):
        with pytest.raises(BadInput):
            await add(own_url, "small/1-res", options(**wrong))
    monkeypatch.setenv("AUTOINTERP_PROFILES_FILE", "/nowhere")
    with pytest.raises(NotConfigured):
        await add(own_url, "small/1-res", options())
    assert [job["kind"] for job in await fetch(own_url, "SELECT kind FROM job")] == ["import"]


@pytest.mark.slow
async def test_the_command_is_killed_and_continues_its_job(own_url: str, llm: LlmProvider) -> None:
    """SIGKILL twice in the middle: the same job goes on, its budget counts what was paid, and nothing is paid twice."""
    llm.answer = lambda received: replace(explain_marks(received), delay=0.05)
    arguments = ("sources", "explain", "small/1-res", "--profile", "local", "--budget", "0.1")
    program = (sys.executable, "-c", "from memicos_cli.main import app; app()", *arguments)

    async def start() -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "DATABASE_URL": own_url}
        return await asyncio.create_subprocess_exec(*program, env=environment, stdout=pipe, stderr=pipe)

    for count in (8, 30):
        process = await start()
        while len(llm.requests) < count and process.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        process.kill()
        await process.communicate()
    output, errors = (part.decode() for part in await (await start()).communicate())
    assert "continues the interrupted job" in output and not errors, errors
    assert len(await explained(own_url)) == LIVE <= len(llm.requests) <= LIVE + 2 * 4
    (job,) = await fetch(own_url, "SELECT * FROM job WHERE kind = 'explain'")
    assert job["state"] == "done" and job["paid"] * (1 + 1e-9) >= LIVE * COST
    refused = await asyncio.create_subprocess_exec(*program[:-2], stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "DATABASE_URL": own_url}, stderr=asyncio.subprocess.PIPE)  # fmt: skip
    assert b"--budget or --yes" in (await refused.communicate())[1] and refused.returncode == 1
