"""A `Chat` that collects requests for batches, submits them, and stores their answers.

A batch is stored before it is submitted, and its record deleted when its answers are stored: a run that was killed, or
that ends while a batch is in progress, is continued with that batch.
"""

import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
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
UNCERTAIN_CAUSES = ("timeout", "unreachable", "provider_failed", "rate_limited")
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
        callbacks: BatchCallbacks,
    ) -> None:
        self._meter, self._cache, self._batches, self._stored = meter, cache, batches, stored
        self._options, self._folder, self._callbacks = options, folder, callbacks
        self._failures: dict[str, ProviderError] = {}
        # in the order of the file
        self._collected: dict[str, None] = {}
        self._first: ChatRequest | None = None
        self._bytes = 0
        self._reserved = self._max_request_cost = 0.0
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
        max_cost = self._meter.largest_cost(request)
        if max_cost is None and self._meter.budget is not None:
            raise CannotContinue(f"The profile {self._batches.profile.name} has no price of {request.model}.")
        max_cost = (max_cost or 0.0) * self._batches.profile.batch_price_factor
        if len(self._collected) >= self._options.requests or self._bytes + len(line) > self._options.file_bytes:
            return
        if not self._meter.fits(max_cost, self._reserved):
            self._over_budget = True
            return
        with (self._folder / REQUESTS_FILE).open("ab" if self._collected else "wb") as file:
            file.write(line)
        self._collected[digest] = None
        self._first = self._first or request
        self._bytes += len(line)
        self._reserved += max_cost
        self._max_request_cost = max(self._max_request_cost, max_cost)

    async def submit(self) -> bool:
        """Submit the collected requests, wait until the batch ends, and store its answers; False where there are none.

        Requests whose answers another job has stored meanwhile are not sent.

        Raises:
            BudgetReached: there are none because no request fits into the budget.
            CannotContinue: the provider takes no batch, or refused it.
        """
        if self._first is None:
            if self._over_budget and self._meter.budget is not None:
                raise BudgetReached(self._meter.budget, self._meter.total)
            return False
        batch = OpenBatch(uuid.uuid4().hex, None, self._first.model, self._first.max_tokens, self._max_request_cost)
        # before anything is sent: after a kill the batch is found by its name
        unanswered = await self._stored.add(batch, self._collected)
        count = self._keep_requests(unanswered)
        self._collected.clear()
        self._first = None
        self._bytes = 0
        self._reserved = self._max_request_cost = 0.0
        self._over_budget = False
        if count == 0:
            return True
        try:
            batch_id = await self._batches.submit(batch.name, self._folder / REQUESTS_FILE)
        except ProviderError as error:
            # after a lost answer it may exist: then the next run finds it
            if error.cause not in UNCERTAIN_CAUSES:
                await self._stored.remove(batch.name)
            raise CannotContinue(f"{error.cause}: {error.message}") from None
        await self._stored.submitted(batch.name, batch_id)
        batch = replace(batch, id=batch_id)
        await self._callbacks.log_line(f"batch {batch_id}: {count:,} requests submitted")
        try:
            await self._finish(batch)
        except NotFoundError as error:
            raise self._not_found_error(error) from None
        except ProviderError as error:
            raise CannotContinue(f"{error.cause}: {error.message}") from None
        return True

    def _keep_requests(self, kept: Collection[str]) -> int:
        """Leave only these of the collected requests in their file; returns the number of them."""
        if len(kept) < len(self._collected):
            path = self._folder / REQUESTS_FILE
            new = path.with_suffix(".new")
            with path.open("rb") as old, new.open("wb") as file:
                file.writelines(line for digest, line in zip(self._collected, old, strict=True) if digest in kept)
            new.replace(path)
        return len(kept)

    async def finish_open(self, cancel: bool = False, interrupted: bool = True) -> None:
        """Wait for the batches of earlier runs of the same work, and store their answers; with `cancel`, cancel them
        before.

        The record of a batch that the provider no longer has is deleted with `cancel` only: its answers are lost.

        Args:
            interrupted: say that the batches are of an interrupted run.

        Raises:
            CannotContinue: the provider does not say how they are, or no longer has one.
        """
        for stored in await self._stored.open():
            batch = stored
            try:
                batch_id = batch.id
                if batch_id is None:
                    find = partial(self._batches.find, batch.name)
                    batch_id = await self._retry_until_answered(batch, find)
                if batch_id is None:
                    await self._stored.remove(batch.name)
                    continue
                await self._stored.submitted(batch.name, batch_id)
                batch = replace(batch, id=batch_id)
                if interrupted:
                    await self._callbacks.log_line(f"batch {batch_id}: of an interrupted run")
                if cancel:
                    await self._retry_until_answered(batch, partial(self._cancel, batch_id))
                await self._finish(batch)
            except NotFoundError as error:
                if not cancel:
                    raise self._not_found_error(error) from None
                await self._stored.remove(batch.name)
                host = self._batches.profile.host
                lost = f"{host} no longer has this batch; its record was deleted, its answers are lost"
                await self._callbacks.log_line(f"batch {batch.id}: {lost}")
            except ProviderError as error:
                raise CannotContinue(f"{error.cause}: {error.message}") from None

    def _not_found_error(self, error: NotFoundError) -> CannotContinue:
        return CannotContinue(f"{error.cause}: {error.message} {self._callbacks.removal_hint}")

    async def _cancel(self, batch_id: str) -> None:
        now = await self._batches.state(batch_id)
        if not now.ended and now.status != "cancelling":
            await self._batches.cancel(batch_id)

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
                await self._retry_until_answered(batch, partial(self._batches.download, file, target))
                await self._store_answers(batch, found)
        if now.problem is None:
            message = f"{self._batches.profile.host}: the batch {batch.id} has no answer to this request."
            for digest in await self._stored.requests(batch.name) - found:
                self._failures[digest] = ProviderError("malformed", message)
        await self._stored.remove(batch.name)
        await self._callbacks.log_line(f"batch {batch.id}: {_progress(now)}")
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
            now = await self._retry_until_answered(batch, lambda: self._batches.state(batch_id, retries=0))
            if now.ended:
                return now
            await self._callbacks.show_progress(f"batch {batch_id}: {_progress(now)}")
            await self._callbacks.wait_for_next_poll()

    async def _retry_until_answered(self, batch: OpenBatch, call: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a call about a batch, which is repeated while the provider does not answer.

        Raises:
            ProviderError: the provider answers with another error, or did not answer for `unreachable_seconds`.
        """
        while True:
            try:
                result = await call()
            except ProviderError as error:
                if error.cause not in UNCERTAIN_CAUSES:
                    raise
                if await self._stored.seconds_without_answer(batch.name) >= self._options.unreachable_seconds:
                    raise
                await self._callbacks.show_progress(f"batch {batch.id or 'to be found'}: {error.message}")
                await self._callbacks.wait_for_next_poll()
            else:
                await self._stored.note_answer(batch.name)
                return result

    async def _store_answers(self, batch: OpenBatch, found: set[str]) -> None:
        """Store the answers of a file, and add the hashes of the requests that have a result to `found`."""
        for result in self._batches.answers(self._folder / ANSWERS_FILE, batch.model, batch.max_tokens):
            if result.digest in found:
                continue
            found.add(result.digest)
            if result.error is not None:
                self._failures[result.digest] = result.error
                await self._meter.count_unusable(result.error, batch.max_request_cost)
            elif result.answer is not None and await self._cache.get(result.digest) is None:
                await self._cache.put(result.digest, result.answer)
                await self._meter.count(result.answer, batch.max_request_cost)


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
    callbacks: BatchCallbacks,
) -> AsyncIterator[BatchChat]:
    """A `BatchChat` with connections and a temporary folder of its own."""
    options = replace(settings.bulk_options, answer_bytes=settings.batch_file_bytes)
    with tempfile.TemporaryDirectory(prefix="memicos-batches-") as folder:
        async with open_http(options) as http:
            batches = Batches(profile, key, http, options, settings.batch_file_seconds)
            yield BatchChat(meter, cache, batches, stored, settings.batch_options, Path(folder), callbacks)
