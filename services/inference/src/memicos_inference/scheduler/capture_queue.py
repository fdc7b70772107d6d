"""Captures that wait for the model, and answers that are made from captured activations. For the model's thread."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memicos_inference.http.errors import BadInput
from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.failures import to_api_error
from memicos_inference.scheduler.pending_request import PendingRequest
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.capture.batched_ops import CaptureSteps, SourceOperation
    from memicos_engine.capture.capture import CapturedActivations, CaptureRequest
    from memicos_engine.sources.source import Source
    from torch import Tensor

    from memicos_inference.loaded_model import LoadedModel
    from memicos_inference.scheduler.source_loader import SourceLoader


@dataclass(eq=False)
class CaptureTask:
    """A job's steps, which have yielded `request`."""

    pending: PendingRequest
    steps: CaptureSteps[bytes]
    request: CaptureRequest
    batch: CapturedBatch | None = None


@dataclass(eq=False)
class CapturedBatch:
    """Activations of one run. They stay in memory until each of the `unanswered` tasks has its answer."""

    nbytes: int
    unanswered: set[CaptureTask]


@dataclass(eq=False)
class WaitingOperation:
    """An operation of a task that waits for its source."""

    task: CaptureTask
    operation: SourceOperation
    since: float = field(default_factory=time.monotonic)

    @property
    def source_id(self) -> str:
        return self.operation.source.id


Slices = Generator["list[CapturedActivations] | None", None, None]


