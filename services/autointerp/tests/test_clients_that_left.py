"""A client that disconnects ends the calls of a provider of language models, also without a stream: 499 is logged."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.servers import Serve

TEXTS = [{"tokens": [word], "values": [float(number % 2)]} for number, word in enumerate("abcdefghijkl")]
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/explain/default": {"activations": [{"tokens": ["a", "b"], "values": [0, 2]}]},
    "/v1/score/explanation": {"method": "recall_alt", "explanation": "letters", "activations": TEXTS},
    "/v1/score/fuzz-detection": {"type": "FUZZ", "explanation": "letters", "activations": TEXTS},
}


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_client_that_leaves_ends_the_calls_of_the_provider(
    serve: Serve, provider: LlmProvider, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "memicos_autointerp.requests")
    url = await serve(retries=5)
    # each failure is tried again, at once
    provider.default = Reply(status=500, delay=0.3, headers={"retry-after": "0"})
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        call = asyncio.create_task(client.post(path, json=REQUESTS[path]))
        async with asyncio.timeout(30):
            while not provider.requests:
                assert not call.done(), call.result().text
                await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    async with asyncio.timeout(10):
        while not (statuses := [getattr(record, "status", None) for record in caplog.records]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    sent = len(provider.requests)
    await asyncio.sleep(0.7)
    assert statuses == [499]
    assert len(provider.requests) == sent
