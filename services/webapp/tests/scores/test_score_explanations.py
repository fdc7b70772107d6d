"""Scoring an explanation from its dashboard: texts that are chosen, stored values, progress, cancellation, failures."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import httpx
import numpy as np
import pytest
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.minilm import MiniLmEmbedder
from memicos_testing.fake_inference_server import FakeInferenceServer, server
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.servers import running
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.html_page import Page
from memicos_testing.word_list_model import WordListModel
from memicos_webapp.app import create_app
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

FEATURE = "/small/1-res/5"
SCORE = "/api/explanation/score"
pytestmark = pytest.mark.usefixtures("whale")

MODELS = ("eleuther_fuzz", "eleuther_recall", "recall_alt", "simulation")


@pytest.fixture
async def client(explanation_client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    yield explanation_client


async def _explanation(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get(f"/api/feature{FEATURE}")).json()["explanations"][0]


async def _body(client: httpx.AsyncClient, method: str, **changes: Any) -> dict[str, Any]:
    return {"explanationId": (await _explanation(client))["id"], "scorerType": method, **changes}


async def _score(client: httpx.AsyncClient, method: str, **changes: Any) -> dict[str, Any]:
    response = await client.post(SCORE, json=await _body(client, method, **changes))
    assert response.status_code == 200, response.text
    return response.json()["score"]


async def _stored(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch("SELECT * FROM score WHERE author_id IS NOT NULL ORDER BY id")
    finally:
        await connection.close()


async def test_a_score_without_a_language_model(client: httpx.AsyncClient, own_url: str) -> None:
    score = await _score(client, "eleuther_embedding", nearMisses=True)
    texts = json.loads(score["jsonDetails"])
    assert (score["positives"], score["failed"]) == (10, 0) and score["negatives"] >= 5
    assert score["explanationScoreModelName"] == "all-MiniLM-L6-v2" and score["cost"] is None
    # the dataset has the feature on every positive text (on " whale" and the token after it), and inference on no other
    for text in texts:
        words = (" whale", " rose") if text["distance"] > 0 else (" whale",)
        assert any(word in text["text"] for word in words) is (text["distance"] > 0)
    assert len({text["text"] for text in texts}) == len(texts)
    answers = [text["similarity"] for text in texts]
    assert score["value"] == pytest.approx(roc_auc_score([text["distance"] > 0 for text in texts], answers), abs=1e-4)
    (row,) = await _stored(own_url)
    assert row["id"] == int(score["id"]) and json.loads(row["parameters"])["texts"] == 10
    # the dashboard, the breakdown, the table and the list of the method show it
    assert f'href="/scores/{row["id"]}"' in (await client.get(FEATURE)).text
    page = (await client.get(f"/scores/{row['id']}")).text
    assert Page(page).open == [] and page.count("<mark>") >= 10
    assert f"/scores/{row['id']}" in (await client.get("/score-type/eleuther_embedding")).text
    assert f"/scores/{row['id']}" in (await client.get(f"/explanations/{row['explanation_id']}/scores")).text
    # the same again takes its place, with the same value
    again = await _score(client, "eleuther_embedding", nearMisses=True)
    assert {k: v for k, v in again.items() if k != "createdAt"} == {k: v for k, v in score.items() if k != "createdAt"}
    assert len(await _stored(own_url)) == 1


@pytest.mark.parametrize("method", MODELS)
async def test_a_score_by_a_language_model(
    client: httpx.AsyncClient, own_url: str, provider: LlmProvider, method: str
) -> None:
    provider.answer = WordListModel(0.1)
    score = await _score(client, method, scorerModel="some/model")
    texts = json.loads(score["jsonDetails"])
    truths = [text["ground_truth"] for text in texts]
    assert Counter(truths) == {True: 10, False: score["negatives"]}
    if method == "simulation":
        expected = np.concatenate([text["expected"] for text in texts])
        value = np.corrcoef(expected, np.concatenate([text["activations"] for text in texts]))[0, 1]
        value = 0.0 if np.isnan(value) else value
    else:
        value = balanced_accuracy_score(truths, [text["prediction"] for text in texts])
        assert [text["correct"] for text in texts] == [text["prediction"] == text["ground_truth"] for text in texts]
    assert score["value"] == pytest.approx(value, abs=1e-4)
    assert all(text["highlighted"] is (method == "eleuther_fuzz") for text in texts)
    assert (score["explanationScoreModelName"], score["profile"]) == ("some/model", "default")
    assert score["promptTokens"] == 321 * len(provider.requests)
    assert score["templateVersion"] == 1 and score["parameters"]["attempt"] == 0
    page = await client.get(f"/scores/{score['id']}")
    assert page.status_code == 200 and Page(page.text).open == []
    assert 'template <b class="num">1</b>' in page.text
    assert ('class="asked"' in page.text) is (method == "eleuther_fuzz")
    table = await client.get(f"/small/1-res?sort=score&order=desc&scorer={method}")
    assert f"/scores/{score['id']}" in table.text


@pytest.mark.parametrize("method", ["output_texts", "output_tokens"])
async def test_a_score_of_the_output(client: httpx.AsyncClient, own_url: str, method: str) -> None:
    score = await _score(client, method)
    texts = json.loads(score["jsonDetails"])
    assert score["positives"] == score["negatives"] or method == "output_tokens"
    answers = [text["similarity"] for text in texts]
    assert score["value"] == pytest.approx(roc_auc_score([text["distance"] > 0 for text in texts], answers), abs=1e-4)
    feature = (await client.get(f"/api/feature{FEATURE}")).json()
    if method == "output_tokens":
        own = {token.strip() for token in feature["pos_str"]}
        assert all((text["text"] in own) is (text["distance"] > 0) for text in texts)
    page = await client.get(f"/scores/{score['id']}")
    assert page.status_code == 200 and Page(page.text).open == [] and texts[0]["text"][:10] in page.text


async def _events(client: httpx.AsyncClient, body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    response = await client.post(SCORE, json={**body, "stream": True, "streamSteps": True})
    events = []
    for block in response.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields.get("event", "message"), json.loads(fields["data"])))
    return events


async def test_a_stream_has_steps_and_the_score(client: httpx.AsyncClient, provider: LlmProvider) -> None:
    provider.answer = WordListModel()
    events = await _events(client, await _body(client, "recall_alt"))
    stages = [event["stage"] for name, event in events if name == "step"]
    assert stages == sorted(stages, key=["texts", "model"].index) and {"texts", "model"} == set(stages)
    assert events[-1][0] == "message" and events[-1][1]["score"]["explanationScoreTypeName"] == "recall_alt"


async def test_a_failure_stores_nothing_and_can_be_tried_again(
    client: httpx.AsyncClient, own_url: str, provider: LlmProvider
) -> None:
    provider.default = Reply(status=402)
    response = await client.post(SCORE, json=await _body(client, "recall_alt"))
    assert response.status_code == 502 and "payment_required" in response.json()["error"]
    events = await _events(client, await _body(client, "recall_alt"))
    assert events[-1][0] == "error" and "There is no score" in events[-1][1]["error"]
    assert await _stored(own_url) == []
    provider.answer = WordListModel()
    await _score(client, "recall_alt")
    assert len(await _stored(own_url)) == 1


async def test_without_inference_no_text_is_taken_for_inactive(
    client: httpx.AsyncClient, own_url: str, inference: FakeInferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference.refusal = (500, {"error": "broken", "cause": "internal"}, {})
    response = await client.post(SCORE, json=await _body(client, "eleuther_embedding"))
    assert response.status_code in (502, 503), response.text
    inference.refusal = None
    # active everywhere
    monkeypatch.setattr(server, "value_of", lambda *_: 1.0)
    response = await client.post(SCORE, json=await _body(client, "eleuther_embedding"))
    assert response.status_code == 503 and "0 texts of other contexts" in response.json()["error"]
    assert await _stored(own_url) == []


async def test_closing_a_stream_ends_the_work(
    own_url: str, autointerp_url: str, served_inference: Any, provider: LlmProvider
) -> None:
    provider.default = Reply(delay=0.4)
    settings = make_settings(
        own_url, inference_url=served_inference.url, autointerp_url=autointerp_url, autointerp_secret="theirs",
        embed_every_seconds=0,
    )  # fmt: skip
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        body = {**await _body(client, "simulation"), "stream": True, "streamSteps": True}
        async with client.stream("POST", SCORE, json=body) as response:
            async for line in response.aiter_lines():
                if '"model"' in line:
                    break
        await asyncio.sleep(0.5)
        sent = len(provider.requests)
        await asyncio.sleep(1)
        assert 0 < len(provider.requests) == sent < 20
    assert await _stored(own_url) == []


async def test_a_score_is_deleted_by_its_author_alone(client: httpx.AsyncClient, own_url: str) -> None:
    dataset = (await _explanation(client))["scores"][0]["id"]
    score = await _score(client, "output_tokens")
    for path in (f"{SCORE}/{dataset}/delete", f"/scores/{dataset}/delete"):
        response = await client.post(path)
        assert response.status_code == 403 and "is by a dataset" in response.text
    assert (await client.post(f"{SCORE}/987654321/delete")).status_code == 404
    response = await client.post(f"/scores/{score['id']}/delete")
    assert (response.status_code, response.headers["location"]) == (303, FEATURE)
    assert await _stored(own_url) == []
    score = await _score(client, "output_tokens")
    assert (await client.post(f"{SCORE}/{score['id']}/delete")).status_code == 200


@pytest.mark.parametrize("method", ["eleuther_embedding", "output_texts", "output_tokens"])
async def test_an_embedder_that_fails_is_named(
    client: httpx.AsyncClient, own_url: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def embed(self: MiniLmEmbedder, texts: Sequence[str]) -> np.ndarray:
        raise EmbedderError("The model file is damaged.")

    body = await _body(client, method)
    monkeypatch.setattr(MiniLmEmbedder, "embed", embed)
    response = await client.post(SCORE, json=body)
    message = "The embedder gave no score (embedder_failed): The model file is damaged."
    assert response.status_code == 502 and response.json()["error"] == message
    assert await _stored(own_url) == []


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"scorerType": "nonsense"}, 400, "available: eleuther_embedding"),
        ({"scorerType": "recall_alt", "profile": "nowhere"}, 400, "no profile 'nowhere'"),
        ({"explanationId": 987654321}, 404, "no explanation 987654321"),
        ({"explanationId": 0}, 422, "explanationId"),
        ({"seed": -1}, 422, "seed"),
        ({"streamSteps": True}, 422, "set stream to true"),
    ],
)
async def test_bad_requests(client: httpx.AsyncClient, changes: dict[str, Any], status: int, message: str) -> None:
    response = await client.post(SCORE, json=await _body(client, "eleuther_embedding") | changes)
    assert response.status_code == status and message in response.json()["error"], response.text


async def test_the_form_beside_an_explanation(client: httpx.AsyncClient) -> None:
    explanation = await _explanation(client)
    page = Page((await client.get(FEATURE)).text)
    (details, _) = page.find("details", class_="score-explanation")[0]
    path = details["hx-get"] or ""
    assert path == f"/explanations/{explanation['id']}/score"
    form = Page((await client.get(path)).text)
    assert form.open == [] and form.find("form")[0][0]["action"] == path
    response = await client.post(path, data={"method": "eleuther_embedding"})
    assert response.status_code == 303 and response.headers["location"].startswith("/scores/")
    assert (await client.post(path, data={"method": "x" * 61})).status_code == 400
    assert "score-explanation" not in (await client.get(f"{FEATURE}?embed=true")).text
