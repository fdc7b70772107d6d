"""Work on many features: the budget, workers, the sample and its estimate."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from memicos_autointerp_core.bulk.estimate import CostSample, Estimate, describe, estimate, split_sample
from memicos_autointerp_core.bulk.meter import BudgetReached, CannotContinue, Meter, Spending
from memicos_autointerp_core.bulk.run import Failure, run_all
from memicos_autointerp_core.bulk.state import FailedItem, StoredSample, WorkState
from memicos_autointerp_core.bulk.task import REFUSED, Task, run_task
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.answer_cache import DiskAnswerCache
from memicos_autointerp_core.providers.chat import ChatRequest, Message
from memicos_autointerp_core.providers.client import Provider
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_autointerp_core.providers.profile import Profile
from memicos_autointerp_core.scorers.interface import all_finished
from memicos_testing.llm_provider import LlmProvider, Reply

Connect = Callable[..., Provider]

PRICES = {"m": {"input": 2.0, "output": 10.0}}
COST = (321 * 2 + 12 * 10) / 1e6
"""Of an answer of the test's provider."""


def request(number: int, max_tokens: int = 50) -> ChatRequest:
    return ChatRequest((Message("user", f"Question {number}"),), "m", max_tokens=max_tokens)


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def ignore(failure: Failure[int]) -> None:
    pass


async def test_an_error_while_items_are_read_lets_those_in_progress_end() -> None:
    """They are paid."""
    done: list[int] = []

    async def items() -> AsyncIterator[int]:
        yield 0
        yield 1
        raise OSError("the database is lost")

    async def work(number: int) -> None:
        await asyncio.sleep(0.05)
        done.append(number)

    with pytest.raises(OSError, match="the database is lost"):
        await run_all(items(), work, ignore, 3)
    assert done == [0, 1]


async def test_a_budget_is_used_up_and_never_exceeded(connect: Connect, llm: LlmProvider, tmp_path: Path) -> None:
    cache = DiskAnswerCache(tmp_path / "state.sqlite", "run")
    most = (len("Question 0") + 1 + 64) * 2e-6 + 50 * 10e-6
    # the answers cost more than the most that is computed from the request: the provider's count is a fixed one
    budget = 10 * COST + most
    meter = Meter(connect(prices=PRICES, limits={"concurrency": 20}, cache=cache), budget, 0.0, cache.pay)
    llm.default = Reply(content="x", delay=0.02)

    async def work(number: int) -> None:
        await meter.chat(request(number))

    outcome = await run_all(numbers(100), work, ignore, 4)
    assert outcome.stopped and "budget" in outcome.stopped
    assert outcome.done == len(llm.requests) == meter.spending.requests
    assert budget - COST - 4 * most <= meter.total
    # a kill loses nothing of what was paid
    again = DiskAnswerCache(tmp_path / "state.sqlite", "run")
    assert again.paid() == pytest.approx(outcome.done * COST, rel=1e-12) == pytest.approx(meter.total)
    assert DiskAnswerCache(tmp_path / "state.sqlite", "another").paid() == 0
    # a run that continues has no more to spend, and reads what is stored
    resumed = Meter(connect(prices=PRICES, cache=again), budget, again.paid())
    await resumed.chat(request(0))
    assert resumed.spending.reused == 1
    with pytest.raises(BudgetReached):
        await resumed.chat(request(99))


async def test_the_last_dollars_are_used_one_request_at_a_time(connect: Connect, llm: LlmProvider) -> None:
    """Four requests at once would not fit by the most that each can cost; one after the other they do."""
    llm.default = Reply(content="x", delay=0.01)
    provider = connect(prices=PRICES)
    most = Meter(provider).largest_cost(request(0, 2000))
    assert most is not None and most > 20 * COST
    meter = Meter(provider, most + 3.5 * COST)
    answers = await asyncio.gather(*(meter.chat(request(number, 2000)) for number in range(8)), return_exceptions=True)
    assert sum(isinstance(answer, BudgetReached) for answer in answers) == 4
    assert meter.spending.requests == 4 and meter.total <= most + 3.5 * COST


async def test_a_budget_needs_a_price(connect: Connect, llm: LlmProvider) -> None:
    with pytest.raises(CannotContinue, match="no price of m"):
        await Meter(connect(), 1.0).chat(request(0))
    assert not llm.requests


async def test_answers_that_cannot_be_used_are_paid(connect: Connect, llm: LlmProvider, tmp_path: Path) -> None:
    cache = DiskAnswerCache(tmp_path / "state.sqlite", "run")
    meter = Meter(connect(prices=PRICES, cache=cache), None, 0.0, cache.pay)
    llm.script(Reply(fields={"finish_reason": "length"}), Reply(content=""))
    for cause in ("truncated", "empty"):
        with pytest.raises(ProviderError) as failure:
            await meter.chat(request(0))
        assert failure.value.cause == cause
    assert meter.total == cache.paid() == pytest.approx(2 * COST, rel=1e-12)


