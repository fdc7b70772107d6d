"""Every way a provider fails: a typed 502, never an explanation."""

import socket
import time
from typing import Any

import httpx
import pytest
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.servers import Serve

BODY = {"activations": [{"tokens": [" whale"], "values": [1.0]}]}


async def post(url: str, body: Any = BODY) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(f"{url}/v1/explain/default", json=body)


def chat(**fields: Any) -> Reply:
    return Reply(fields=fields)


FAILURES = {
    "key refused": (Reply(status=401), "unauthorized", "does not accept the key"),
    "key not for this": (Reply(status=403), "unauthorized", "status 403"),
    "no credit": (Reply(status=402), "payment_required", "no credit left: scripted failure 402"),
    "unknown model": (Reply(status=404), "unknown_model", "own-model"),
    "too fast": (Reply(status=429), "rate_limited", "try again later"),
    "quota": (
        Reply(status=429, body={"error": {"message": "You exceeded it", "code": "insufficient_quota"}}),
        "payment_required",
        "quota is used up: You exceeded it",
    ),
    "bad parameter": (Reply(status=400), "rejected", "status 400"),
    "server error": (Reply(status=500), "provider_failed", "status 500"),
    "overloaded": (Reply(status=529), "provider_failed", "status 529"),
    "error without JSON": (Reply(status=502, body=b"<h1>Bad gateway</h1>"), "provider_failed", "status 502"),
    "redirect": (Reply(status=307, headers={"Location": "/elsewhere"}), "malformed", "status 307"),
    "dropped": (Reply(drop=True), "unreachable", "No answer from 127.0.0.1"),
    "not JSON": (Reply(body=b"{oops"), "malformed", "not a chat completion"),
    "page instead": (
        Reply(body=b"<html>hi</html>", headers={"Content-Type": "text/html"}),
        "malformed",
        "not a chat completion",
    ),
    "JSON list": (Reply(body=[1]), "malformed", "not a chat completion"),
    "JSON null": (Reply(body=b"null"), "malformed", "not a chat completion"),
    "empty object": (Reply(body={"x": 1}), "malformed", "not a chat completion"),
    "no choices": (Reply(body={"choices": []}), "malformed", "not a chat completion"),
    "null choice": (Reply(body={"choices": [None]}), "malformed", "not a chat completion"),
    "choice without message": (Reply(body={"choices": [{}]}), "malformed", "not a chat completion"),
    "content of parts": (chat(message={"content": [{"text": "EXPLANATION: x"}]}), "malformed", "not a chat"),
    "error inside 200": (
        Reply(body={"error": {"message": "Upstream is busy", "code": 429}}),
        "rate_limited",
        "Upstream is busy",
    ),
    "error inside choice": (
        chat(error={"message": "Worker died", "code": 502}),
        "provider_failed",
        "Worker died",
    ),
    "bare error": (Reply(body={"error": "model not loaded"}), "provider_failed", "model not loaded"),
    "filtered": (chat(finish_reason="content_filter"), "filtered", "refused to answer"),
    "refusal": (
        chat(message={"role": "assistant", "content": None, "refusal": "I can't"}),
        "filtered",
        "refused to answer",
    ),
    "cut off": (chat(finish_reason="length"), "truncated", "AUTOINTERP_MAX_TOKENS"),
    "null content": (Reply(content=None), "empty", "gave an empty answer"),
    "blank content": (Reply(content=" \n"), "empty", "gave an empty answer"),
    "no marker": (Reply(content="It likes the sea."), "unreadable", "no line that begins with EXPLANATION"),
    "essay": (
        Reply(content="EXPLANATION: " + "sea " * 200),
        "unreadable",
        "AUTOINTERP_EXPLANATION_CHARACTERS",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_of_the_provider_names_its_cause(name: str, url: str, provider: LlmProvider) -> None:
    reply, cause, message = FAILURES[name]
    provider.script(reply)
    response = await post(url)
    assert response.status_code == 502
    body = response.json()
    assert set(body) == {"error", "cause"}
    assert body["cause"] == cause
    assert message in body["error"]
    # without retries nothing is asked twice, and a redirect is not followed
    assert len(provider.requests) == 1


async def test_an_unreachable_provider(serve: Serve) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        response = await post(await serve(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}/v1"))
    assert (response.status_code, response.json()["cause"]) == (502, "unreachable")


async def test_one_slow_answer_times_out(serve: Serve, provider: LlmProvider) -> None:
    provider.default = Reply(delay=5)
    started = time.monotonic()
    response = await post(await serve(timeout_seconds=0.3))
    assert (response.status_code, response.json()["cause"]) == (502, "timeout")
    assert "AUTOINTERP_TIMEOUT_SECONDS" in response.json()["error"]
    assert time.monotonic() - started < 3


async def test_all_attempts_together_have_a_deadline(serve: Serve, provider: LlmProvider) -> None:
    provider.default = Reply(status=429, headers={"Retry-After": "30"})
    started = time.monotonic()
    response = await post(await serve(retries=5, deadline_seconds=0.5))
    assert (response.status_code, response.json()["cause"]) == (502, "timeout")
    assert "AUTOINTERP_DEADLINE_SECONDS" in response.json()["error"]
    assert time.monotonic() - started < 5


async def test_a_long_message_of_the_provider_is_cut(url: str, provider: LlmProvider) -> None:
    provider.script(Reply(status=400, body={"error": {"message": "long\n" * 1000}}))
    assert len((await post(url)).json()["error"]) < 500
