"""Activations that are waited for, and the answers that are made of them; for the model's thread."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.failures import to_api_error
from memicos_inference.scheduler.jobs import Work
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.capture.batched_ops import SourceOperation
    from memicos_engine.capture.capture import CapturedActivations
    from torch import Tensor


class Captures:
    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics = metrics
        self._settings = settings
        self.waiting: list[Work] = []
        """For a run of the model."""
        self._batch: tuple[list[Work], Generator[list[CapturedActivations] | None, None, None]] | None = None
        """What is being captured."""
        self._given: deque[tuple[Work, CapturedActivations | list[Tensor] | None]] = deque()
        """What has been captured or encoded for whom; None for who only goes on."""
        self._of_sources: list[tuple[Work, SourceOperation]] = []
        """What waits for a source."""

    @property
    def all(self) -> list[Work]:
        answering = [work for work, _ in (*self._given, *self._of_sources)]
        return [*self.waiting, *(self._batch[0] if self._batch else []), *answering]

    @property
    def n_answering(self) -> int:
        """Of whom all is captured, and who have no answer yet. From any thread."""
        return len(self._given) + len(self._of_sources)

    @property
    def has_slices(self) -> bool:
        """Whether there is something to capture."""
        return bool(self._batch or self.waiting)

    def add(self, served: LoadedModel, work: Work) -> None:
        assert work.wanted is not None
        if (kept := served.activation_cache.find(work.wanted)) is None:
            self.waiting.append(work)
        else:
            self._metrics.taken(work)
            self._given.append((work, kept))

    def let_go(self) -> None:
        """Of what nobody waits for any more."""
        self._given = deque(one for one in self._given if not one[0].cancelled)
        self._of_sources = [one for one in self._of_sources if not one[0].cancelled]
        if self._batch and all(work.cancelled for work in self._batch[0]):
            self._batch = None

    def answer(self, served: LoadedModel, enough: Callable[[], bool]) -> None:
        """Answers of what is captured, until there are enough for now."""
        while (self._given or self._of_sources) and not enough():
            if self._given:
                self._go_on(*self._given.popleft())
            else:
                self._use_a_source(served)

    def capture(self, served: LoadedModel, most: Callable[[], int]) -> None:
        """A slice of at most `most` tokens."""
        from memicos_engine.capture.capture import capture_in_slices

        if self._batch is None:
            works = self._next_batch(served)
            wanted = [work.wanted for work in works if work.wanted is not None]
            for work in works:
                self._metrics.taken(work)
                work.waits = False
            self._batch = works, capture_in_slices(served.model, wanted, most, self._metrics.record_capture_batch)
        works, slices = self._batch
        try:
            found = next(slices)
        except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
            self._batch = None
            _fail(works, error)
            return
        if found is not None:
            self._batch = None
            self._given.extend(zip(works, found, strict=True))
            for work, captured in zip(works, found, strict=True):
                assert work.wanted is not None
                served.activation_cache.keep(work.wanted, captured)

    def _next_batch(self, served: LoadedModel) -> list[Work]:
        """One of each client in turn, as many as have INFERENCE_BATCH_TOKENS together; one at least."""
        from memicos_engine.capture.capture import can_split_prompts

        chosen: list[Work] = []
        hooks: set[str] = set()
        room = self._settings.batch_tokens
        for work in _in_turn(self.waiting):
            assert work.wanted is not None
            cut = can_split_prompts(served.model, work.wanted.hook_names)
            if not chosen and not cut:  # through the bridge, where one that cannot be had would fail the others
                chosen = [work]
                break
            # all that one of them wants is kept for the rows of all until it is through
            together = hooks.union(work.wanted.hook_names)
            if cut and (not chosen or (work.wanted.n_tokens <= room and len(together) <= self._settings.max_hooks)):
                room -= work.wanted.n_tokens
                hooks = together
                chosen.append(work)
        self.waiting = [work for work in self.waiting if work not in chosen]
        return chosen

    def _use_a_source(self, served: LoadedModel) -> None:
        """What several need of one is computed together, as much as steps.ENCODED_BYTES have room for."""
        from memicos_engine.capture.batched_ops import MAX_ENCODED_BYTES, run_operations

        together: list[tuple[Work, SourceOperation]] = []
        room = MAX_ENCODED_BYTES
        for work, needed in self._of_sources:
            if not together or (needed.source.id == together[0][1].source.id and needed.nbytes <= room):
                together.append((work, needed))
                room -= needed.nbytes
        works = [work for work, _ in together]
        self._of_sources = [one for one in self._of_sources if one[0] not in works]
        try:
            source = served.source(together[0][1].source.id)
            found = run_operations(source, [needed for _, needed in together])
        except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
            _fail(works, error)
            return
        self._given.extend(zip(works, found, strict=True))

    def _go_on(self, work: Work, given: CapturedActivations | list[Tensor] | None) -> None:
        """Let a job go on with what it has asked for, up to what it needs next or to its end."""
        if work.cancelled:
            return
        assert work.steps is not None
        try:
            needed = work.context.run(work.steps.send, given)
        except StopIteration as end:
            work.give(end.value, ended=True)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            _fail([work], error)
        else:
            if needed is None:
                self._given.append((work, None))
            else:
                self._of_sources.append((work, needed))


def _fail(works: Iterable[Work], error: Exception) -> None:
    for work in works:
        work.fail(work.context.run(to_api_error, error))


def _in_turn(works: Iterable[Work]) -> list[Work]:
    """The first of each client, then the second of each, and so on; otherwise in the order in which they came."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, Work]] = []
    for work in works:
        ranked.append((seen[work.client], work))
        seen[work.client] += 1
    return [work for _, work in sorted(ranked, key=lambda pair: pair[0])]