async def test_an_answer_without_a_count_of_tokens_costs_the_most_that_it_can(
    connect: Connect, llm: LlmProvider, tmp_path: Path
) -> None:
    cache = DiskAnswerCache(tmp_path / "state.sqlite", "run")
    meter = Meter(connect(prices=PRICES, cache=cache), 1.0, 0.0, cache.pay)
    choices = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": c}} for c in ("x", "")]
    llm.script(*(Reply(body={"id": "1", "object": "chat.completion", "model": "m", "choices": [c]}) for c in choices))
    await meter.chat(request(0))
    with pytest.raises(ProviderError):
        await meter.chat(request(1))
    most = (len("Question 0") + 64) * 2e-6 + 50 * 10e-6
    # also after a kill
    assert (
        meter.total
        == pytest.approx(2 * most)
        == pytest.approx(DiskAnswerCache(tmp_path / "state.sqlite", "run").paid())
    )


async def test_paid_answers_are_awaited_when_a_run_stops() -> None:
    ended: list[int] = []

    async def call(number: int) -> int:
        await asyncio.sleep(0.01 * number)
        ended.append(number)
        if number == 0:
            raise CannotContinue("no more money")
        return number

    with pytest.raises(CannotContinue):
        await all_finished(call(number) for number in range(3))
    assert ended == [0, 1, 2]
    assert await all_finished(call(number) for number in (2, 1)) == [2, 1]


@pytest.mark.parametrize(
    ("status", "cause"), [(401, "unauthorized"), (402, "payment_required"), (404, "unknown_model")]
)
async def test_what_every_request_has_ends_the_run(connect: Connect, llm: LlmProvider, status: int, cause: str) -> None:
    meter = Meter(connect())

    async def answer(number: int) -> None:
        await meter.chat(request(number))

    llm.script(*(Reply(content="x") for _ in range(5)))
    llm.default = Reply(status=status)
    outcome = await run_all(numbers(1000), answer, ignore, 4)
    assert outcome.done == 5 and outcome.failed == 0
    assert outcome.stopped and outcome.stopped.startswith(f"{cause}: ")
    assert len(llm.requests) <= 5 + 4


async def test_workers_read_no_more_than_they_work_on() -> None:
    read, done, largest = 0, 0, 0

    async def items() -> AsyncIterator[int]:
        nonlocal read
        for number in range(200):
            read += 1
            yield number

    async def work(number: int) -> None:
        nonlocal done, largest
        largest = max(largest, read - done)
        await asyncio.sleep(0.001)
        done += 1

    outcome = await run_all(items(), work, ignore, 7)
    assert outcome.done == done == 200 and largest <= 7


async def test_a_fault_of_the_program_ends_the_run() -> None:
    async def work(number: int) -> None:
        if number == 3:
            raise ZeroDivisionError("a fault")

    with pytest.raises(ZeroDivisionError):
        await run_all(numbers(10), work, ignore, 2)


def test_a_sample_is_evenly_spaced() -> None:
    sample, rest = split_sample(list(range(100)), 20)
    assert sample == list(range(0, 100, 5)) and sorted(sample + rest) == list(range(100))
    assert split_sample([1, 2], 20) == ([1, 2], [])
    assert split_sample([1, 2], 0) == ([], [1, 2])


def test_the_estimate_is_items_times_tokens_times_prices() -> None:
    profile = Profile.model_validate({"name": "p", "base_url": "http://h/v1", "prices": PRICES})
    sample = CostSample(15, 15 * 1000, 15 * 30).plus(5, Spending(prompt_tokens=5 * 1000, completion_tokens=5 * 30))
    found = estimate(sample, 5000, profile, "m")
    assert found == Estimate(5000, 20, 1000, 30, found.cost)
    assert found.cost == pytest.approx(5000 * (1000 * 2 + 30 * 10) / 1e6)
    assert "5,000 features" in describe(found, "m", profile) and "$11.50" in describe(found, "m", profile)
    unknown = estimate(sample, 5000, profile, "other")
    assert unknown.cost is None and "unknown" in describe(unknown, "other", profile)
    none = estimate(CostSample(), 5000, profile, "m")
    assert none.cost is None and "no request of the sample was answered" in describe(none, "m", profile)


@pytest.mark.parametrize("agreed", [True, False])
async def test_the_others_wait_for_a_yes(agreed: bool, connect: Connect, llm: LlmProvider, tmp_path: Path) -> None:
    meter = Meter(connect(prices=PRICES))
    asked: list[Estimate] = []

    async def load(keys: Sequence[int]) -> AsyncIterator[int]:
        for key in keys:
            yield key

    async def work(number: int) -> None:
        await meter.chat(request(number))

    async def agree(found: Estimate) -> bool:
        asked.append(found)
        assert len(llm.requests) == 20
        return agreed

    async def report(outcome: object) -> None:
        pass

    profile = Profile.model_validate({"name": "p", "base_url": llm.base_url, "prices": PRICES})
    samples = StoredSample(tmp_path / "s.sqlite", "run")
    outcome = await run_task(Task(range(50), load, work, ignore), meter, profile, "m", agree, report, samples)
    assert [found.items for found in asked] == [30]
    assert asked[0].cost == pytest.approx(30 * COST, rel=1e-9)
    assert (outcome.done, outcome.stopped) == ((50, None) if agreed else (20, REFUSED))
    assert len(llm.requests) == outcome.done