class CaptureQueue:
    """Captures of several requests share a run; INFERENCE_CAPTURE_BYTES bounds what is captured and not yet answered.

    A task moves from `waiting` to the running batch, then to `_resumable`, and from there, for each source
    that it needs, to `_operations` and back.
    """

    def __init__(self, metrics: Metrics, settings: Settings, loader: SourceLoader) -> None:
        self._metrics = metrics
        self._settings = settings
        self._loader = loader
        self.waiting: list[CaptureTask] = []
        """Tasks that wait for a run of the model."""
        self._running: tuple[list[CaptureTask], Slices] | None = None
        self._resumable: deque[tuple[CaptureTask, CapturedActivations | list[Tensor] | None]] = deque()
        """Tasks that can go on, with the result of what they yielded."""
        self._operations: list[WaitingOperation] = []
        self._batches: set[CapturedBatch] = set()

    @property
    def pending(self) -> list[PendingRequest]:
        running = self._running[0] if self._running else []
        resumable = [task for task, _ in self._resumable]
        return [task.pending for task in (*self.waiting, *running, *resumable, *(op.task for op in self._operations))]

    @property
    def n_answering(self) -> int:
        """Requests whose activations are captured and that have no answer yet. From any thread."""
        return len(self._resumable) + len(self._operations)

    @property
    def held_bytes(self) -> int:
        """Memory of activations that are captured, or being captured, and not yet answered. From any thread."""
        return sum(batch.nbytes for batch in tuple(self._batches))

    @property
    def uses(self) -> Iterable[tuple[str, float]]:
        """Sources that are waited for, and since when."""
        return [(operation.source_id, operation.since) for operation in self._operations]

    def has_slices(self, loaded: LoadedModel) -> bool:
        """Whether `capture` can run the model now."""
        return self._running is not None or bool(self.waiting and self._fits(loaded, [_in_turn(self.waiting)[0]]))

    def runnable(self, loaded: LoadedModel) -> bool:
        """Whether `answer` or `capture` can do something now."""
        in_memory = loaded.source_cache.loaded
        return bool(
            self._resumable
            or any(operation.source_id in in_memory for operation in self._operations)
            or self.has_slices(loaded)
        )

    def add(self, loaded: LoadedModel, task: CaptureTask) -> None:
        """Raises BadInput where the activations of the request alone take more memory than may be captured."""
        from memicos_engine.capture.capture import capture_nbytes

        nbytes, limit = capture_nbytes(loaded.model, [task.request]), self._settings.capture_bytes
        if nbytes > limit:
            raise BadInput(
                f"The activations of this request take {nbytes:,} bytes of memory; at most {limit:,} are captured "
                "(INFERENCE_CAPTURE_BYTES). Ask for fewer or shorter prompts, or fewer hooks or sources, at a time."
            )
        if self._fits(loaded, [task]) and (kept := loaded.activation_cache.find(task.request)) is not None:
            self._take([task], nbytes)
            self._resumable.append((task, kept))
        else:
            self.waiting.append(task)

    def drop_cancelled(self) -> None:
        for task in {task for batch in self._batches for task in batch.unanswered if task.pending.cancelled}:
            if self._running is None or task not in self._running[0]:
                self._release(task)
        self._resumable = deque(pair for pair in self._resumable if not pair[0].pending.cancelled)
        self._drop_cancelled_operations()
        if self._running and all(task.pending.cancelled for task in self._running[0]):
            tasks, self._running = self._running[0], None
            for task in tasks:
                self._release(task)

    def _drop_cancelled_operations(self) -> None:
        for operation in self._operations:
            if operation.task.pending.cancelled:
                self._release(operation.task)
        self._operations = [operation for operation in self._operations if not operation.task.pending.cancelled]

    def answer(self, loaded: LoadedModel, enough: Callable[[], bool]) -> None:
        """Go on with tasks whose activations, or source, are there, until `enough`."""
        while not enough():
            if self._resumable:
                self._resume(*self._resumable.popleft())
            elif not self._run_operations(loaded):
                return

    def fail_source(self, source_id: str, error: Exception) -> None:
        """End the tasks that wait for a source which cannot be loaded."""
        self._fail([operation.task for operation in self._operations if operation.source_id == source_id], error)

    def fail_waiting_for_source(self, since: float, error: Exception) -> None:
        """End the tasks that have waited for a source since before `since` (time.monotonic)."""
        self._fail([operation.task for operation in self._operations if operation.since < since], error)

    def capture(self, loaded: LoadedModel, max_tokens: Callable[[], int]) -> None:
        """Run a slice of at most `max_tokens` tokens."""
        from memicos_engine.capture.capture import capture_in_slices

        if self._running is None:
            tasks = self._next_batch(loaded)
            requests = [task.request for task in tasks]
            self._take(tasks, self._batch_nbytes(loaded, tasks))
            on_batch = self._metrics.record_capture_batch
            self._running = tasks, capture_in_slices(loaded.model, requests, max_tokens, on_batch)
        tasks, slices = self._running
        try:
            results = next(slices)
        except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
            self._running = None
            self._fail(tasks, error)
            return
        if results is not None:
            self._running = None
            for task, captured in zip(tasks, results, strict=True):
                if task.pending.cancelled:
                    self._release(task)
                else:
                    self._resumable.append((task, captured))
                loaded.activation_cache.keep(task.request, captured)

    def _next_batch(self, loaded: LoadedModel) -> list[CaptureTask]:
        """The first task of each client in turn, as many as fit INFERENCE_BATCH_TOKENS and the memory; at least one."""
        from memicos_engine.capture.capture import can_split_prompts

        chosen: list[CaptureTask] = []
        room = self._settings.batch_tokens
        for task in _in_turn(self.waiting):
            splittable = can_split_prompts(loaded.model, task.request.hook_names)
            if not chosen and not splittable:
                # run by the bridge, where one hook that is not run would fail the other requests
                chosen = [task]
                break
            # at every hook of any task the activations of all tasks are kept until the batch is through
            if splittable and (not chosen or (task.request.n_tokens <= room and self._fits(loaded, [*chosen, task]))):
                room -= task.request.n_tokens
                chosen.append(task)
        self.waiting = [task for task in self.waiting if task not in chosen]
        return chosen

    def _batch_nbytes(self, loaded: LoadedModel, tasks: list[CaptureTask]) -> int:
        from memicos_engine.capture.capture import capture_nbytes

        return capture_nbytes(loaded.model, [task.request for task in tasks])

    def _fits(self, loaded: LoadedModel, tasks: list[CaptureTask]) -> bool:
        return self.held_bytes + self._batch_nbytes(loaded, tasks) <= self._settings.capture_bytes

    def _take(self, tasks: list[CaptureTask], nbytes: int) -> None:
        batch = CapturedBatch(nbytes, set(tasks))
        self._batches.add(batch)
        for task in tasks:
            task.batch = batch
            task.pending.waiting = False
            self._metrics.record_start(task.pending, "capture", task.request.n_tokens)

    def _release(self, task: CaptureTask) -> None:
        if task.batch is not None:
            task.batch.unanswered.discard(task)
            if not task.batch.unanswered:
                self._batches.discard(task.batch)
            task.batch = None

    def _run_operations(self, loaded: LoadedModel) -> bool:
        """Run the operations of several tasks on one source together, as many as MAX_ENCODED_BYTES have room for.

        False where no operation has its source in memory; loads are requested then.
        """
        from memicos_engine.capture.batched_ops import MAX_ENCODED_BYTES, run_operations

        self._drop_cancelled_operations()
        chosen: list[WaitingOperation] = []
        room = MAX_ENCODED_BYTES
        source: Source | None = None
        for waiting in tuple(self._operations):
            if not chosen:
                try:
                    loaded.check_current(waiting.operation.source)
                    source = self._loader.get(loaded, waiting.source_id)
                except Exception as error:  # noqa: BLE001  # raised again in the request's handler
                    self._fail([waiting.task], error)
                    continue
            if source is None or (chosen and waiting.source_id != source.id):
                continue
            if not chosen or waiting.operation.nbytes <= room:
                chosen.append(waiting)
                room -= waiting.operation.nbytes
        if source is None:
            return False
        self._operations = [waiting for waiting in self._operations if waiting not in chosen]
        tasks = [waiting.task for waiting in chosen]
        try:
            results = run_operations(source, [waiting.operation for waiting in chosen])
        except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
            self._fail(tasks, error)
            return True
        self._resumable.extend(zip(tasks, results, strict=True))
        return True

    def _resume(self, task: CaptureTask, result: CapturedActivations | list[Tensor] | None) -> None:
        """Run a task up to what it needs next, or to its end."""
        if task.pending.cancelled:
            self._release(task)
            return
        try:
            step = task.pending.context.run(task.steps.send, result)
        except StopIteration as end:
            self._release(task)
            task.pending.send_body(end.value, final=True)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            self._fail([task], error)
        else:
            if step is None:
                self._resumable.append((task, None))
            else:
                self._operations.append(WaitingOperation(task, step))  # pyright: ignore[reportArgumentType]

    def _fail(self, tasks: Iterable[CaptureTask], error: Exception) -> None:
        failed = list(tasks)
        self._operations = [waiting for waiting in self._operations if waiting.task not in failed]
        for task in failed:
            self._release(task)
            task.pending.fail(task.pending.context.run(to_api_error, error))


def _in_turn(tasks: Iterable[CaptureTask]) -> list[CaptureTask]:
    """The first task of each client, then the second of each, and so on; otherwise in the order of arrival."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, CaptureTask]] = []
    for task in tasks:
        ranked.append((seen[task.pending.client], task))
        seen[task.pending.client] += 1
    return [task for _, task in sorted(ranked, key=lambda pair: pair[0])]
