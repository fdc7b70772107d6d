"""A `Chat` that collects requests for batches, submits them, and stores their answers.

A batch is stored before it is submitted, and forgotten when its answers are stored: a run that was killed, or that ends
while a batch is in progress, is continued with that batch.
"""

import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from memicos_autointerp_core.bulk.meter import BudgetReached, CannotContinue, Meter
from memicos_autointerp_core.bulk.stored_batches import BatchCallbacks, BatchStore, OpenBatch
from memicos_autointerp_core.errors import STOPPING_CAUSES, ProviderError
from memicos_autointerp_core.providers.answer_cache import AnswerCache
from memicos_autointerp_core.providers.batches import Batches, BatchState, NotFoundError
from memicos_autointerp_core.providers.chat import Answer, ChatRequest
from memicos_autointerp_core.providers.client import open_http
from memicos_autointerp_core.providers.options import BatchOptions
from memicos_autointerp_core.providers.profile import Profile
from memicos_autointerp_core.providers.settings import ProviderSettings

Result = TypeVar("Result")

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
    """

    def __init__(
        self,
        meter: Meter,
        cache: AnswerCache,
        batches: Batches,
        stored: BatchStore,
        options: BatchOptions,
        folder: Path,
        watch: BatchCallbacks,
    ) -> None:
        self._meter, self._cache, self._batches, self._stored = meter, cache, batches, stored
        self._options, self._folder, self._watch = options, folder, watch
        self._failures: dict[str, ProviderError] = {}
        self._collected: set[str] = set()
        self._first: ChatRequest | None = None
        self._bytes = self._reserved = self._most = 0.0
        self._over_budget = False
        self.direct = True

    @property
    def profile(self) -> Profile:
        return self._batches.profile

    async def chat(self, request: ChatRequest) -> Answer:
        """The stored answer.

        Raises:
            Waiting: there is none yet.
            ProviderError: the batch has none for this request.
            CannotContinue: see `Meter.chat`.
        """
        digest = request.digest(self._batches.profile.base_url)
        failure = self._failures.get(digest)
        if failure is not None:
            if failure.cause in STOPPING_CAUSES:
                raise CannotContinue(f"{failure.cause}: {failure.message}")
            raise failure
        if self.direct:
            return await self._meter.chat(request)
        stored = await self._cache.get(digest)
        if stored is not None:
            return stored
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
        self._collected.add(digest)
        self._first = self._first or request
        self._bytes += len(line)
        self._reserved += most
        self._most = max(self._most, most)

    async def submit(self) -> bool:
        """Submit the collected requests, wait until the batch ends, and store its answers; False where there are none.

        Raises:
            BudgetReached: there are none because no request fits into the budget.
            CannotContinue: the provider takes no batch, or refused it.
        """
        if self._first is None:
            if self._over_budget and self._meter.budget is not None:
                raise BudgetReached(self._meter.budget, self._meter.total)
            return False
        batch = OpenBatch(uuid.uuid4().hex, None, self._first.model, self._first.max_tokens, self._most)
        # before anything is sent: after a kill the batch is found by its name
        await self._stored.add(batch, self._collected)
        try:
            number = await self._batches.submit(batch.name, self._folder / REQUESTS_FILE)
        except ProviderError as error:
            # after a lost answer it may exist: then the next run finds it
            if error.cause not in LOST:
                await self._stored.remove(batch.name)
            raise CannotContinue(f"{error.cause}: {error.message}") from None
        await self._stored.submitted(batch.name, number)
        batch = replace(batch, id=number)
        await self._watch.say(f"batch {number}: {len(self._collected):,} requests submitted")
        self._collected.clear()
        self._first = None
        self._bytes = self._reserved = self._most = 0.0
        self._over_budget = False
        try:
            await self._finish(batch)
        except NotFoundError as error:
            raise self._gone(error) from None
        except ProviderError as error:
            raise CannotContinue(f"{error.cause}: {error.message}") from None
        return True

    async def finish_open(self, cancel: bool = False, interrupted: bool = True) -> None:
        """Wait for the batches of earlier runs of the same work, and store their answers; with `cancel`, cancel them
        before.

        A batch that the provider has no longer is forgotten with `cancel` only: its answers are lost.

        Args:
            interrupted: say that the batches are of an interrupted run.

        Raises:
            CannotContinue: the provider does not say how they are, or has one no longer.
        """
        for stored in await self._stored.open():
            batch = stored
            try:
                number = batch.id or await self._patiently(batch, lambda name=batch.name: self._batches.find(name))
                if number is None:
                    await self._stored.remove(batch.name)
                    continue
                await self._stored.submitted(batch.name, number)
                batch = replace(batch, id=number)
                if interrupted:
                    await self._watch.say(f"batch {number}: of an interrupted run")
                if cancel:
                    await self._patiently(batch, lambda number=number: self._cancel(number))
                await self._finish(batch)
            except NotFoundError as error:
                if not cancel:
                    raise self._gone(error) from None
                await self._stored.remove(batch.name)
                await self._watch.say(
                    f"batch {batch.id}: {self._batches.profile.host} has it no longer; it is forgotten"
                )
            except ProviderError as error:
                raise CannotContinue(f"{error.cause}: {error.message}") from None

    def _gone(self, error: NotFoundError) -> CannotContinue:
        return CannotContinue(f"{error.cause}: {error.message} {self._watch.forget}")

    async def _cancel(self, number: str) -> None:
        now = await self._batches.state(number)
        if not now.ended and now.status != "cancelling":
            await self._batches.cancel(number)

    async def _finish(self, batch: OpenBatch) -> None:
        """Wait until a submitted batch ends, and store its answers.

        Raises:
            ProviderError: the provider does not send state or answers.
            CannotContinue: it refused the batch.
        """
        now = await self._ended(batch)
        found, target = set[str](), self._folder / ANSWERS_FILE
        for file in (now.output_file, now.error_file):
            if file is not None:
                await self._patiently(batch, lambda file=file: self._batches.download(file, target))
                await self._take(batch, found)
        if now.problem is None:
            message = f"{self._batches.profile.host}: the batch {batch.id} has no answer to this request."
            for digest in await self._stored.requests(batch.name) - found:
                self._failures[digest] = ProviderError("malformed", message)
        await self._stored.remove(batch.name)
        await self._watch.say(f"batch {batch.id}: {_progress(now)}")
        if now.problem is not None:
            raise CannotContinue(f"rejected: {self._batches.profile.host} refused the batch {batch.id}: {now.problem}")

    async def _ended(self, batch: OpenBatch) -> BatchState:
        """The state of a submitted batch once it has ended.

        Raises:
            ProviderError: the provider refuses to say it, or did not answer for `unreachable_seconds`.
        """
        batch_id = batch.id
        assert batch_id is not None
        while True:
            now = await self._patiently(batch, lambda: self._batches.state(batch_id, retries=0))
            if now.ended:
                return now
            await self._watch.progress(f"batch {batch_id}: {_progress(now)}")
            await self._watch.pause()

    async def _patiently(self, batch: OpenBatch, call: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a call about a batch, which is repeated while the provider does not answer.

        Raises:
            ProviderError: the provider answers with another error, or did not answer for `unreachable_seconds`.
        """
        while True:
            try:
                result = await call()
            except ProviderError as error:
                if error.cause not in LOST:
                    raise
                if await self._stored.seconds_without_answer(batch.name) >= self._options.unreachable_seconds:
                    raise
                await self._watch.progress(f"batch {batch.id or 'to be found'}: {error.message}")
                await self._watch.pause()
            else:
                await self._stored.note_answer(batch.name)
                return result

    async def _take(self, batch: OpenBatch, found: set[str]) -> None:
        """Store the answers of a file, and add the hashes of the requests that have a result to `found`."""
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


def _progress(now: BatchState) -> str:
    return f"{now.status}, {now.answered:,} of {now.total:,} answered"


@asynccontextmanager
async def open_batch_chat(
    profile: Profile,
    key: SecretStr | None,
    settings: ProviderSettings,
    meter: Meter,
    cache: AnswerCache,
    stored: BatchStore,
    watch: BatchCallbacks,
) -> AsyncIterator[BatchChat]:
    """A `BatchChat` with connections and a temporary folder of its own."""
    options = replace(settings.bulk_options, answer_bytes=settings.batch_file_bytes)
    with tempfile.TemporaryDirectory(prefix="memicos-batches-") as folder:
        async with open_http(options) as http:
            batches = Batches(profile, key, http, options, settings.batch_file_seconds)
            yield BatchChat(meter, cache, batches, stored, settings.batch_options, Path(folder), watch)
