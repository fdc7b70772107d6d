"""Texts that wait, and those that are being written; for the model's thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.failures import to_api_error
from memicos_inference.scheduler.jobs import Work

if TYPE_CHECKING:
    from memicos_engine.generation.generation import Generation


class Writers:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.waiting: list[Work] = []
        """To join the decoder."""
        self._writing: list[Work] = []

    @property
    def all(self) -> list[Work]:
        return [*self.waiting, *self._writing]

    def add(self, served: LoadedModel, work: Work) -> None:
        if _generation(work).done:  # all of it is known
            self._metrics.taken(work)
            self._tell(served, work)
        else:
            self.waiting.append(work)

    def let_go(self, served: LoadedModel) -> None:
        """Of what nobody waits for any more."""
        for work in [one for one in self._writing if one.cancelled]:
            self._leave(served, work)

    def join(self, served: LoadedModel) -> None:
        """Who has the fewest rows is next; nobody overtakes who is next and does not fit yet."""
        while self.waiting:
            rows = Counter(work.client for work in self._writing for _ in _generation(work).unfinished_rows)
            work = min(self.waiting, key=lambda one: rows[one.client])
            if not served.decoder.fits(_generation(work)):
                return
            self.waiting.remove(work)
            self._metrics.taken(work)
            work.waits = False
            served.decoder.join(_generation(work))
            self._writing.append(work)

    def step(self, served: LoadedModel) -> None:
        """A token for each text that has its prompt behind it."""
        self._metrics.record_step(served.decoder.n_batch_rows)
        self._write(served, served.decoder.step, lambda: served.decoder.batch_generations)

    def prefill(self, served: LoadedModel, most: int) -> None:
        """A slice of prompts."""
        decoder, counted = served.decoder, self._metrics.record_prefill_batch
        self._write(served, lambda: decoder.prefill(most, counted), lambda: decoder.prefill_generations)

    def _write(
        self, served: LoadedModel, run: Callable[[], list[Generation]], concerned: Callable[[], list[Generation]]
    ) -> None:
        try:
            advanced = run()
        except Exception as error:
            generations = concerned()
            if not generations:
                raise
            for generation in generations:
                served.decoder.leave(generation)
                if (work := self._who_has(generation)) is not None:
                    self._fail(served, work, error)
            return
        for generation in advanced:
            if (work := self._who_has(generation)) is not None:
                self._metrics.wrote(work)
                self._tell(served, work)

    def _who_has(self, generation: Generation) -> Work | None:
        return next((work for work in self._writing if work.generation is generation), None)

    def _tell(self, served: LoadedModel, work: Work) -> None:
        """Let the job of a text that has advanced make its answer."""
        generation = _generation(work)
        try:
            if generation.error is not None:
                raise generation.error
            assert work.steps is not None
            work.give(work.context.run(next, work.steps), ended=generation.done)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            self._fail(served, work, error)
            return
        if generation.done:
            self._leave(served, work)

    def _fail(self, served: LoadedModel, work: Work, error: Exception) -> None:
        self._leave(served, work)
        work.fail(work.context.run(to_api_error, error))

    def _leave(self, served: LoadedModel, work: Work) -> None:
        """What is complete of it is kept, also where it is not as a whole."""
        generation = _generation(work)
        served.text_cache.keep(generation)
        served.decoder.leave(generation)
        if work.steps is not None:
            work.steps.close()
        if work in self._writing:
            self._writing.remove(work)


def _generation(work: Work) -> Generation:
    assert work.generation is not None
    return work.generation
