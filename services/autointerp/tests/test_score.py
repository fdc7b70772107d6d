"""Scoring over HTTP: a planted feature, a provider that answers by a word list, and its failures."""

import json
import random
import re
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_autointerp_client import Client
from memicos_autointerp_client.api.score import score_embedding, score_fuzz_detection
from memicos_autointerp_client.models import (
    ScoreEmbeddingRequest,
    ScoreEmbeddingResponse,
    ScoreFuzzDetectionRequest,
    ScoreFuzzDetectionResponse,
)
from memicos_embeddings.minilm import MiniLmEmbedder
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Received, Reply
from memicos_testing.servers import Serve
from scipy.stats import mannwhitneyu

SEA, LAW = ("whale", "ship", "sail", "anchor"), ("senate", "law", "court", "judge")


def text(words: tuple[str, ...], number: int, active: bool) -> dict[str, Any]:
    chooser = random.Random(f"{words[0]}{number}")
    tokens = [f" {chooser.choice(('the', 'of', 'and', 'in', 'was'))}" for _ in range(8)]
    place = chooser.randrange(8)
    tokens[place] = f" {words[number % len(words)]}"
    return {"tokens": tokens, "values": [5.0 if active and i == place else 0.0 for i in range(8)]}


TEXTS = [text(SEA, i, True) for i in range(12)] + [text(LAW, i, False) for i in range(12)]


def by_word_list(request: Received) -> Reply:
    """Answers of a model that knows which words the description names."""
    description, texts = request.body["messages"][1]["content"].split("\n\nTexts:\n")
    words = description.removeprefix("Description: ").split()
    parts = [" ".join(re.findall("<<(.*?)>>", line)) if "<<" in line else line for line in texts.split("\n")]
    return Reply(content=json.dumps([int(any(word in part for word in words)) for part in parts]))


def body(**changes: Any) -> dict[str, Any]:
    return {"activations": TEXTS, "explanation": " ".join(SEA), "type": "DETECTION", **changes}


