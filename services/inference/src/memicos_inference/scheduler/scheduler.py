"""Who runs when, in the one thread that owns the model.

It loads the model first. Then, round after round: what has come begins; every text that is being written gets a token
(writers.py); answers are made of what is captured; and a slice of what waits is run, of prompts of texts to come or of
activations to be captured (captures.py). Captures of several requests share their runs, and texts of several share a
batch, whatever waits when there is room: nothing waits for company.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from memicos_engine.errors import LoadError
from memicos_engine.model.hub import ProgressCallback

from memicos_inference.http.errors import Unavailable
from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.capture_queue import Captures
from memicos_inference.scheduler.failures import end_process, to_api_error
from memicos_inference.scheduler.generation_queue import Writers
from memicos_inference.scheduler.jobs import Job, Work
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_inference.loaded_model import LoadedModel

log = logging.getLogger(__name__)

IDLE_SLICES = 8
"""How much longer slices are while no text is being written."""
ANSWERING = 0.05
"""Seconds after which nothing further begins, and no further answers are made, before texts get their next token."""


@dataclass
class Progress:
    state: Literal["loading", "ready", "failed"] = "loading"
    text: str = "starting"
    fraction: float = 0.0


class Scheduler:
    """Runs `load`, then work, in a thread of its own."""

    def __init__(self, load: Callable[[ProgressCallback], LoadedModel], settings: Settings, metrics: Metrics) -> None:
        self.progress = Progress()
        self.served: LoadedModel | None = None
        """What is loaded; others than the model's thread may count it and no more."""
        self._load = load
        self._settings = settings
        self._metrics = metrics
        self._wake = threading.Condition()
        self._arrived: deque[Work] = deque()
        self._unanswered: list[Work] = []
        """In the order in which they came; with some that wait no longer."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        # the rest belongs to that thread
        self._captures = Captures(metrics, settings)
        self._writers = Writers(metrics)
        self._prompts_had_a_slice = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the slice it is at; what waits is refused."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def check_ready(self) -> None:
        """Raises Unavailable while there is no model."""
        if self._stopping:
            raise Unavailable("stopping", "The server is shutting down.", 5)
        if self.progress.state == "loading":
            raise Unavailable("loading", f"The model is not loaded yet: {self.progress.text}.", 3)
        if self.progress.state == "failed":
            raise Unavailable("load_failed", f"There is no model: {self.progress.text}", 60)

    def submit(self, job: Job, client: str) -> Work:
        """Queue work of the running event loop. Raises Unavailable where there is no model or no room."""
        self.check_ready()
        work = Work(job, client)
        with self._wake:
            self._unanswered = [one for one in self._unanswered if one.waits and not one.cancelled]
            if len(self._unanswered) >= self._settings.max_waiting:
                self._make_room_for(client)
            self._unanswered.append(work)
            self._arrived.append(work)
            self._wake.notify()
        return work

    def _make_room_for(self, client: str) -> None:
        """Who has most requests waiting gives up the newest, to one who has fewer even with this one."""
        n = len(self._unanswered)
        full = Unavailable(
            "busy",
            f"{n} requests are waiting for the model, at most {self._settings.max_waiting} may "
            "(INFERENCE_MAX_WAITING); try again in a moment.",
            2,
        )
        counts = Counter(one.client for one in self._unanswered)
        ((greediest, most),) = counts.most_common(1)
        if counts[client] + 1 >= most:
            raise full
        newest = [one for one in self._unanswered if one.client == greediest][-1]
        self._unanswered.remove(newest)
        newest.cancelled = True
        newest.fail(full)

    @property
    def waiting(self) -> dict[str, float]:
        """How many wait, by what they wait for; `new` ones have not said yet. Without a lock."""
        return {
            "new": len(self._arrived),
            "capture": len(self._captures.waiting),
            "text": len(self._writers.waiting),
            "answer": self._captures.n_answering,
        }

    def _run(self) -> None:
        try:
            served = self._load(self._report)
        except LoadError as error:
            log.error("%s", error)
            self.progress = Progress("failed", str(error), self.progress.fraction)
            return
        except Exception as error:  # the server stays up to say what happened
            log.exception("loading failed while %s", self.progress.text)
            self.progress = Progress("failed", f"{type(error).__name__}: {error}", self.progress.fraction)
            return
        self.served = served
        self.progress = Progress("ready", "ready", 1.0)
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._arrived or self._busy)
                if self._stopping:
                    break
            try:
                self._round(served)
            except Exception as error:  # noqa: BLE001  # a fault of ours, outside of any one request
                end_process(f"the model's thread failed, and this server ends: {error!r}")
        for work in (*self._arrived, *self._captures.all, *self._writers.all):
            work.fail(Unavailable("stopping", "The server is shutting down.", 5))

    def _report(self, text: str, fraction: float) -> None:
        log.info("%s", text)
        self.progress = Progress("loading", text, fraction)

    @property
    def _busy(self) -> bool:
        return bool(self._captures.all or self._writers.all)

    def _round(self, served: LoadedModel) -> None:
        decoder = served.decoder
        enough = self._until_texts_are_due(served)
        while self._arrived and not enough():
            self._begin(served, self._arrived.popleft())
        self._let_go(served)
        self._writers.join(served)
        if decoder.n_batch_rows:
            self._writers.step(served)
        self._captures.answer(served, self._until_texts_are_due(served))
        # texts get their next token after one slice, and prompts take turns with captures
        both = decoder.has_prefill and self._captures.has_slices
        if decoder.has_prefill and not (both and decoder.n_batch_rows and self._prompts_had_a_slice):
            self._prompts_had_a_slice = both
            self._writers.prefill(served, self._slice(served))
            if decoder.n_batch_rows:
                return
        self._prompts_had_a_slice = False
        if self._captures.has_slices:
            self._captures.capture(served, lambda: self._slice(served))

    def _until_texts_are_due(self, served: LoadedModel) -> Callable[[], bool]:
        """Whether what is done between tokens has taken long enough: never, while nobody waits for one."""
        end = time.monotonic() + ANSWERING

        def enough() -> bool:
            return bool(served.decoder.n_batch_rows or self._writers.waiting) and time.monotonic() > end

        return enough

    def _slice(self, served: LoadedModel) -> int:
        """Tokens of a slice that begins now."""
        return self._settings.slice_tokens * (1 if served.decoder.n_batch_rows else IDLE_SLICES)

    def _begin(self, served: LoadedModel, work: Work) -> None:
        """Run a job up to what it needs of the model; to its end where it needs nothing."""
        if work.cancelled:
            return
        from memicos_engine.capture.capture import CaptureRequest
        from memicos_engine.generation.generation import Generation

        try:
            found = work.context.run(work.job, served)
            if isinstance(found, bytes):
                self._metrics.taken(work)
                work.give(found, ended=True)
                return
            needed = work.context.run(next, found)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            work.fail(work.context.run(to_api_error, error))
            return
        work.steps = found
        if isinstance(needed, CaptureRequest):
            work.wanted = needed
            self._captures.add(served, work)
        else:
            assert isinstance(needed, Generation)
            work.generation = needed
            self._writers.add(served, work)

    def _let_go(self, served: LoadedModel) -> None:
        """Of what nobody waits for any more, and of what has waited too long."""
        self._writers.let_go(served)
        self._captures.let_go()
        oldest = time.monotonic() - self._settings.wait_seconds
        for queue in (self._captures.waiting, self._writers.waiting):
            for work in [one for one in queue if one.cancelled or one.since < oldest]:
                queue.remove(work)
                work.fail(
                    Unavailable(
                        "busy",
                        f"There was no room for this request within {self._settings.wait_seconds:g} seconds "
                        "(INFERENCE_WAIT_SECONDS); try again later.",
                        10,
                    )
                )
