"""The job `score`: scores of many labels, as they come; its failures, what is paid, and a worker that ends.

The double of the inference server says that a feature is active on its word, as the dataset has it.
"""

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer, bodies, server
from memicos_testing.llm_provider import LlmProvider, Received, Reply
from memicos_testing.servers import Start
from memicos_testing.webapp.database import connected, execute, fetch
from memicos_testing.webapp.jobs.bulk_jobs import PRICE_EACH, ended, local_provider
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_testing.webapp.small_dataset import TEXTS
from memicos_webapp.bulk import score, score_texts
from memicos_webapp.bulk.options import FeatureSelection, ScoreOptions
from memicos_webapp.errors import BadInput
from memicos_webapp.jobs import service as job_service
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

INDICES = [5, 6, 7, 8]
REQUESTS = 4
"""Of each label by detection: 20 texts, 5 at a time."""
WORDS = list(dict.fromkeys(itertools.chain(*(text.split() for text in TEXTS.values()))))


def _value(_source: str, index: int, token: str) -> float:
    return 100.0 if token == bodies.BOS else 9.0 if index < len(WORDS) and token.strip() == WORDS[index] else 0.0


@pytest.fixture(autouse=True)
def served(inference: FakeInferenceServer, served_inference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "value_of", _value)
    monkeypatch.setenv("MEMICOS_INFERENCE_URL", served_inference.url)


@pytest.fixture
def llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmProvider]:
    with local_provider(tmp_path, monkeypatch) as provider:
        provider.answer = _answer
        yield provider


def _answer(received: Received) -> Reply:
    """Whether each text has the word of the label, in quotes."""
    prompt = received.body["messages"][-1]["content"]
    found = re.search("'(.+?)'", prompt)
    assert found
    texts = prompt.partition("Texts:\n")[2].split("\n")
    return Reply(content=json.dumps([int(f" {found[1]}" in text) for text in texts]))


def options(method: str = "eleuther_recall", **fields: Any) -> ScoreOptions:
    selection = FeatureSelection(**{"indices": INDICES, **fields.pop("selection", {})})
    judge = {"profile": "local", "budget": 5.0} if method == "eleuther_recall" else {}
    return ScoreOptions(**{"method": method, "author": 1, "selection": selection, **judge, **fields})


async def add(url: str, chosen: ScoreOptions) -> int:
    async with connected(url) as connection:
        return await score.add(connection, "small/1-res", chosen)


async def scored(url: str) -> dict[int, dict[str, Any]]:
    rows = await fetch(
        url, "SELECT e.index, s.* FROM score s JOIN explanation e ON e.id = explanation_id WHERE s.author_id = 1"
    )
    return {row["index"]: dict(row) for row in rows}


async def test_labels_are_scored_and_paid_once(own_url: str, llm: LlmProvider, inference: FakeInferenceServer) -> None:
    async with worker(own_url, score.SCORE):
        number = await add(own_url, options(near_misses=True))
        job = await ended(own_url, number)
        assert (job["state"], job["error"], job["failures"]) == ("done", None, [])
        found = await scored(own_url)
        assert sorted(found) == INDICES and len(llm.requests) == len(INDICES) * REQUESTS
        assert job["paid"] == pytest.approx(len(llm.requests) * PRICE_EACH) and job["rows_done"] == len(INDICES)
        # the model is run once on each context of the pool, whatever the number of labels
        contexts = (await fetch(own_url, "SELECT count(*) AS n FROM context"))[0]["n"]
        assert len(inference.bodies("/v1/activation/source")) <= contexts
        # "the", feature 8, is in every text of the features beside it
        assert {i: Counter(row["text_distances"])[-2] for i, row in found.items()} == {5: 5, 6: 5, 7: 5, 8: 0}
        for row in found.values():
            assert row["cost"] == pytest.approx(REQUESTS * PRICE_EACH) and row["profile"] == "local"
            truths = [distance > 0 for distance in row["text_distances"]]
            answers = [answer >= 0.5 for answer in row["text_answers"]]
            assert row["value"] == pytest.approx(balanced_accuracy_score(truths, answers), abs=1e-6)
            assert row["value"] >= 0.9 and json.loads(row["parameters"])["job"] == number
        # nothing is left to score
        again = await ended(own_url, await add(own_url, options(unscored=True)))
        assert (again["state"], again["paid"]) == ("done", 0) and len(llm.requests) == len(INDICES) * REQUESTS