async def test_a_sample_that_was_interrupted_is_completed(connect: Connect, llm: LlmProvider, tmp_path: Path) -> None:
    """What it has measured is stored with each item; the next run measures what is missing, and states the cost."""
    meter = Meter(connect(prices=PRICES))
    profile = Profile.model_validate({"name": "p", "base_url": llm.base_url, "limits": {"concurrency": 1}})
    asked: list[Estimate] = []

    async def load(keys: Sequence[int]) -> AsyncIterator[int]:
        for key in keys:
            yield key

    async def work(number: int) -> None:
        if number == 3:
            raise ProviderError("timeout", "no answer")
        if number == 13:
            raise ZeroDivisionError("the process ends")
        await meter.chat(request(number))

    async def agree(found: Estimate) -> bool:
        asked.append(found)
        return False

    async def report(outcome: object) -> None:
        pass

    async def run(keys: Sequence[int]) -> None:
        samples = StoredSample(tmp_path / "s.sqlite", "run")
        await run_task(Task(keys, load, work, ignore), meter, profile, "m", agree, report, samples)

    with pytest.raises(ZeroDivisionError):
        await run(range(20))
    stored = await StoredSample(tmp_path / "s.sqlite", "run").cost_sample()
    # an item without an answer says nothing about the cost; two were in work when the process ended
    assert 10 <= stored.items <= 12 and stored.prompt_tokens == 321 * stored.items
    assert await StoredSample(tmp_path / "s.sqlite", "another").cost_sample() == CostSample()
    llm.requests.clear()
    for _ in range(2):
        await run(range(100, 150))
    assert len(llm.requests) == 20 - stored.items
    assert [found.sampled for found in asked] == [20, 20] and asked[1].items == 50
    assert [(found.prompt_tokens, found.completion_tokens) for found in asked] == [(321, 12)] * 2


@pytest.mark.parametrize("share", [1, 4])
async def test_items_without_a_request_are_not_measured(
    share: int, connect: Connect, llm: LlmProvider, tmp_path: Path
) -> None:
    """The stated cost is of items that send a request: all but each `share`-th; with 1 none does."""
    llm.default = Reply(content="x", delay=0.01)
    meter = Meter(connect(prices=PRICES))
    asked: list[Estimate] = []

    async def load(keys: Sequence[int]) -> AsyncIterator[int]:
        for key in keys:
            yield key

    async def work(number: int) -> None:
        if number % share:
            await meter.chat(request(number))

    async def agree(found: Estimate) -> bool:
        asked.append(found)
        return False

    async def report(outcome: object) -> None:
        pass

    profile = Profile.model_validate({"name": "p", "base_url": llm.base_url, "prices": PRICES})
    samples = StoredSample(tmp_path / "s.sqlite", "run")
    # the sample is each third
    await run_task(Task(range(60), load, work, ignore), meter, profile, "m", agree, report, samples)
    (found,) = asked
    assert (found.sampled, found.items) == (20 - 20 // share, 40)
    if share == 1:
        assert found.cost is None and "no request of the sample was answered" in describe(found, "m", profile)
    else:
        assert found.cost == pytest.approx(40 * COST)


def test_state_outlives_the_process(tmp_path: Path) -> None:
    state = WorkState(tmp_path / "s.sqlite", "work")
    state.fail(FailedItem("1/7", "timeout", "no answer", 0))
    state.fail(FailedItem("1/8", "unreadable", "no label", 0))
    state.store("1/7", {"description": "ships"})
    again = WorkState(tmp_path / "s.sqlite", "work")
    assert again.done() == {"1/7"} and list(again.results()) == [("1/7", {"description": "ships"})]
    assert again.failures() == {"1/8": FailedItem("1/8", "unreadable", "no label", 0)}
    # the stored answer cannot be used, so another attempt asks again
    assert again.failures()["1/8"].next_attempt == 1
    assert WorkState(tmp_path / "s.sqlite", "other").done() == set()


async def test_the_rate_that_the_provider_states_is_used(connect: Connect, llm: LlmProvider) -> None:
    """600 requests a minute: 30 in 3 seconds; at least 90% of them, and no more than the limit."""
    provider = connect(limits={"concurrency": 8, "requests_per_minute": 600}, options=ProviderOptions())
    meter = Meter(provider)

    async def work(number: int) -> None:
        await meter.chat(request(number))

    started = asyncio.get_running_loop().time()
    await run_all(numbers(30), work, ignore, 10)
    seconds = asyncio.get_running_loop().time() - started
    # BURST_SECONDS allow the first 10 at once
    assert 0.9 * 10 * seconds <= 30 <= 10 * seconds + 10.5, json.dumps(seconds)
