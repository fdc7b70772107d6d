"""Does a task over many features by batches: what has no stored answer is collected, submitted and awaited.

A pass over the items does those whose answers are stored, and writes the requests of the others to a file, within the
budget. When the batch has ended, its answers are stored, and another pass follows, until no item is left.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from memicos_autointerp_core.bulk.estimate import SAMPLE_ITEMS, Estimate
from memicos_autointerp_core.bulk.meter import BudgetReached, CannotContinue, Meter
from memicos_autointerp_core.bulk.run import Outcome, run_one
from memicos_autointerp_core.bulk.stored_batches import OpenBatch, StoredBatches
from memicos_autointerp_core.bulk.task import Task, quietly, reporting, run_sampled
from memicos_autointerp_core.errors import STOPPING_CAUSES, ProviderError
from memicos_autointerp_core.providers.answer_cache import AnswerCache
from memicos_autointerp_core.providers.batches import Batches, BatchState, NotFoundError
from memicos_autointerp_core.providers.chat import Answer, ChatRequest
from memicos_autointerp_core.providers.options import BatchOptions

Key = TypeVar("Key")
Item = TypeVar("Item")

REQUESTS_FILE, ANSWERS_FILE = "batch-requests.jsonl", "batch-answers.jsonl"
LOST = ("timeout", "unreachable", "provider_failed", "rate_limited")
"""Causes of failures of a request that may have arrived, and that a later one may not have."""


class Waiting(Exception):
    """The answer to a request will come with a batch."""


class BatchChat:
    """A `Chat` that collects requests for batches, or with `direct` asks at once.

    Args:
        meter: counts what is paid, and asks at once.
        cache: where answers are stored and found.
        batches: of the provider.
        stored: the batches whose answers are not stored yet.
        folder: of the files of requests and answers, for this run alone.
        say: is called with lines about batches.
    """

    def __init__(
        self,
        meter: Meter,
        cache: AnswerCache,
        batches: Batches,
        stored: StoredBatches,
        options: BatchOptions,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._meter, self._cache, self._batches, self._stored = meter, cache, batches, stored
        self._options, self._folder, self._say = options, folder, say
        self._failures: dict[str, ProviderError] = {}
        self._collected: dict[str, ChatRequest] = {}
        self._bytes = self._reserved = self._most = 0.0
        self._over_budget = False
        self.direct = True

    async def chat(self, request: ChatRequest) -> Answer:
        """The stored answer.

        Raises:
            Waiting: there is none yet.
            ProviderError: the batch has none for this request.
            CannotContinue: see `Meter.chat`.
        """
        if self.direct:
            return await self._meter.chat(request)
        digest = request.digest(self._batches.profile.base_url)
        stored = await self._cache.get(digest)
        if stored is not None:
            return stored
        failure = self._failures.get(digest)
        if failure is not None:
            if failure.cause in STOPPING_CAUSES:
                raise CannotContinue(f"{failure.cause}: {failure.message}")
            raise failure
        if digest not in self._collected:
            self._collect(digest, request)
        raise Waiting

    def _collect(self, digest: str, request: ChatRequest) -> None:
        """Write a request to the file of the next batch, where that and the budget have room for it."""
        line = self._batches.line(request)
        if len(line) > self._options.file_bytes:
            raise CannotContinue(
                f"A request has {len(line):,} bytes; a batch has {self._options.file_bytes:,} "
                "(AUTOINTERP_BATCH_FILE_BYTES)."
            )
        most = self._meter.largest_cost(request)
        if most is None and self._meter.budget is not None:
            raise CannotContinue(f"The profile {self._batches.profile.name} has no price of {request.model}.")
        most = (most or 0.0) * self._batches.profile.batch_price_factor
        if len(self._collected) >= self._options.requests or self._bytes + len(line) > self._options.file_bytes:
            return
        if not self._meter.fits(most, self._reserved):
            self._over_budget = True
            return
        with (self._folder / REQUESTS_FILE).open("ab" if self._collected else "wb") as file:
            file.write(line)
        self._collected[digest] = request
        self._bytes += len(line)
        self._reserved += most
        self._most = max(self._most, most)

    async def submit(self) -> bool:
        """Submit the collected requests, wait until the batch ends, and store its answers; False where there are none.

        Raises:
            BudgetReached: there are none because no request fits into the budget.
            CannotContinue: the provider takes no batch, or refused it.
        """
        if not self._collected:
            if self._over_budget and self._meter.budget is not None:
                raise BudgetReached(self._meter.budget, self._meter.total)
            return False
        first = next(iter(self._collected.values()))
        batch = OpenBatch(uuid.uuid4().hex, None, first.model, first.max_tokens, self._most)
        count = len(self._collected)
        # before anything is sent: after a kill the batch is found by its name
        self._stored.add(batch)
        try:
            number = await self._batches.submit(batch.name, self._folder / REQUESTS_FILE)
        except ProviderError as error:
            # after a lost answer it may exist: then the next run finds it
            if error.cause not in LOST:
                self._stored.remove(batch.name)
            raise CannotContinue(f"{error.cause}: {error.message}") from None
        self._stored.submitted(batch.name, number)
        self._say(f"batch {number}: {count:,} requests submitted")
        expected = set(self._collected)
        self._collected.clear()
        self._bytes = self._reserved = self._most = 0.0
        self._over_budget = False
        try:
            answered = await self._finish(batch, number)
        except ProviderError as error:
            raise CannotContinue(f"{error.cause}: {error.message}") from None
        for digest in expected - answered:
            message = f"{self._batches.profile.host}: the batch {number} has no answer to this request."
            self._failures[digest] = ProviderError("malformed", message)
        return True

    async def finish_open(self, cancel: bool = False) -> None:
        """Wait for the batches of interrupted runs, and store their answers; with `cancel`, cancel them before.

        A batch that the provider has no longer is forgotten with `cancel` only: its answers are lost.

        Raises:
            CannotContinue: the provider does not say how they are, or has one no longer.
        """
        for batch in self._stored.open():
            try:
                number = batch.id or await self._batches.find(batch.name)
                if number is None:
                    self._stored.remove(batch.name)
                    continue
                self._stored.submitted(batch.name, number)
                self._say(f"batch {number}: of an interrupted run")
                if cancel and not (await self._batches.state(number)).ended:
                    await self._batches.cancel(number)
                await self._finish(batch, number)
            except NotFoundError as error:
                if not cancel:
                    raise CannotContinue(f"{error.cause}: {error.message} --cancel-batch forgets the batch.") from None
                self._stored.remove(batch.name)
                self._say(f"batch {batch.id}: {self._batches.profile.host} has it no longer; it is forgotten")
            except ProviderError as error:
                raise CannotContinue(f"{error.cause}: {error.message}") from None

    async def _finish(self, batch: OpenBatch, number: str) -> set[str]:
        """Wait until a batch ends, and store its answers; returns the hashes of its requests that have a result.

        Raises:
            ProviderError: the provider does not send state or answers.
            CannotContinue: it refused the batch.
        """
        now = await self._ended(number)
        found: set[str] = set()
        for file in (now.output_file, now.error_file):
            if file is not None:
                await self._batches.download(file, self._folder / ANSWERS_FILE)
                found |= await self._take(batch)
        self._stored.remove(batch.name)
        if now.problem is not None:
            raise CannotContinue(f"rejected: {self._batches.profile.host} refused the batch {number}: {now.problem}")
        return found

    async def _ended(self, number: str) -> BatchState:
        """The state of a batch once it has ended.

        Raises:
            ProviderError: the provider refuses to say it, or did not answer for `unreachable_seconds`.
        """
        line, answered = "", time.monotonic()
        while True:
            try:
                now = await self._batches.state(number)
            except ProviderError as error:
                if error.cause not in LOST or time.monotonic() - answered > self._options.unreachable_seconds:
                    raise
                now, progress = None, error.message
            else:
                answered = time.monotonic()
                progress = f"{now.status}, {now.answered:,} of {now.total:,} answered"
            if progress != line:
                line = progress
                self._say(f"batch {number}: {line}")
            if now is not None and now.ended:
                return now
            await asyncio.sleep(self._options.poll_seconds)

    async def _take(self, batch: OpenBatch) -> set[str]:
        found: set[str] = set()
        for result in self._batches.answers(self._folder / ANSWERS_FILE, batch.model, batch.max_tokens):
            if result.digest in found:
                continue
            found.add(result.digest)
            if result.error is not None:
                self._failures[result.digest] = result.error
                await self._meter.count_unusable(result.error, batch.most)
            elif result.answer is not None and await self._cache.get(result.digest) is None:
                await self._cache.put(result.digest, result.answer)
                await self._meter.count(result.answer, batch.most)
        return found


async def run_batch_task(
    task: Task[Key, Item],
    chat: BatchChat,
    batches: Batches,
    meter: Meter,
    model: str,
    agree: Callable[[Estimate], Awaitable[bool]],
    report: Callable[[Outcome], Awaitable[None]],
    sample: int = SAMPLE_ITEMS,
) -> Outcome:
    """As `task.run_task`, but what follows the sample is asked in batches. `task.work` asks through `chat`."""
    outcome = Outcome()

    async def do_rest(keys: Sequence[Key]) -> None:
        chat.direct = False
        left = keys
        while left and outcome.stopped is None:
            left = await _pass(task, left, outcome)
            if left and outcome.stopped is None and not await chat.submit():
                raise AssertionError("an item waits for a batch that has no request of it")

    async def guarded(keys: Sequence[Key]) -> None:
        try:
            await do_rest(keys)
        except CannotContinue as error:
            outcome.stopped = str(error)

    profile = batches.profile
    async with reporting(report, outcome) as quiet:
        asked = quietly(agree, quiet)
        await run_sampled(task, meter, profile, model, asked, guarded, outcome, sample, profile.batch_price_factor)
    return outcome


async def _pass(task: Task[Key, Item], keys: Sequence[Key], outcome: Outcome) -> list[Key]:
    """Do the items whose answers are stored; returns the keys of those that wait for a batch."""
    assert task.key is not None
    waiting: list[Key] = []
    async for item in task.load(keys):
        try:
            await run_one(item, task.work, task.failed, outcome)
        except Waiting:
            waiting.append(task.key(item))
        if outcome.stopped is not None:
            break
    return waiting
