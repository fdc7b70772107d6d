"""Every way a provider fails: a typed 502, never an explanation."""

import gzip
import json
import resource
import socket
import time
import zlib
from typing import Any

import httpx
import pytest
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
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
    "too fast, with Retry-After": (
        Reply(status=429, headers={"Retry-After": "1000"}),
        "rate_limited",
        "try again in 1000 s",
    ),
    "reset mid-body": (Reply(cut=True), "unreachable", "No answer from 127.0.0.1"),
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
    "surrogate": (
        Reply(body=b'{"choices": [{"message": {"content": "EXPLANATION: a \\ud800"}}]}'),
        "malformed",
        "not a chat",
    ),
    "JSON of many levels": (Reply(body=b"[" * 200_000 + b"]" * 200_000), "malformed", "not a chat"),
    "the key in the answer": (Reply(content=f"EXPLANATION: {SERVER_KEY}"), "malformed", "contains the key"),
    "most of the key": (Reply(content=f"EXPLANATION: {SERVER_KEY[:-4]}"), "malformed", "contains the key"),
    "the key in capitals": (Reply(content=f"EXPLANATION: {SERVER_KEY.upper()}"), "malformed", "contains the key"),
    "the key, spaced": (Reply(content=f"EXPLANATION: {' '.join(SERVER_KEY)}"), "malformed", "contains the key"),
    "surrogate in an error": (
        Reply(status=400, body=b'{"error": {"message": "half \\ud800"}}'),
        "rejected",
        "half ?",
    ),
    "large answer": (Reply(content="EXPLANATION: " + "sea " * 1_100_000), "malformed", "AUTOINTERP_ANSWER_BYTES"),
    "large compressed answer": (
        Reply(body=gzip.compress(b" " * 100_000_000), headers={"Content-Encoding": "gzip"}),
        "malformed",
        "larger than 4000000 bytes",
    ),
    "encoding that was not requested": (
        Reply(body=b"x", headers={"Content-Encoding": "br"}),
        "malformed",
        "not a chat",
    ),
    "damaged compressed answer": (
        Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
        "malformed",
        "not a chat",
    ),
    "end of a compressed answer damaged": (
        Reply(body=gzip.compress(b'{"choices": []}')[:-8] + b"\0" * 8, headers={"Content-Encoding": "gzip"}),
        "malformed",
        "not a chat",
    ),
    "an error's code that is no status": (
        Reply(body=b'{"error": {"message": "busy", "code": ' + b"9" * 4000 + b"}}"),
        "provider_failed",
        "failed (status 500): busy",
    ),
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


async def test_an_answer_of_which_bytes_drip_in_times_out(serve: Serve, provider: LlmProvider) -> None:
    provider.default = Reply(drip=0.1)
    started = time.monotonic()
    response = await post(await serve(timeout_seconds=1))
    assert (response.status_code, response.json()["cause"]) == (502, "timeout")
    assert "AUTOINTERP_TIMEOUT_SECONDS" in response.json()["error"]
    assert time.monotonic() - started < 5


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


async def test_a_compressed_answer_is_never_decompressed_whole(url: str, provider: LlmProvider) -> None:
    """2 GB of spaces in 2 MB of gzip: the memory of the process hardly grows."""
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join(compressor.compress(b" " * 10_000_000) for _ in range(200)) + compressor.flush()
    assert len(bomb) < 3_000_000
    provider.script(Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response = await post(url)
    assert (response.status_code, response.json()["cause"]) == (502, "malformed")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, f"{grown} KiB"
    assert SERVER_KEY not in response.text


async def test_a_compressed_answer_within_the_limit_is_read(url: str, provider: LlmProvider) -> None:
    body = {"choices": [{"message": {"content": "EXPLANATION: the sea"}}], "model": "m" * 500_000}
    for encoding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        provider.script(Reply(body=compress(json.dumps(body).encode()), headers={"Content-Encoding": encoding}))
        explanation = (await post(url)).json()
        assert explanation["explanation"] == "the sea"
        # a name that nobody can read is not passed on
        assert explanation["model"] == "own-model"


@pytest.mark.parametrize("count", [10**400, -1, True, 1.5, "7"])
async def test_a_count_of_tokens_that_is_none_is_left_out(url: str, provider: LlmProvider, count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 1}
    provider.script(Reply(body={"choices": [{"message": {"content": "EXPLANATION: the sea"}}], "usage": usage}))
    response = await post(url)
    assert response.status_code == 200 and response.json()["usage"] is None


async def test_half_of_a_surrogate_pair_in_a_request_is_its_own_fault(url: str, provider: LlmProvider) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.post(
            f"{url}/v1/explain/default",
            content=b'{"activations": [{"tokens": ["\\ud800"], "values": [1]}]}',
            headers={"Content-Type": "application/json"},
        )
    assert response.status_code == 400 and "an unpaired surrogate" in response.text
    assert provider.requests == []
