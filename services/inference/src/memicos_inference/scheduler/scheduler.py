"""The thread that owns the model, and the order in which it runs the work of requests (docs/scheduler.md)."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from memicos_engine.errors import LoadError
from memicos_engine.model.hub import ProgressCallback

from memicos_inference.http.errors import Unavailable
from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.capture_queue import CaptureQueue, CaptureTask
from memicos_inference.scheduler.failures import end_process, to_api_error
from memicos_inference.scheduler.generation_queue import GenerationQueue
from memicos_inference.scheduler.jobs import CaptureJob, DirectJob, GenerationJob, Job, SourceJob, TextJob
from memicos_inference.scheduler.pending_request import PendingRequest
from memicos_inference.scheduler.source_loader import SourceLoader
from memicos_inference.scheduler.source_queue import SourceQueue
from memicos_inference.scheduler.tokenizer_thread import TokenizerThread
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_inference.loaded_model import LoadedModel

log = logging.getLogger(__name__)

IDLE_SLICES = 8
"""Factor of the slice length while no text is being generated."""
ANSWER_SECONDS = 0.05
"""Time for new requests, and again for answers, between two tokens of texts that are being generated."""


@dataclass
class Progress:
    """State of the model, for /health. `fraction` is the share of the loading that is done."""

    state: Literal["loading", "ready", "failed"] = "loading"
    text: str = "starting"
    fraction: float = 0.0


class Scheduler:
    """Runs `load`, then the jobs of requests, in a thread of its own."""

    def __init__(
        self,
        load: Callable[[ProgressCallback], LoadedModel],
        settings: Settings,
        metrics: Metrics,
        idle_work: Callable[[LoadedModel], bool] | None = None,
    ) -> None:
        """`idle_work` is called while no request is waiting, as long as it returns True."""
        self.progress = Progress()
        self.loaded: LoadedModel | None = None
        """None until the model is loaded. Other threads than the model's may read its counts and limits, and tokenise,
        and nothing else."""
        self._load = load
        self._settings = settings
        self._metrics = metrics
        self._wake = threading.Condition()
        self._arrived: deque[tuple[PendingRequest, Job]] = deque()
        self._unanswered: list[PendingRequest] = []
        """In the order of arrival; includes some that wait no longer."""
        self._stopping = False
        self._tokenizer = TokenizerThread(self._arrive)
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        # the model's thread alone uses the following
        self._loader = SourceLoader(self._notify)
        self._sources = SourceQueue(self._loader)
        self._captures = CaptureQueue(metrics, settings, self._loader)
        self._generations = GenerationQueue(metrics)
        self._prefilled_last = False
        self._idle_work = idle_work if settings.selftest_idle_seconds else None
        self._busy_at = 0.0
        """When the last round with work ended, as time.monotonic."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the threads after their current slices. Requests without an answer get an error."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._tokenizer.stop()

    def check_ready(self) -> LoadedModel:
        """The loaded model. Raises Unavailable while there is none."""
        if self._stopping:
            raise Unavailable("stopping", "The server is shutting down.", 5)
        if self.progress.state == "loading":
            raise Unavailable("loading", f"The model is not loaded yet: {self.progress.text}.", 3)
        if self.progress.state == "failed":
            raise Unavailable("load_failed", f"The model could not be loaded: {self.progress.text}", 60)
        assert self.loaded is not None  # set before the state is "ready"
        return self.loaded

    def submit(self, job: Job | TextJob[Any], client: str) -> PendingRequest:
        """Queue a job for the running event loop.

        Raises:
            Unavailable: there is no model or no room.
            BadInput: the texts of the job are too long.
        """
        self.check_ready()
        if isinstance(job, TextJob):
            assert self.loaded is not None
            job.check(self.loaded)
        pending = PendingRequest(client)
        with self._wake:
            self._unanswered = [other for other in self._unanswered if other.waiting and not other.cancelled]
            if len(self._unanswered) >= self._settings.max_waiting:
                self._make_room(client)
            self._unanswered.append(pending)
        if isinstance(job, TextJob):
            self._tokenizer.add(pending, job)
        else:
            self._arrive(pending, job)
        return pending

    def _arrive(self, pending: PendingRequest, job: Job) -> None:
        """Pass a job to the model's thread. From any thread."""
        with self._wake:
            self._arrived.append((pending, job))
            self._wake.notify()

    def _make_room(self, client: str) -> None:
        """When the queue is full, evict the newest request of the client with the most waiting requests.

        Raises Unavailable where the new client would have as many: then its own request is refused.
        """
        n = len(self._unanswered)
        full = Unavailable(
            "busy",
            f"{n} requests are waiting for the model, at most {self._settings.max_waiting} may "
            "(INFERENCE_MAX_WAITING); try again in a moment.",
            2,
        )
        counts = Counter(pending.client for pending in self._unanswered)
        ((largest, n_largest),) = counts.most_common(1)
        if counts[client] + 1 >= n_largest:
            raise full
        newest = [pending for pending in self._unanswered if pending.client == largest][-1]
        self._unanswered.remove(newest)
        newest.cancelled = True
        newest.fail(full)

    @property
    def waiting(self) -> dict[str, float]:
        """Number of requests that wait, by what they wait for; `new`: not begun. Read without a lock."""
        return {
            "new": len(self._arrived) + self._tokenizer.n_waiting,
            "source": len(self._sources.waiting),
            "capture": len(self._captures.waiting),
            "text": len(self._generations.waiting),
            "answer": self._captures.n_answering,
        }

    @property
    def load(self) -> int:
        """Number of requests that wait and of texts being generated. Read without a lock."""
        rows = self.loaded.decoder.n_batch_rows if self.loaded else 0
        return int(sum(self.waiting.values())) + rows

    @property
    def captured_bytes(self) -> int:
        """Memory of activations that are captured and not yet answered. Read without a lock."""
        return self._captures.held_bytes

    def _run(self) -> None:
        try:
            loaded = self._load(self._report)
        except LoadError as error:
            log.error("%s", error)
            self.progress = Progress("failed", str(error), self.progress.fraction)
            return
        except Exception as error:  # the server stays up to report the failure
            log.exception("loading failed while %s", self.progress.text)
            self.progress = Progress("failed", f"{type(error).__name__}: {error}", self.progress.fraction)
            return
        _ = loaded.max_text_characters  # takes a while once, which the event loop would be held for
        self.loaded = loaded
        self._tokenizer.start(loaded)
        self.progress = Progress("ready", "ready", 1.0)
        self._busy_at = time.monotonic()
        while True:
            with self._wake:
                # wakes without an event where a waiting request reaches INFERENCE_WAIT_SECONDS, and for idle work
                has_work = self._wake.wait_for(
                    lambda: self._stopping or self._arrived or self._runnable(loaded), self._seconds_to_wait()
                )
                if self._stopping:
                    break
            try:
                if not has_work and self._seconds_to_idle_work() == 0:
                    self._run_idle_work(loaded)
                else:
                    self._round(loaded)
                    self._busy_at = time.monotonic()
            except Exception as error:  # noqa: BLE001  # a fault outside of any one request
                end_process(f"the model's thread failed, and this server ends: {error!r}")
        arrived = [pending for pending, _ in self._arrived]
        for pending in (*arrived, *self._sources.pending, *self._captures.pending, *self._generations.pending):
            pending.fail(Unavailable("stopping", "The server is shutting down.", 5))

    def _report(self, text: str, fraction: float) -> None:
        log.info("%s", text)
        self.progress = Progress("loading", text, fraction)

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def _runnable(self, loaded: LoadedModel) -> bool:
        """Whether a round can do something. Requests that wait for a source to be loaded need none."""
        return bool(
            self._generations.pending
            or self._loader.has_work
            or self._sources.runnable(loaded)
            or self._captures.runnable(loaded)
        )

    def _round(self, loaded: LoadedModel) -> None:
        decoder = loaded.decoder
        enough = self._until_tokens_are_due(loaded)
        while self._arrived and not enough():
            self._begin(loaded, *self._arrived.popleft())
        self._drop(loaded)
        for source_id, error in self._loader.advance(loaded, (*self._captures.uses, *self._sources.uses)):
            self._captures.fail_source(source_id, error)
            self._sources.fail(source_id, error)
        self._sources.run(loaded)
        self._generations.join(loaded)
        if decoder.n_batch_rows:
            self._generations.step(loaded)
        self._captures.answer(loaded, self._until_tokens_are_due(loaded))
        # one slice before the next token; prompts of generations and captures take turns
        has_slices = self._captures.has_slices(loaded)
        both = decoder.has_prefill and has_slices
        if decoder.has_prefill and not (both and decoder.n_batch_rows and self._prefilled_last):
            self._prefilled_last = both
            self._generations.prefill(loaded, self._slice_tokens(loaded))
            if decoder.n_batch_rows:
                return
        self._prefilled_last = False
        if has_slices:
            self._captures.capture(loaded, lambda: self._slice_tokens(loaded))

    def _until_tokens_are_due(self, loaded: LoadedModel) -> Callable[[], bool]:
        """Whether work between two tokens has taken ANSWER_SECONDS; never, while no text is generated or waits."""
        end = time.monotonic() + ANSWER_SECONDS

        def enough() -> bool:
            return bool(loaded.decoder.n_batch_rows or self._generations.waiting) and time.monotonic() > end

        return enough

    def _slice_tokens(self, loaded: LoadedModel) -> int:
        """Tokens of a slice that begins now."""
        return self._settings.slice_tokens * (1 if loaded.decoder.n_batch_rows else IDLE_SLICES)

    def _begin(self, loaded: LoadedModel, pending: PendingRequest, job: Job) -> None:
        """Run a job up to what it needs of the model or of a source; to its end where it needs nothing."""
        if pending.cancelled:
            return
        try:
            match job:
                case DirectJob():
                    self._finish(pending, pending.context.run(job.run, loaded))
                case SourceJob():
                    steps = pending.context.run(job.steps, loaded)
                    self._sources.start(loaded, pending, steps, lambda body: self._finish(pending, body))
                case GenerationJob():
                    steps = pending.context.run(job.steps, loaded)
                    self._sources.start(
                        loaded, pending, steps, lambda output: self._generations.add(loaded, pending, output)
                    )
                case CaptureJob():
                    steps = pending.context.run(job.steps, loaded)
                    request = pending.context.run(next, steps)
                    self._captures.add(loaded, CaptureTask(pending, steps, request))  # pyright: ignore[reportArgumentType]
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            pending.fail(pending.context.run(to_api_error, error))

    def _finish(self, pending: PendingRequest, body: bytes) -> None:
        self._metrics.record_start(pending, "direct", 0)
        pending.send_body(body, final=True)

    def _run_idle_work(self, loaded: LoadedModel) -> None:
        if self._idle_work and not self._idle_work(loaded):
            self._idle_work = None

    def _seconds_to_wait(self) -> float | None:
        """Longest wait for an event; None: without limit."""
        times = (self._seconds_to_expiry(), self._seconds_to_idle_work())
        return min((seconds for seconds in times if seconds is not None), default=None)

    def _seconds_to_idle_work(self) -> float | None:
        """Seconds until idle work is run; None where there is none, or a request waits."""
        if self._idle_work is None or self._seconds_to_expiry() is not None:
            return None
        return max(0.0, self._busy_at + self._settings.selftest_idle_seconds - time.monotonic())

    def _seconds_to_expiry(self) -> float | None:
        """Seconds until the first waiting request has waited INFERENCE_WAIT_SECONDS; None where none waits."""
        waiting = (*self._captures.waiting, *self._generations.waiting)
        starts = [task.pending.since for task in waiting]
        starts += [since for _, since in (*self._captures.uses, *self._sources.uses)]
        return max(0.0, min(starts) + self._settings.wait_seconds - time.monotonic()) if starts else None

    def _drop(self, loaded: LoadedModel) -> None:
        """Drop cancelled work; fail work that has waited for the model or a source over INFERENCE_WAIT_SECONDS."""
        self._generations.drop_cancelled(loaded)
        self._captures.drop_cancelled()
        oldest = time.monotonic() - self._settings.wait_seconds
        not_ready = Unavailable(
            "busy",
            f"A source that this request uses was not ready within {self._settings.wait_seconds:g} seconds "
            "(INFERENCE_WAIT_SECONDS): it is being loaded, or other requests use it. Try again later.",
            10,
        )
        self._captures.fail_waiting_for_source(oldest, not_ready)
        self._sources.fail_waiting(oldest, not_ready)
        for queue in (self._captures.waiting, self._generations.waiting):
            for task in [task for task in queue if task.pending.cancelled or task.pending.since < oldest]:
                queue.remove(task)  # pyright: ignore[reportArgumentType]
                task.pending.fail(
                    Unavailable(
                        "busy",
                        f"The server was too busy for this request for {self._settings.wait_seconds:g} seconds "
                        "(INFERENCE_WAIT_SECONDS); try again later.",
                        10,
                    )
                )