async def post(url: str, path: str, request: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        return await client.post(f"/v1/score/{path}", json=request)


@pytest.mark.parametrize("kind", ["FUZZ", "DETECTION"])
async def test_right_and_wrong_explanations(serve: Serve, provider: LlmProvider, kind: str) -> None:
    url = await serve()
    provider.answer = by_word_list
    async with Client(url) as client:
        right = await score_fuzz_detection.asyncio(
            client=client, body=ScoreFuzzDetectionRequest.from_dict(body(type=kind))
        )
        wrong = await score_fuzz_detection.asyncio(
            client=client, body=ScoreFuzzDetectionRequest.from_dict(body(type=kind, explanation=" ".join(LAW)))
        )
    assert isinstance(right, ScoreFuzzDetectionResponse) and isinstance(wrong, ScoreFuzzDetectionResponse)
    assert right.method == {"FUZZ": "eleuther_fuzz", "DETECTION": "eleuther_recall"}[kind]
    assert (right.positives, right.negatives, right.failures.to_dict()) == (12, 12, {})
    assert right.score >= 0.9 and wrong.score <= 0.5
    # balanced accuracy by hand, from the breakdown, which is in the order of the request
    assert [row.str_tokens for row in right.breakdown] == [item["tokens"] for item in TEXTS]
    hits = np.array([row.prediction == row.ground_truth for row in right.breakdown], float)
    assert right.score == pytest.approx((hits[:12].mean() + hits[12:].mean()) / 2, abs=1e-9)
    assert [row.ground_truth for row in right.breakdown] == [True] * 12 + [False] * 12
    assert all(row.highlighted is (kind == "FUZZ") for row in right.breakdown)
    # five texts a request, the last batch smaller, all counted
    assert len(provider.requests) == 2 * 5
    assert right.usage and right.usage.prompt_tokens == 5 * 321 and right.cost is None


async def test_the_embedding_score_against_scipy(url: str) -> None:
    async with Client(url) as client:
        response = await score_embedding.asyncio(
            client=client,
            body=ScoreEmbeddingRequest.from_dict({"activations": TEXTS, "explanation": "ships and whales at sea"}),
        )
    assert isinstance(response, ScoreEmbeddingResponse)
    vectors = MiniLmEmbedder(1).encode(["ships and whales at sea", *("".join(item["tokens"]) for item in TEXTS)])
    similarities = np.round(vectors[1:].astype(np.float64) @ vectors[0].astype(np.float64), 4)
    assert [row.similarity for row in response.breakdown] == pytest.approx(similarities.tolist(), abs=2e-4)
    ranked = np.array([row.similarity for row in response.breakdown])
    expected = mannwhitneyu(ranked[:12], ranked[12:]).statistic / 144
    assert response.score == pytest.approx(expected, abs=1e-9) and response.score > 0.9
    assert response.low <= response.score <= response.high
    assert (response.method, response.model) == ("eleuther_embedding", "all-MiniLM-L6-v2")


async def test_equal_requests_give_equal_scores(serve: Serve, provider: LlmProvider) -> None:
    url = await serve()
    provider.answer = by_word_list
    first, second, other = [
        (await post(url, "fuzz-detection", body(type="FUZZ", seed=seed))).json() for seed in (3, 3, 4)
    ]
    assert first == second
    assert [row["marked"] for row in first["breakdown"]] != [row["marked"] for row in other["breakdown"]]


FAILURES = [
    (Reply(status=401), "unauthorized"),
    (Reply(status=402), "payment_required"),
    (Reply(status=429), "rate_limited"),
    (Reply(status=500), "provider_failed"),
    (Reply(drop=True), "unreachable"),
    (Reply(content="[1, 0, 1, 0, 1]", cut=True), "unreachable"),
    (Reply(body=b"<html>hi</html>", headers={"Content-Type": "text/html"}), "malformed"),
    (Reply(body={"choices": []}), "malformed"),
    (Reply(content="I would rather not."), "unreadable"),
    (Reply(content="[1, 0]"), "unreadable"),
    (Reply(content=None), "empty"),
    (Reply(fields={"finish_reason": "content_filter"}), "filtered"),
    (Reply(content="[" * 100_000), "unreadable"),
]


@pytest.mark.parametrize(("reply", "cause"), FAILURES, ids=[cause for _, cause in FAILURES])
async def test_a_failing_provider_gives_no_score(serve: Serve, provider: LlmProvider, reply: Reply, cause: str) -> None:
    provider.default = reply
    response = await post(await serve(), "fuzz-detection", body())
    assert response.status_code == 502 and response.json()["cause"] == cause, response.text
    assert "There is no score. A score needs 5 texts of each class" in response.json()["error"]
    assert f"{cause}: 24" in response.json()["error"] and SERVER_KEY not in response.text


async def test_failed_batches_are_excluded_and_reported(serve: Serve, provider: LlmProvider) -> None:
    url = await serve()
    provider.answer = by_word_list
    provider.script(Reply(status=500))
    response = (await post(url, "fuzz-detection", body())).json()
    failed = [row for row in response["breakdown"] if row["failure"]]
    assert len(failed) in (4, 5) and response["failures"] == {"provider_failed": len(failed)}
    assert {(row["prediction"], row["probability"], row["correct"]) for row in failed} == {(None, None, None)}
    assert response["score"] == 1.0 and response["positives"] + response["negatives"] == 24 - len(failed)


@pytest.mark.parametrize(
    ("path", "changes", "status", "message"),
    [
        ("fuzz-detection", {"activations": TEXTS[:12]}, 400, "12 and 0 were sent"),
        ("fuzz-detection", {"activations": TEXTS[8:]}, 400, "4 and 12 were sent"),
        ("embedding", {"activations": TEXTS[12:]}, 400, "0 and 12 were sent"),
        ("embedding", {"activations": TEXTS * 3}, 400, "72 activations were sent; at most 64"),
        ("embedding", {"activations": [{"tokens": ["x" * 20_000], "values": [1]}] * 11}, 400, "220000 characters"),
        ("embedding", {"explanation": ""}, 422, "explanation"),
        ("embedding", {"explanation": "x" * 2001}, 422, "at most 2000"),
        ("fuzz-detection", {"type": "fuzz"}, 422, "type"),
        ("fuzz-detection", {"seed": -1}, 422, "seed"),
        ("fuzz-detection", {"model": "invented"}, 400, "model is one of"),
        ("fuzz-detection", {"openrouter_key": "sk-mine"}, 400, "sends no keys to OpenRouter"),
        ("fuzz-detection", {"activations": [{"tokens": ["a"], "values": [1, 2]}]}, 422, "1 tokens, but 2 values"),
    ],
)
async def test_bad_requests(
    url: str, provider: LlmProvider, path: str, changes: dict[str, Any], status: int, message: str
) -> None:
    request = body(**changes) if path == "fuzz-detection" else {k: v for k, v in body(**changes).items() if k != "type"}
    response = await post(url, path, request)
    assert response.status_code == status and message in response.json()["error"], response.text
    assert provider.requests == []
