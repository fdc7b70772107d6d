"""Who runs when, in the one thread that owns the model.

It loads the model first. Then, round after round: what has come begins; every text that is being written gets a token;
and a slice of what waits is run, prompts of texts to come and activations to be captured. Captures of several requests
share their runs, and texts of several share a batch, whatever waits when there is room: nothing waits for company.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from memicos_engine.errors import LoadError
from memicos_engine.hub import Report

from memicos_inference.errors import Fault, Unavailable
from memicos_inference.metrics import Metrics
from memicos_inference.settings import Settings
from memicos_inference.work import Job, Work

if TYPE_CHECKING:  # imports torch
    from memicos_engine.capture import Captured
    from memicos_engine.generation import Generation
    from memicos_engine.steps import OfSource
    from torch import Tensor

    from memicos_inference.serving import Served

log = logging.getLogger(__name__)

IDLE_SLICES = 8
"""How much longer slices are while no text is being written."""
ANSWERING = 0.05
"""Seconds after which no answers are made any further before texts get their next token, and what has come begins."""


@dataclass
class Progress:
    state: Literal["loading", "ready", "failed"] = "loading"
    text: str = "starting"
    fraction: float = 0.0


class Scheduler:
    """Runs `load`, then work, in a thread of its own."""

    def __init__(self, load: Callable[[Report], Served], settings: Settings, metrics: Metrics) -> None:
        self.progress = Progress()
        self.served: Served | None = None
        self._metrics = metrics
        self._load = load
        self._settings = settings
        self._wake = threading.Condition()
        self._arrived: deque[Work] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        # the rest belongs to that thread
        self._captures: list[Work] = []
        """What waits for activations."""
        self._batch: tuple[list[Work], Generator[list[Captured] | None, None, None]] | None = None
        """What is being captured."""
        self._given: deque[tuple[Work, Captured | list[Tensor] | None]] = deque()
        """What has been captured or encoded for whom; None for who only goes on."""
        self._of_sources: list[tuple[Work, OfSource]] = []
        """What waits for a source."""
        self._texts: list[Work] = []
        """What waits to join the decoder."""
        self._writing: list[Work] = []
        self._passed_over = False
        """Captures, by a prompt in the last round."""

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
            waiting = [one for one in (*self._arrived, *self._captures, *self._texts) if not one.cancelled]
            if len(waiting) >= self._settings.max_waiting:
                raise Unavailable(
                    "busy",
                    f"{len(waiting)} requests are waiting for the model, at most {self._settings.max_waiting} may "
                    "(INFERENCE_MAX_WAITING); try again in a moment.",
                    2,
                )
            self._arrived.append(work)
            self._wake.notify()
        return work

    @property
    def waiting(self) -> dict[str, float]:
        """How many wait for the model, by what they wait for; `new` ones have not said yet. Without a lock."""
        return {"new": len(self._arrived), "capture": len(self._captures), "text": len(self._texts)}

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
                arrived = list(self._arrived)
                self._arrived.clear()
            try:
                self._round(served, arrived)
            except Exception as error:  # noqa: BLE001  # a fault of ours, outside of any one request
                _end(f"the model's thread failed, and this server ends: {error!r}")
        reading = [work for work, _ in (*self._given, *self._of_sources)] + (self._batch[0] if self._batch else [])
        for work in (*self._arrived, *self._captures, *reading, *self._texts, *self._writing):
            work.give(None, ended=True, error=Unavailable("stopping", "The server is shutting down.", 5))

    def _report(self, text: str, fraction: float) -> None:
        log.info("%s", text)
        self.progress = Progress("loading", text, fraction)

    @property
    def _busy(self) -> bool:
        reading = self._captures or self._batch or self._given or self._of_sources
        return bool(reading or self._texts or self._writing)

    def _round(self, served: Served, arrived: list[Work]) -> None:
        for work in arrived:
            self._begin(served, work)
        self._let_go(served)
        self._join(served)
        if served.decoder.n_live:
            self._metrics.stepped(served.decoder.n_live)
            self._write(served, served.decoder.step, lambda: served.decoder.generations)
        self._passed_over = served.decoder.has_prompts and not self._passed_over
        if served.decoder.has_prompts:
            most = self._slice(served)
            self._write(
                served, lambda: served.decoder.prefill(most, self._metrics.prefilled), lambda: served.decoder.prompted
            )
        if not (served.decoder.n_live and self._passed_over):  # a prompt was this round's slice
            self._capture(served)

    def _slice(self, served: Served) -> int:
        """Tokens of a slice that begins now."""
        return self._settings.slice_tokens * (1 if served.decoder.n_live else IDLE_SLICES)

    def _begin(self, served: Served, work: Work) -> None:
        """Run a job up to what it needs of the model; to its end where it needs nothing."""
        if work.cancelled:
            return
        from memicos_engine.capture import Wanted
        from memicos_engine.generation import Generation

        try:
            found = work.context.run(work.job, served)
            if isinstance(found, bytes):
                self._metrics.taken(work)
                work.give(found, ended=True)
                return
            needed = work.context.run(next, found)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            work.give(None, ended=True, error=work.context.run(told, error))
            return
        work.steps = found
        if isinstance(needed, Wanted):
            work.wanted = needed
            if (kept := served.residuals.find(needed)) is not None:
                self._metrics.taken(work)
                self._given.append((work, kept))
                return
            with self._wake:
                self._captures.append(work)
        else:
            assert isinstance(needed, Generation)
            work.generation = needed
            if needed.done:  # all of it is known
                self._metrics.taken(work)
                self._tell(served, work)
                return
            with self._wake:
                self._texts.append(work)

    def _let_go(self, served: Served) -> None:
        """Of what nobody waits for any more, and of what has waited too long."""
        for work in [one for one in self._writing if one.cancelled]:
            served.decoder.leave(_generation(work))
            self._writing.remove(work)
        oldest = time.monotonic() - self._settings.wait_seconds
        with self._wake:
            for queue in (self._captures, self._texts):
                for work in [one for one in queue if one.cancelled or one.since < oldest]:
                    queue.remove(work)
                    work.give(
                        None,
                        ended=True,
                        error=Unavailable(
                            "busy",
                            f"There was no room for this request within {self._settings.wait_seconds:g} seconds "
                            "(INFERENCE_WAIT_SECONDS); try again later.",
                            10,
                        ),
                    )

    def _join(self, served: Served) -> None:
        """Who has the fewest rows is next; nobody overtakes who is next and does not fit yet."""
        while self._texts:
            rows = Counter(work.client for work in self._writing for _ in _generation(work).rows)
            work = min(self._texts, key=lambda one: rows[one.client])
            if not served.decoder.fits(_generation(work)):
                return
            with self._wake:
                self._texts.remove(work)
            self._metrics.taken(work)
            served.decoder.join(_generation(work))
            self._writing.append(work)

    def _write(
        self, served: Served, run: Callable[[], list[Generation]], concerned: Callable[[], list[Generation]]
    ) -> None:
        try:
            advanced = run()
        except Exception as error:
            generations = concerned()
            if not generations:
                raise
            for generation in generations:
                served.decoder.leave(generation)
                self._fail(self._who_has(generation), error)
            return
        for generation in advanced:
            if (work := self._who_has(generation)) is not None:
                self._metrics.wrote(work)
                self._tell(served, work)

    def _who_has(self, generation: Generation) -> Work | None:
        return next((work for work in self._writing if work.generation is generation), None)

    def _tell(self, served: Served, work: Work) -> None:
        """Let the job of a text that has advanced make its answer."""
        generation = _generation(work)
        try:
            if generation.error is not None:
                raise generation.error
            assert work.steps is not None
            work.give(work.context.run(next, work.steps), ended=generation.done)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            served.decoder.leave(generation)
            self._fail(work, error)
            return
        if generation.done:
            work.steps.close()
            served.texts.keep(generation)
            if work in self._writing:
                self._writing.remove(work)

    def _fail(self, work: Work | None, error: Exception) -> None:
        if work is not None:
            if work in self._writing:
                self._writing.remove(work)
            work.give(None, ended=True, error=work.context.run(told, error))

    def _capture(self, served: Served) -> None:
        """Answers of what is captured, some of them where texts wait; then one slice of a batch of captures."""
        end = time.monotonic() + ANSWERING
        while self._given or self._of_sources:
            if (served.decoder.n_live or self._texts or self._arrived) and time.monotonic() > end:
                return
            if self._given:
                self._answer(*self._given.popleft())
            else:
                self._use_a_source(served)
        if self._batch is None and self._captures:
            from memicos_engine.capture import in_slices

            works = self._next_batch(served)
            wanted = [work.wanted for work in works if work.wanted is not None]
            for work in works:
                self._metrics.taken(work)
            self._batch = works, in_slices(served.model, wanted, lambda: self._slice(served), self._metrics.captured)
        if self._batch is None:
            return
        works, slices = self._batch
        try:
            found = next(slices)
        except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
            self._batch = None
            for work in works:
                self._fail(work, error)
            return
        if found is not None:
            self._batch = None
            self._given.extend(zip(works, found, strict=True))
            for work, captured in zip(works, found, strict=True):
                assert work.wanted is not None
                served.residuals.keep(work.wanted, captured)

    def _next_batch(self, served: Served) -> list[Work]:
        """One of each client in turn, as many as have INFERENCE_BATCH_TOKENS together; one at least."""
        from memicos_engine.capture import can_be_cut

        chosen: list[Work] = []
        room = self._settings.batch_tokens
        for work in _in_turn(self._captures):
            assert work.wanted is not None
            cut = can_be_cut(served.model, work.wanted.hook_names)
            if not chosen and not cut:  # through the bridge, where one that cannot be had would fail the others
                chosen = [work]
                break
            if cut and (not chosen or work.wanted.n_tokens <= room):
                room -= work.wanted.n_tokens
                chosen.append(work)
        with self._wake:
            self._captures = [work for work in self._captures if work not in chosen]
        return chosen

    def _use_a_source(self, served: Served) -> None:
        """What several need of one is computed together, as much as steps.ENCODED_BYTES have room for."""
        from memicos_engine.steps import ENCODED_BYTES, computed

        together: list[tuple[Work, OfSource]] = []
        room = ENCODED_BYTES
        for work, needed in self._of_sources:
            if not together or (needed.source.id == together[0][1].source.id and needed.nbytes <= room):
                together.append((work, needed))
                room -= needed.nbytes
        works = [work for work, _ in together]
        self._of_sources = [one for one in self._of_sources if one[0] not in works]
        try:
            source = served.source(together[0][1].source.id)
            found = computed(source, [needed for _, needed in together])
        except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
            for work in works:
                self._fail(work, error)
            return
        self._given.extend(zip(works, found, strict=True))

    def _answer(self, work: Work, given: Captured | list[Tensor] | None) -> None:
        """Let a job go on with what it has asked for, up to what it needs next or to its end."""
        if work.cancelled:
            return
        assert work.steps is not None
        try:
            needed = work.context.run(work.steps.send, given)
        except StopIteration as end:
            work.give(end.value, ended=True)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            work.give(None, ended=True, error=work.context.run(told, error))
        else:
            if needed is None:
                self._given.append((work, None))
            else:
                self._of_sources.append((work, needed))


def _generation(work: Work) -> Generation:
    assert work.generation is not None
    return work.generation


def _in_turn(works: Iterable[Work]) -> list[Work]:
    """The first of each client, then the second of each, and so on; otherwise in the order in which they came."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, Work]] = []
    for work in works:
        ranked.append((seen[work.client], work))
        seen[work.client] += 1
    return [work for _, work in sorted(ranked, key=lambda pair: pair[0])]


def told(error: Exception) -> Exception:
    """What the engine refuses and what could not be loaded, in the request's terms; anything else as it is."""
    from memicos_engine.errors import Refused
    from torch import AcceleratorError, OutOfMemoryError

    if isinstance(error, Refused):
        return Fault(400, "invalid_request", str(error))
    if isinstance(error, LoadError):
        log.error("%s", error)
        return Unavailable("load_failed", str(error), 60)
    if isinstance(error, OutOfMemoryError):
        return Unavailable("out_of_memory", "The device has no memory left for this request.", 10)
    if isinstance(error, AcceleratorError):
        # nothing that is run on it after that can be believed
        _end(f"the device is broken, and this server ends: {error}")
    return error


def _end(words: str) -> NoReturn:
    """For whoever supervises the process to start it anew."""
    log.critical("%s", words, exc_info=True)
    logging.shutdown()
    os._exit(70)
