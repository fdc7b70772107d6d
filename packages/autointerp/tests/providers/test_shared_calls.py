"""Equal requests at the same time: one is sent and paid, whatever becomes of it or of a caller."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memicos_autointerp_core.bulk.meter import Meter
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.answer_cache import DiskAnswerCache
from memicos_autointerp_core.providers.chat import Answer, ChatRequest, Message
from memicos_autointerp_core.providers.client import Provider
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_testing.llm_provider import LlmProvider, Reply

Connect = Callable[..., Provider]
REQUEST = ChatRequest((Message("user", "Which word?"),), "m", max_tokens=50)
PRICES = {"m": {"input": 2, "output": 10}}
COST = (321 * 2 + 12 * 10) / 1e6
RUN = "run"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DiskAnswerCache]:
    stored = DiskAnswerCache(tmp_path / "answers.sqlite", RUN)
    yield stored
    stored.close()


async def received(llm: LlmProvider, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while len(llm.requests) < count:  # noqa: ASYNC110  # the server is in a thread
            await asyncio.sleep(0.01)


async def test_one_is_sent_and_one_caller_pays(connect: Connect, llm: LlmProvider, cache: DiskAnswerCache) -> None:
    llm.default = Reply(delay=0.2)
    meter = Meter(connect(cache=cache, prices=PRICES), budget=1.0, pay=cache.pay)
    answers = await asyncio.gather(*(meter.chat(REQUEST) for _ in range(10)))
    assert len(llm.requests) == 1
    assert [answer.cached for answer in answers].count(False) == 1
    assert (meter.spending.requests, meter.spending.reused) == (1, 9)
    assert meter.total == pytest.approx(COST) == cache.paid()
    await meter.chat(REQUEST)
    assert len(llm.requests) == 1


async def test_a_failure_is_that_of_all_callers_and_paid_once(
    connect: Connect, llm: LlmProvider, cache: DiskAnswerCache
) -> None:
    """Of an answer that was cut off, the tokens are paid."""
    llm.script(Reply(fields={"finish_reason": "length"}, delay=0.2))
    meter = Meter(connect(cache=cache, prices=PRICES), budget=1.0, pay=cache.pay)
    failures = await asyncio.gather(*(meter.chat(REQUEST) for _ in range(5)), return_exceptions=True)
    assert len(llm.requests) == 1
    assert [error.cause for error in failures if isinstance(error, ProviderError)] == ["truncated"] * 5
    assert meter.total == pytest.approx(COST) == cache.paid()
    # nothing of the failure is kept
    assert not (await meter.chat(REQUEST)).cached


@pytest.mark.parametrize("cancelled", [0, 2])
async def test_a_cancelled_caller_leaves_the_others_their_answer(
    connect: Connect, llm: LlmProvider, cache: DiskAnswerCache, cancelled: int
) -> None:
    llm.default = Reply(delay=0.3)
    meter = Meter(connect(cache=cache, prices=PRICES), pay=cache.pay)
    calls = [asyncio.create_task(meter.chat(REQUEST)) for _ in range(4)]
    await received(llm)
    calls[cancelled].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results.pop(cancelled), asyncio.CancelledError)
    answers = [result for result in results if isinstance(result, Answer)]
    assert len(answers) == 3 and len(llm.requests) == 1
    # also where the caller that began the call is gone, its cost is counted
    assert meter.total == pytest.approx(COST) == cache.paid()


async def test_without_callers_the_call_ends_and_the_next_one_is_sent(
    connect: Connect, llm: LlmProvider, cache: DiskAnswerCache
) -> None:
    llm.script(Reply(delay=5))
    provider = connect(cache=cache, options=ProviderOptions(retries=0))
    calls = [asyncio.create_task(provider.chat(REQUEST)) for _ in range(2)]
    await received(llm)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    answer = await provider.chat(REQUEST)
    assert not answer.cached and len(llm.requests) == 2
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*calls, return_exceptions=True)
    )
    assert await cache.get(REQUEST.digest(provider.profile.base_url)) is not None


async def test_without_a_cache_each_is_sent(connect: Connect, llm: LlmProvider) -> None:
    provider = connect()
    await asyncio.gather(*(provider.chat(REQUEST) for _ in range(3)))
    assert len(llm.requests) == 3
