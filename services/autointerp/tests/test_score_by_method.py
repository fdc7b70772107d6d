"""Scores by any method over HTTP, with progress, cancellation, and a provider that fails; and output scores."""

import asyncio
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from memicos_autointerp_client import Client
from memicos_autointerp_client.api.score import score_explanation, score_output
from memicos_autointerp_client.models import (
    ScoreExplanationRequest,
    ScoreExplanationResponse,
    ScoreOutputRequest,
    ScoreOutputResponse,
    ScoreProgress,
)
from memicos_autointerp_client.sse import StreamError
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
from memicos_testing.planted_feature import LAW, SEA, TEXTS
from memicos_testing.servers import Serve
from memicos_testing.word_list_model import WordListModel

CHOSEN = [*TEXTS[:12], *TEXTS[50:62]]
METHODS = ("eleuther_embedding", "eleuther_fuzz", "eleuther_recall", "recall_alt", "simulation")


def body(method: str, **changes: Any) -> dict[str, Any]:
    texts = [{"tokens": list(text.tokens), "values": list(text.values)} for text in CHOSEN]
    return {"activations": texts, "explanation": " ".join(SEA), "method": method, **changes}


async def post(url: str, request: dict[str, Any], path: str = "explanation") -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        return await client.post(f"/v1/score/{path}", json=request)


async def score(url: str, request: dict[str, Any]) -> ScoreExplanationResponse:
    async with Client(url) as client:
        response = await score_explanation.asyncio(client=client, body=ScoreExplanationRequest.from_dict(request))
    assert isinstance(response, ScoreExplanationResponse)
    return response


@pytest.mark.parametrize("method", METHODS)
async def test_right_and_wrong_explanations(serve: Serve, provider: LlmProvider, method: str) -> None:
    url = await serve()
    provider.answer = WordListModel()
    right = await score(url, body(method))
    wrong = await score(url, body(method, explanation=" ".join(LAW)))
    assert right.method == method
    assert right.score >= 0.9 and right.low <= right.score <= right.high
    assert wrong.score <= right.chance == (0 if method == "simulation" else 0.5)
    assert (right.positives, right.negatives, right.failures.to_dict()) == (12, 12, {})
    assert [row.index for row in right.breakdown] == list(range(24))
    assert [row.ground_truth for row in right.breakdown] == [True] * 12 + [False] * 12
    assert all(bool(row.marked) is (method == "eleuther_fuzz") for row in right.breakdown)
    assert all((row.expected is not None) is (method == "simulation") for row in right.breakdown)
    binary = method not in ("eleuther_embedding", "simulation")
    assert {row.correct for row in right.breakdown} == ({True} if binary else {None})
    assert right.profile == (None if method == "eleuther_embedding" else "default")


async def test_the_distance_of_a_request_is_kept(serve: Serve, provider: LlmProvider) -> None:
    provider.answer = WordListModel()
    request = body("recall_alt")
    distances = [1, 2, 3, *[1] * 9, -2, -1, *[-1] * 10]
    for text, distance in zip(request["activations"], distances, strict=True):
        text["distance"] = distance
    assert [row.distance for row in (await score(await serve(), request)).breakdown] == distances


async def test_a_stream_tells_progress_and_ends_with_the_score(serve: Serve, provider: LlmProvider) -> None:
    url = await serve()
    provider.answer = WordListModel()
    request = ScoreExplanationRequest.from_dict(body("eleuther_recall", seed=3))
    async with Client(url) as client, aclosing(score_explanation.astream_steps(client=client, body=request)) as events:
        received = [event async for event in events]
    *progress, last = received
    assert [(event.finished, event.requests) for event in progress if isinstance(event, ScoreProgress)] == [
        (number, 5) for number in range(1, 6)
    ]
    assert last == await score(url, body("eleuther_recall", seed=3))
    # without progress the score alone, also where no language model is asked
    for method in ("eleuther_embedding", "simulation"):
        request = ScoreExplanationRequest.from_dict(body(method))
        async with Client(url) as client, aclosing(score_explanation.astream(client=client, body=request)) as events:
            assert [type(event) for event in [event async for event in events]] == [ScoreExplanationResponse]


async def test_closing_a_stream_ends_the_requests(serve: Serve, provider: LlmProvider) -> None:
    url = await serve()
    provider.default = Reply(delay=0.3)
    request = ScoreExplanationRequest.from_dict(body("simulation"))
    async with Client(url) as client, aclosing(score_explanation.astream_steps(client=client, body=request)) as events:
        await anext(events)
    await asyncio.sleep(0.1)
    sent = len(provider.requests)
    await asyncio.sleep(1)
    assert len(provider.requests) == sent < 24


async def test_a_failure_in_a_stream_names_its_cause(serve: Serve, provider: LlmProvider) -> None:
    provider.default = Reply(status=402)
    request = ScoreExplanationRequest.from_dict(body("recall_alt"))
    async with Client(await serve()) as client:
        with pytest.raises(StreamError, match="There is no score") as caught:
            async for _ in score_explanation.astream(client=client, body=request):
                pass
    assert caught.value.cause == "payment_required"


