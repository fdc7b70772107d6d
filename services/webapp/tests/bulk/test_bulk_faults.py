"""Jobs over many features, and each way in which a provider fails: it is never an explanation and never a score."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memicos_autointerp_core.providers import client
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_testing.fake_inference_server import FakeInferenceServer, bodies, server
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Received, Reply
from memicos_testing.llm_provider.faults import EXPLANATION_FAULTS, SCORE_FAULTS, Fault, redirect
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.jobs.bulk_jobs import ended, local_provider
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_testing.webapp.small_dataset import TEXTS
from memicos_testing.word_list_model import WordListModel
from memicos_webapp.bulk import explain, score
from memicos_webapp.bulk.options import ExplainOptions, FeatureSelection, ScoreOptions
from memicos_webapp.jobs import service as job_service

EXPLAINER = "eleuther_acts_top20"
INDICES, FAILING = [5, 6, 7], 6
WORDS = list(dict.fromkeys(itertools.chain(*(text.split() for text in TEXTS.values()))))
TIMEOUT_SECONDS = 1.0
QUICK = ("recall_alt", EXPLAINER)
SLOW = tuple(name for name in LANGUAGE_MODEL_SCORERS if name not in QUICK)


def _value(_source: str, index: int, token: str) -> float:
    """A feature is active on its word, as in the dataset."""
    return 100.0 if token == bodies.BOS else 9.0 if index < len(WORDS) and token.strip() == WORDS[index] else 0.0


@pytest.fixture
def llm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inference: FakeInferenceServer, served_inference: Any
) -> Iterator[LlmProvider]:
    monkeypatch.setattr(server, "value_of", _value)
    monkeypatch.setenv("MEMICOS_INFERENCE_URL", served_inference.url)
    monkeypatch.setenv("MEMICOS_SCORE_TEXTS", "5")
    monkeypatch.setenv("MEMICOS_SCORE_CONTEXTS", "12")
    # the number of attempts and the waits between them have tests of their own
    monkeypatch.setattr("memicos_autointerp_core.providers.settings.BULK_RETRIES", 1)
    monkeypatch.setenv("AUTOINTERP_RETRIES", "1")
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    with local_provider(tmp_path, monkeypatch) as provider:
        profiles = tmp_path / "profiles.toml"
        profiles.write_text(profiles.read_text().replace("concurrency = 4", "concurrency = 16"))
        provider.answer = answer
        yield provider


def word_of(received: Received) -> str:
    """The word of the feature: the first marked one of a prompt to explain, that of the description to score."""
    found = re.search("'(.+?)'|<<(.+?)>>", received.body["messages"][-1]["content"])
    assert found
    return (found[1] or found[2]).strip()


def answer(received: Received) -> Reply:
    """The right answer to each kind of request."""
    messages = received.body["messages"]
    if not messages[-1]["content"].startswith("Description:"):
        return Reply(content=f"EXPLANATION: the word '{word_of(received)}' alone")
    user = re.sub(r"^Description: .*?\n\n", f"Description: {word_of(received)}\n\n", messages[-1]["content"])
    return WordListModel()(replace(received, body={"messages": [messages[0], {"role": "user", "content": user}]}))


async def add(url: str, method: str, **fields: Any) -> int:
    """Queue the job of an explainer or a scorer."""
    selection = FeatureSelection(**{"indices": INDICES, **fields.pop("selection", {})})
    common = {"author": 1, "profile": "local", "budget": 5.0, "selection": selection, **fields}
    async with connected(url) as connection:
        if method == EXPLAINER:
            return await explain.add(connection, "small/1-res", ExplainOptions(method, **common))
        return await score.add(connection, "small/1-res", ScoreOptions(method, **common))


async def stored(url: str, method: str) -> list[int]:
    """Features with an explanation, or with a score, by the method."""
    rows = await fetch(
        url,
        """SELECT index FROM explanation WHERE author_id = 1 AND method = $1
           UNION ALL SELECT index FROM score JOIN explanation ON explanation.id = explanation_id
           WHERE score.author_id = 1 AND score.method = $1 ORDER BY index""",
        method,
    )
    return [row["index"] for row in rows]


async def check(url: str, llm: LlmProvider, method: str, fault: Fault) -> None:
    """All requests about one feature fail: it is listed with the cause, the others go on or end, and a retry asks about
    nothing else."""
    llm.answer = lambda received: fault.reply if word_of(received) == WORDS[FAILING] else answer(received)
    number = await add(url, method)
    job = await ended(url, number)
    found = await stored(url, method)
    assert FAILING not in found
    assert SERVER_KEY not in str(job)
    if fault.stops:
        assert job["state"] == "failed" and job["error"].startswith(f"{fault.cause}: "), job
        assert not job["failures"]
    else:
        assert (job["state"], job["error"], found) == ("done", None, [5, 7])
        (failure,) = job["failures"]
        assert (failure["file"], failure["line"], failure["column"]) == ("1-res", FAILING, fault.cause)
        assert failure["reason"]
    llm.answer = answer
    sent = len(llm.requests)
    if fault.stops:
        async with connected(url) as connection:
            await job_service.resume(connection, number)
    else:
        number = await add(url, method, attempt=1, selection={"failed_in": number})
    job = await ended(url, number)
    assert (job["state"], job["error"], job["failures"]) == ("done", None, [])
    assert await stored(url, method) == INDICES
    if not fault.stops:
        assert {word_of(received) for received in llm.requests[sent:]} == {WORDS[FAILING]}


@pytest.mark.parametrize("name", [*SCORE_FAULTS, "redirect"])
@pytest.mark.parametrize("methods", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)], ids=["quick", "slow"])
async def test_a_fault_is_never_an_explanation_or_a_score(
    methods: tuple[str, ...], name: str, own_url: str, llm: LlmProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "hang":
        monkeypatch.setenv("AUTOINTERP_TIMEOUT_SECONDS", str(TIMEOUT_SECONDS))
    with LlmProvider() as elsewhere:
        other = {"redirect": redirect(elsewhere.base_url)}
        async with worker(own_url, explain.EXPLAIN, score.SCORE):
            for method in methods:
                faults = EXPLANATION_FAULTS if method == EXPLAINER else SCORE_FAULTS
                await check(own_url, llm, method, (faults | other)[name])
        assert not elsewhere.requests
    assert {received.headers["authorization"] for received in llm.requests} == {f"Bearer {SERVER_KEY}"}
