"""Calls of a provider: what is sent, what comes back, retries, stored answers."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.answer_cache import DiskAnswerCache
from memicos_autointerp_core.providers.chat import ChatRequest, Message, TokenLogprob, TokenUsage
from memicos_autointerp_core.providers.client import Provider
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_testing.llm_provider import LlmProvider, Reply

Connect = Callable[..., Provider]

REQUEST = ChatRequest((Message("system", "Be brief."), Message("user", "Which word?")), "some-model", max_tokens=50)
LOGPROBS = {
    "logprobs": {
        "content": [
            {"token": "5", "logprob": -0.25, "top_logprobs": [{"token": "5", "logprob": -0.25}]},
            {"token": "!", "logprob": -3, "top_logprobs": []},
        ]
    }
}


async def test_an_answer_with_usage_and_cost(connect: Connect) -> None:
    provider = connect(prices={"some-model": {"input": 2, "output": 10}})
    answer = await provider.chat(REQUEST)
    assert (answer.text, answer.model) == ("EXPLANATION: the sea", "some-model-2026-01-01")
    assert answer.usage == TokenUsage(321, 12)
    assert answer.cost == pytest.approx((321 * 2 + 12 * 10) / 1e6, rel=1e-12)
    assert answer.paid == answer.cost
    assert (await provider.chat(replace(REQUEST, model="other"))).cost is None


async def test_a_profile_without_key_sends_no_authorization(connect: Connect, llm: LlmProvider) -> None:
    await connect(key=None, needs_key=False).chat(REQUEST)
    assert "authorization" not in llm.requests[0].headers


async def test_abilities_decide_what_is_sent(connect: Connect, llm: LlmProvider) -> None:
    schema = {"type": "object", "properties": {"word": {"type": "string"}}}
    request = replace(REQUEST, json_schema=schema, top_logprobs=3, seed=7, temperature=0.5)
    llm.default = Reply(fields=LOGPROBS)
    answer = await connect(structured_output=True, logprobs=True).chat(request)
    assert answer.logprobs == (TokenLogprob("5", -0.25, (("5", -0.25),)), TokenLogprob("!", -3.0))
    body = llm.requests[0].body
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (body["logprobs"], body["top_logprobs"], body["seed"], body["temperature"]) == (True, 3, 7, 0.5)
    assert body["max_tokens"] == 50

    await connect(max_tokens_field="max_completion_tokens").chat(request)
    body = llm.requests[1].body
    assert not {"response_format", "logprobs", "top_logprobs", "max_tokens"} & set(body)
    assert body["max_completion_tokens"] == 50


@pytest.mark.parametrize("value", ["x", None, float("nan")])
async def test_a_bad_log_probability_leaves_out_all(connect: Connect, llm: LlmProvider, value: object) -> None:
    content = [{"token": "5", "logprob": value, "top_logprobs": []}]
    llm.default = Reply(fields={"logprobs": {"content": content}})
    assert (await connect(logprobs=True).chat(replace(REQUEST, top_logprobs=1))).logprobs is None


async def test_retry_after_pauses_all_calls_of_the_key(connect: Connect, llm: LlmProvider) -> None:
    llm.script(Reply(status=429, headers={"Retry-After": "0.6"}))
    provider = connect(options=ProviderOptions(retries=0))
    with pytest.raises(ProviderError, match="try again in"):
        await provider.chat(REQUEST)
    started = time.monotonic()
    await asyncio.gather(*(provider.chat(REQUEST) for _ in range(3)))
    assert time.monotonic() - started >= 0.55
    # and the failed call itself is repeated after the pause
    llm.script(Reply(status=429, headers={"Retry-After": "0.3"}))
    started = time.monotonic()
    await connect().chat(REQUEST)
    assert time.monotonic() - started >= 0.3


async def test_a_pause_that_is_too_long_fails_at_once(connect: Connect, llm: LlmProvider) -> None:
    llm.default = Reply(status=429, headers={"Retry-After": "3600"})
    started = time.monotonic()
    with pytest.raises(ProviderError, match="try again in 3600 s") as caught:
        await connect().chat(REQUEST)
    assert caught.value.cause == "rate_limited"
    assert time.monotonic() - started < 5
    assert len(llm.requests) == 1


async def test_headers_of_a_used_up_limit_pause_the_next_call(connect: Connect, llm: LlmProvider) -> None:
    llm.script(Reply(headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "500ms"}))
    provider = connect()
    await provider.chat(REQUEST)
    started = time.monotonic()
    await provider.chat(REQUEST)
    assert time.monotonic() - started >= 0.45


@pytest.mark.parametrize(("status", "requests"), [(500, 3), (503, 3), (408, 3), (400, 1), (401, 1), (402, 1), (404, 1)])
async def test_only_passing_failures_are_repeated(
    connect: Connect, llm: LlmProvider, status: int, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memicos_autointerp_core.providers.client.FIRST_WAIT_SECONDS", 0.01)
    llm.default = Reply(status=status)
    with pytest.raises(ProviderError):
        await connect(options=ProviderOptions(retries=2)).chat(REQUEST)
    assert len(llm.requests) == requests


async def test_answers_of_which_bytes_drip_in_end_without_a_deadline(connect: Connect, llm: LlmProvider) -> None:
    """Work on many features has no deadline."""
    llm.default = Reply(drip=0.1)
    started = time.monotonic()
    with pytest.raises(ProviderError, match=r"gave no answer in 0\.5 s, 2 times") as failure:
        options = ProviderOptions(timeout_seconds=0.5, retries=1, deadline_seconds=None)
        await connect(options=options).chat(REQUEST)
    assert failure.value.cause == "timeout" and len(llm.requests) == 2
    assert time.monotonic() - started < 8


async def test_the_key_is_not_sent_to_the_target_of_a_redirect(connect: Connect, llm: LlmProvider) -> None:
    with LlmProvider() as elsewhere:
        for status in (301, 302, 307, 308):
            llm.script(Reply(status=status, headers={"Location": f"{elsewhere.base_url}/chat/completions"}))
            with pytest.raises(ProviderError, match=f"status {status}"):
                await connect().chat(REQUEST)
        assert not elsewhere.requests


async def test_a_stored_answer_is_not_paid_again(connect: Connect, llm: LlmProvider, tmp_path: Path) -> None:
    file = tmp_path / "answers" / "answers.sqlite"
    llm.default = Reply(fields=LOGPROBS)
    request = replace(REQUEST, top_logprobs=1)
    fields = {"logprobs": True, "prices": {"some-model": {"input": 2, "output": 10}}}
    cache = DiskAnswerCache(file)
    first = await connect(cache=cache, **fields).chat(request)
    cache.close()
    cache = DiskAnswerCache(file)
    again = await connect(cache=cache, **fields).chat(request)
    assert len(llm.requests) == 1
    assert again == replace(first, cached=True)
    assert (again.paid, again.cost) == (0, first.cost)
    for other in (replace(request, attempt=1), replace(request, model="b"), replace(request, max_tokens=60)):
        await connect(cache=cache, **fields).chat(other)
    assert len(llm.requests) == 4
    cache.close()


async def test_failures_are_not_stored(connect: Connect, llm: LlmProvider, tmp_path: Path) -> None:
    cache = DiskAnswerCache(tmp_path / "answers.sqlite")
    provider = connect(cache=cache)
    llm.script(Reply(content=""), Reply(body=b"<html>"), Reply(fields={"finish_reason": "length"}))
    for cause in ("empty", "malformed", "truncated"):
        with pytest.raises(ProviderError) as caught:
            await provider.chat(REQUEST)
        assert caught.value.cause == cause
    assert not (await provider.chat(REQUEST)).cached
    cache.close()


def test_the_hash_depends_on_the_request_and_the_endpoint_only() -> None:
    digest = REQUEST.digest("http://a/v1")
    schema = {"b": 1, "a": [json.loads("1")]}
    assert digest == replace(REQUEST).digest("http://a/v1") != REQUEST.digest("http://b/v1")
    assert replace(REQUEST, json_schema=schema).digest("x") == replace(
        REQUEST, json_schema=dict(reversed(schema.items()))
    ).digest("x")
