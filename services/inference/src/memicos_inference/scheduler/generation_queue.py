"""Generations that wait for the decoder, and those that it runs. For the model's thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.failures import to_api_error
from memicos_inference.scheduler.jobs import GenerationOutput
from memicos_inference.scheduler.pending_request import PendingRequest

if TYPE_CHECKING:  # imports torch
    from memicos_engine.generation.generation import Generation

    from memicos_inference.loaded_model import LoadedModel


@dataclass(eq=False)
class GenerationTask:
    """A generation of a request. `counted_tokens` of it are in the metrics."""

    pending: PendingRequest
    output: GenerationOutput
    counted_tokens: int = 0

    @property
    def generation(self) -> Generation:
        return self.output.generation


class GenerationQueue:
    """Generations join the decoder when they fit, and leave it when they end or their client is gone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.waiting: list[GenerationTask] = []
        """Tasks that wait to join the decoder."""
        self._running: list[GenerationTask] = []

    @property
    def pending(self) -> list[PendingRequest]:
        return [task.pending for task in (*self.waiting, *self._running)]

    def add(self, loaded: LoadedModel, pending: PendingRequest, output: GenerationOutput) -> None:
        task = GenerationTask(pending, output)
        if task.generation.done:  # every row was in the text cache
            self._start(task)
            self._render(loaded, task)
        else:
            self.waiting.append(task)

    def drop_cancelled(self, loaded: LoadedModel) -> None:
        for task in [task for task in self._running if task.pending.cancelled]:
            self._leave(loaded, task)

    def join(self, loaded: LoadedModel) -> None:
        """Let tasks join the decoder. The client with the fewest rows is next; until its task fits, none joins."""
        while self.waiting:
            rows = Counter(task.pending.client for task in self._running for _ in task.generation.unfinished_rows)
            task = min(self.waiting, key=lambda task: rows[task.pending.client])
            if not loaded.decoder.fits(task.generation):
                return
            self.waiting.remove(task)
            self._start(task)
            loaded.decoder.join(task.generation)
            self._running.append(task)

    def step(self, loaded: LoadedModel) -> None:
        """Generate a token in every row of the batch."""
        self._metrics.record_step(loaded.decoder.n_batch_rows)
        self._run(loaded, loaded.decoder.step, lambda: loaded.decoder.batch_generations)

    def prefill(self, loaded: LoadedModel, max_tokens: int) -> None:
        """Run a slice of prompts."""
        decoder, on_batch = loaded.decoder, self._metrics.record_prefill_batch
        self._run(loaded, lambda: decoder.prefill(max_tokens, on_batch), lambda: decoder.prefill_generations)

    def _run(
        self, loaded: LoadedModel, run: Callable[[], list[Generation]], concerned: Callable[[], list[Generation]]
    ) -> None:
        """Run the decoder and render what has advanced; an error ends the generations that were run."""
        try:
            advanced = run()
        except Exception as error:
            generations = concerned()
            if not generations:
                raise
            for generation in generations:
                loaded.decoder.leave(generation)
                if (task := self._task_of(generation)) is not None:
                    self._fail(loaded, task, error)
            return
        for generation in advanced:
            if (task := self._task_of(generation)) is not None:
                tokens = _n_tokens(generation)
                self._metrics.record_tokens(task.pending, tokens - task.counted_tokens)
                task.counted_tokens = tokens
                self._render(loaded, task)

    def _start(self, task: GenerationTask) -> None:
        """Count the task as taken up: the prompts that are to be run, and the tokens that were cached."""
        generation = task.generation
        prompts = sum(len(generation.rows[row].ids) for row in generation.unfinished_rows)
        self._metrics.record_start(task.pending, "text", prompts)
        task.counted_tokens = _n_tokens(generation)
        task.pending.waiting = False

    def _task_of(self, generation: Generation) -> GenerationTask | None:
        return next((task for task in self._running if task.generation is generation), None)

    def _render(self, loaded: LoadedModel, task: GenerationTask) -> None:
        """Hand over the answer of a generation that has advanced."""
        generation = task.generation
        try:
            if generation.error is not None:
                raise generation.error
            task.pending.send_body(task.pending.context.run(task.output.render), final=generation.done)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            self._fail(loaded, task, error)
            return
        if generation.done:
            self._leave(loaded, task)

    def _fail(self, loaded: LoadedModel, task: GenerationTask, error: Exception) -> None:
        self._leave(loaded, task)
        task.pending.fail(task.pending.context.run(to_api_error, error))

    def _leave(self, loaded: LoadedModel, task: GenerationTask) -> None:
        """Take the generation out of the decoder. Its complete rows go to the text cache."""
        loaded.text_cache.keep(task.generation)
        loaded.decoder.leave(task.generation)
        if task in self._running:
            self._running.remove(task)


def _n_tokens(generation: Generation) -> int:
    """Generated tokens of all rows."""
    return sum(len(ids) for ids in generation.ids)
