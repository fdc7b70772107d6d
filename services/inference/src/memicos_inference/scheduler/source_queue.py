"""Steps that need the weights of sources: they run at once where these are in memory, and wait for a load otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memicos_inference.scheduler.failures import to_api_error
from memicos_inference.scheduler.pending_request import PendingRequest

if TYPE_CHECKING:  # imports torch
    from memicos_inference.loaded_model import LoadedModel
    from memicos_inference.scheduler.jobs import SourceCall, SourceSteps
    from memicos_inference.scheduler.source_loader import SourceLoader


@dataclass(eq=False)
class SourceTask:
    """Steps that have yielded `call`. `finish` takes what they return."""

    pending: PendingRequest
    steps: SourceSteps[Any]
    finish: Callable[[Any], None]
    call: SourceCall
    since: float = field(default_factory=time.monotonic)


class SourceQueue:
    """For the model's thread."""

    def __init__(self, loader: SourceLoader) -> None:
        self._loader = loader
        self.waiting: list[SourceTask] = []

    @property
    def pending(self) -> list[PendingRequest]:
        return [task.pending for task in self.waiting]

    @property
    def uses(self) -> Iterable[tuple[str, float]]:
        """Sources that are waited for, and since when."""
        return [(task.call.source_id, task.since) for task in self.waiting]

    def runnable(self, loaded: LoadedModel) -> bool:
        in_memory = loaded.source_cache.loaded
        return any(task.call.source_id in in_memory for task in self.waiting)

    def start(
        self, loaded: LoadedModel, pending: PendingRequest, steps: SourceSteps[Any], finish: Callable[[Any], None]
    ) -> None:
        """Run `steps` up to the first source that is not in memory. Errors end the request."""
        self._advance(loaded, pending, steps, finish, None)

    def run(self, loaded: LoadedModel) -> None:
        """Drop cancelled tasks; go on with those whose source is in memory now."""
        waiting, self.waiting = self.waiting, []
        for task in waiting:
            if not task.pending.cancelled and not self._call(loaded, task):
                self.waiting.append(task)

    def fail(self, source_id: str, error: Exception) -> None:
        """End the tasks that wait for a source which cannot be loaded."""
        self._end([task for task in self.waiting if task.call.source_id == source_id], error)

    def fail_waiting(self, since: float, error: Exception) -> None:
        """End the tasks that have waited for a source since before `since` (time.monotonic)."""
        self._end([task for task in self.waiting if task.since < since], error)

    def _end(self, failed: list[SourceTask], error: Exception) -> None:
        self.waiting = [task for task in self.waiting if task not in failed]
        for task in failed:
            _fail(task.pending, error)

    def _call(self, loaded: LoadedModel, task: SourceTask) -> bool:
        """Whether the task has gone on, or ended; False where its source is not in memory."""
        try:
            source = self._loader.get(loaded, task.call.source_id)
            if source is None:
                return False
            result = task.pending.context.run(task.call.function, source)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            _fail(task.pending, error)
            return True
        self._advance(loaded, task.pending, task.steps, task.finish, result)
        return True

    def _advance(
        self,
        loaded: LoadedModel,
        pending: PendingRequest,
        steps: SourceSteps[Any],
        finish: Callable[[Any], None],
        result: Any,
    ) -> None:
        if pending.cancelled:
            return
        try:
            call = pending.context.run(steps.send, result)
        except StopIteration as end:
            finish(end.value)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            _fail(pending, error)
        else:
            task = SourceTask(pending, steps, finish, call)
            if not self._call(loaded, task):
                self.waiting.append(task)


def _fail(pending: PendingRequest, error: Exception) -> None:
    pending.fail(pending.context.run(to_api_error, error))