async def test_a_retry_after_a_failure_asks_again(serve: Serve, provider: LlmProvider, tmp_path: Any) -> None:
    """Failures are not stored; an answer that is stored but unreadable is asked for again with another attempt."""
    url = await serve(answers_file=tmp_path / "answers.sqlite")
    provider.default = Reply(status=500)
    assert (await post(url, body("recall_alt"))).json()["cause"] == "provider_failed"
    provider.default = Reply(content="I cannot say.")
    for _ in range(2):
        assert (await post(url, body("recall_alt"))).json()["cause"] == "unreadable"
    provider.answer = WordListModel()
    assert (await score(url, body("recall_alt", attempt=1))).score == 1


FAULTS = {
    "401": (Reply(status=401), "unauthorized"),
    "402": (Reply(status=402), "payment_required"),
    "429": (Reply(status=429), "rate_limited"),
    "429 with Retry-After": (Reply(status=429, headers={"Retry-After": "1000"}), "rate_limited"),
    "500": (Reply(status=500), "provider_failed"),
    "hang": (Reply(delay=5), "timeout"),
    "reset mid-body": (Reply(content="[1, 0, 1, 0, 1]", cut=True), "unreachable"),
    "HTML at 200": (Reply(body=b"<html>hi</html>", headers={"Content-Type": "text/html"}), "malformed"),
    "no choices": (Reply(body={"choices": []}), "malformed"),
    "refusal": (Reply(fields={"finish_reason": "content_filter"}), "filtered"),
    "wrong JSON": (Reply(content='{"matches": "all"} [yes] 1: high'), "unreadable"),
    "wrong length": (Reply(content='[1, 0]\n{"matches": [1, 99]}\n1: 0\n2: 0'), "unreadable"),
    "10 MB": (Reply(body=b'{"choices": [' + b" " * 10_000_000 + b"]}"), "malformed"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failing_provider_gives_no_score_by_any_method(serve: Serve, provider: LlmProvider, fault: str) -> None:
    provider.default, cause = FAULTS[fault]
    url = await serve(timeout_seconds=0.5 if fault == "hang" else 20)
    texts = body("simulation")["activations"]
    changes = {"activations": [*texts[:5], *texts[12:17]]}
    responses = await asyncio.gather(*(post(url, body(method, **changes)) for method in METHODS[1:]))
    for method, response in zip(METHODS[1:], responses, strict=True):
        assert (response.status_code, response.json()["cause"]) == (502, cause), (method, response.text)
        assert f"{cause}: 10" in response.json()["error"] and SERVER_KEY not in response.text


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"method": "nla_reconstructor"}, 422, "method"),
        ({"activations": [{"tokens": ["a"], "values": [1], "distance": -1}]}, 422, "contradicts the largest value"),
        ({"activations": [{"tokens": ["a"], "values": [0], "distance": 0}]}, 422, "distance is not 0"),
        ({"activations": [{"tokens": ["a"], "values": [0], "distance": -3}]}, 422, "distance"),
        ({"attempt": -1}, 422, "attempt"),
        ({"activations": body("simulation")["activations"][:12]}, 400, "12 and 0 were sent"),
        ({"profile": "nowhere"}, 400, "no profile nowhere"),
        ({"stream": True, "model": "invented"}, 400, "model is one of"),
    ],
)
async def test_bad_requests(
    url: str, provider: LlmProvider, changes: dict[str, Any], status: int, message: str
) -> None:
    response = await post(url, body("simulation") | changes)
    assert response.status_code == status and message in response.json()["error"], response.text
    assert provider.requests == []


async def test_output_scores(url: str) -> None:
    raised = ["ships at sea", "the ocean and a ship", "sailors on a boat", "a whale in the sea", "an anchor of a ship"]
    others = ["a new law", "bread and butter", "he opened a book", "it rained", "seven numbers"]
    async with Client(url) as client:
        for kind, method in (("TEXTS", "output_texts"), ("TOKENS", "output_tokens")):
            request = {"explanation": "ships and the sea", "kind": kind, "raised": raised, "others": others}
            response = await score_output.asyncio(client=client, body=ScoreOutputRequest.from_dict(request))
            assert isinstance(response, ScoreOutputResponse)
            assert (response.method, response.model) == (method, "all-MiniLM-L6-v2") and response.score >= 0.9
            assert [(row.raised, row.index) for row in response.breakdown] == [
                (side, number) for side in (True, False) for number in range(5)
            ]
            assert [row.text for row in response.breakdown] == raised + others


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"raised": ["a"] * 4}, 400, "at least 5 texts in raised: 4 were sent"),
        ({"others": ["a"]}, 400, "at least 5 texts in others: 1 were sent"),
        ({"others": ["a"] * 60}, 400, "65 texts were sent; at most 64"),
        ({"others": ["a" * 50_000] * 5}, 400, "AUTOINTERP_MAX_CHARACTERS"),
        ({"kind": "LOGITS"}, 422, "kind"),
        ({"raised": []}, 422, "raised"),
        ({"explanation": ""}, 422, "explanation"),
    ],
)
async def test_bad_requests_of_output_scores(url: str, changes: dict[str, Any], status: int, message: str) -> None:
    request = {"explanation": "the sea", "kind": "TEXTS", "raised": ["a"] * 5, "others": ["b"] * 5, **changes}
    response = await post(url, request, "output")
    assert response.status_code == status and message in response.json()["error"], response.text