async def test_batches_give_the_scores_of_single_requests(
    own_url: str, llm: LlmProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All requests of a label are in one batch; texts are drawn again, the same ones, when it has ended."""
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(profiles.read_text() + "batch = true\n")
    monkeypatch.setenv("AUTOINTERP_BATCH_POLL_SECONDS", "0.1")
    # more labels than the sample has
    chosen = {"indices": [index for index in range(30) if index % 16 != 15]}
    columns = ("value", "low", "high", "text_contexts", "text_positions", "text_answers", "text_distances")
    async with worker(own_url, score.SCORE):
        job = await ended(own_url, await add(own_url, options(model="n", budget=None, selection=chosen)))
        assert job["state"] == "done"
        single = {index: [row[name] for name in columns] for index, row in (await scored(own_url)).items()}
        asked = len(llm.requests)
        job = await ended(own_url, await add(own_url, options(batch=True, selection=chosen)))
        assert (job["state"], job["error"], job["batches"]) == ("done", None, 0)
        rows = await fetch(
            own_url, "SELECT e.index, s.* FROM score s JOIN explanation e ON e.id = explanation_id WHERE s.model = 'm'"
        )
    assert {row["index"]: [row[name] for name in columns] for row in rows} == single and len(rows) > 20
    (batch,) = llm.batches.batches.values()
    sample = len(llm.requests) - asked
    assert len(batch.lines) == (len(rows) - 20) * REQUESTS and sample == 20 * REQUESTS
    assert job["paid"] == pytest.approx((sample + len(batch.lines) / 2) * PRICE_EACH)
    assert job["rows_done"] == len(rows)


async def test_scores_of_a_dataset_are_none_of_the_job(own_url: str, llm: LlmProvider) -> None:
    """Those that the dataset has of the same method and model, whatever they call their job."""
    for value in ("""'"x"'::jsonb""", "(SELECT max(id) + 1 FROM job)"):
        statement = f"""UPDATE score SET method = 'eleuther_recall', model = 'm',
            parameters = jsonb_build_object('job', {value}) WHERE author_id IS NULL"""  # noqa: S608
        await execute(own_url, statement)
        async with worker(own_url, score.SCORE):
            done = await ended(own_url, await add(own_url, options(selection={"indices": [5]})))
        assert (done["state"], done["error"], done["rows_done"]) == ("done", None, 1)


@pytest.mark.parametrize("method", ["eleuther_embedding", "output_tokens", "output_texts"])
async def test_methods_without_a_language_model(own_url: str, llm: LlmProvider, method: str) -> None:
    async with worker(own_url, score.SCORE):
        job = await ended(own_url, await add(own_url, options(method, selection={"indices": [5, 6]})))
    assert (job["state"], job["error"], job["failures"], job["paid"]) == ("done", None, [], 0)
    found = await scored(own_url)
    assert sorted(found) == [5, 6] and not llm.requests
    for row in found.values():
        truths = [distance > 0 for distance in row["text_distances"]]
        assert row["value"] == pytest.approx(roc_auc_score(truths, row["text_answers"]), abs=1e-4)


async def test_failures_are_listed_and_retried_alone(own_url: str, llm: LlmProvider) -> None:
    """A label whose answers are unreadable fails, one that is active everywhere has no texts; the others go on."""
    word = WORDS[6]
    llm.answer = lambda received: (
        Reply(content="maybe") if f"'{word}'" in received.body["messages"][-1]["content"] else _answer(received)
    )
    async with worker(own_url, score.SCORE):
        number = await add(own_url, options())
        job = await ended(own_url, number)
        assert job["state"] == "done" and sorted(await scored(own_url)) == [5, 7, 8]
        assert [(row["file"], row["line"], row["column"]) for row in job["failures"]] == [("1-res", 6, "unreadable")]
        llm.answer, before = _answer, len(llm.requests)
        retried = options(attempt=1, selection={"failed_in": number})
        assert (await ended(own_url, await add(own_url, retried)))["failures"] == []
        assert sorted(await scored(own_url)) == INDICES and len(llm.requests) == before + REQUESTS


async def test_without_inference_the_job_fails_with_the_reason_and_resumes(
    own_url: str, llm: LlmProvider, inference: FakeInferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMICOS_SCORE_WAIT_SECONDS", "0")
    inference.refusal = (500, {"error": "broken", "cause": "internal"}, {})
    async with worker(own_url, score.SCORE):
        number = await add(own_url, options())
        job = await ended(own_url, number)
        assert job["state"] == "failed" and job["error"] and not llm.requests
        inference.refusal = None
        async with connected(own_url) as connection:
            await job_service.resume(connection, number)
        assert (await ended(own_url, number))["state"] == "done" and sorted(await scored(own_url)) == INDICES


async def test_inference_that_is_busy_for_a_time_is_waited_for(
    own_url: str,
    llm: LlmProvider,
    inference: FakeInferenceServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(score_texts, "WAIT_SECONDS", 0.05)
    inference.refusal = (503, {"error": "busy", "cause": "busy"}, {"Retry-After": "1"})
    async with worker(own_url, score.SCORE), asyncio.timeout(30):
        number = await add(own_url, options(selection={"indices": [5]}))
        while len(inference.bodies("/v1/activation/source")) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        inference.refusal = None
        job = await ended(own_url, number)
    assert (job["state"], job["error"]) == ("done", None) and sorted(await scored(own_url)) == [5]
    (line,) = [record.message for record in caplog.records if record.name == score_texts.__name__]
    assert line.startswith("repeating calls of inference for up to 600 s: ") and "busy" in line


async def test_a_label_that_is_deleted_meanwhile_is_left_out(
    own_url: str, llm: LlmProvider, inference: FakeInferenceServer
) -> None:
    """After the job has listed its labels: they are read while it waits for inference."""
    inference.delay = 0.05
    async with worker(own_url, score.SCORE), asyncio.timeout(30):
        number = await add(own_url, options())
        while not inference.bodies("/v1/activation/source"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        statement = """DELETE FROM explanation USING source
            WHERE source_id = source.id AND name = '1-res' AND index = 7 RETURNING explanation.id"""
        assert await fetch(own_url, statement)
        job = await ended(own_url, number)
    assert (job["state"], job["error"]) == ("done", None) and sorted(await scored(own_url)) == [5, 6, 8]


async def test_the_owner_adds_a_job_by_page_and_api(own_url: str, llm: LlmProvider, started: Start) -> None:
    origin = {"Origin": "http://localhost"}
    async with started(own_url) as client, worker(own_url, score.SCORE):
        page = (await client.get("/account/data/score", params={"name": "small/1-res"})).text
        assert "Fuzzing (language model)" in page and "local m" in page
        form = {"name": "small/1-res", "method": "eleuther_recall", "model": "local m"}
        for wrong, message in (
            ({}, "Name a budget"),
            ({"method": "none"}, "There is no score type"),
            ({"method": "eleuther_embedding", "budget": "1"}, "asks no language model"),
            ({"method": "output_tokens", "near_misses": "yes"}, "looks at the output"),
            ({"budget": "1", "name": "small/9-res"}, "There is no source or set"),
            ({"budget": "1", "failed_in": "1"}, "Job 1 is import"),
            ({"budget": "1", "indices": "1" * 100_001}, "at most 100,000"),
        ):
            response = await client.post("/account/data/score", data={**form, **wrong}, headers=origin)
            assert response.status_code in (400, 404) and message in response.text, response.text
        llm.answer, llm.default = None, Reply(content="no list")
        data = {**form, "budget": "1", "indices": "5,6"}
        response = await client.post("/account/data/score", data=data, headers=origin)
        assert response.status_code == 303
        number = int(response.headers["location"].rpartition("/")[2])
        assert len((await ended(own_url, number))["failures"]) == 2
        page = (await client.get(f"/account/data/jobs/{number}")).text
        assert "Failed features" in page and "1-res/6, unreadable" in page
        assert f"/account/data/score?name=small/1-res&amp;failed_in={number}" in page
        # the form for the failed features has the job's method
        page = (await client.get("/account/data/score", params={"name": "small/1-res", "failed_in": number})).text
        assert '<option value="eleuther_recall" selected>' in page
        llm.answer = _answer
        body = {"name": "small/1-res", "method": "eleuther_recall", "profile": "local", "budget": 1, "failedIn": number}
        response = await client.post("/api/admin/scores", json=body, headers=origin)
        assert response.status_code == 202 and response.json()["kind"] == "score"
        assert (await ended(own_url, response.json()["id"]))["state"] == "done"
        scores = await scored(own_url)
        assert sorted(scores) == [5, 6] and (await client.get(f"/scores/{scores[5]['id']}")).status_code == 200


async def test_what_cannot_run_adds_no_job(own_url: str, llm: LlmProvider) -> None:
    for wrong in (
        options("none"),
        options(profile="none"),
        options(budget=None),
        options("eleuther_embedding", model="m"),
        options("output_texts", near_misses=True),
    ):
        with pytest.raises(BadInput):
            await add(own_url, wrong)
    assert [job["kind"] for job in await fetch(own_url, "SELECT kind FROM job")] == ["import"]


@pytest.mark.slow
async def test_a_worker_that_ends_pays_nothing_twice(own_url: str, llm: LlmProvider) -> None:
    """The worker ends twice in the middle, with requests in flight: their answers are stored, or paid again."""
    llm.answer = lambda received: Reply(content=_answer(received).content, delay=0.05)
    number = await add(own_url, options(selection={"indices": list(range(12))}))
    for count in (6, 20):
        async with worker(own_url, score.SCORE), asyncio.timeout(30):
            while len(llm.requests) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    async with worker(own_url, score.SCORE):
        job = await ended(own_url, number)
    found = await scored(own_url)
    assert job["state"] == "done" and len(found) + len(job["failures"]) == 12 and len(found) > 6
    distinct = {received.body["messages"][-1]["content"] for received in llm.requests}
    assert len(distinct) <= len(llm.requests) <= len(distinct) + 2 * 4
    assert job["paid"] * (1 + 1e-9) >= len(distinct) * PRICE_EACH
