"""The thread that tokenises the texts of requests, so that long ones hold up neither the model nor the event loop.

The tokenizers of transformers hold no lock of Python while they tokenise. Their settings are changed at load only, so
that the model's thread may decode with the same tokenizer at the same time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memicos_inference.http.errors import Unavailable
from memicos_inference.scheduler.failures import end_process, to_api_error
from memicos_inference.scheduler.jobs import Job, TextJob
from memicos_inference.scheduler.pending_request import PendingRequest

if TYPE_CHECKING:  # imports torch
    from memicos_inference.loaded_model import LoadedModel


@dataclass(eq=False)
class TokenizerTask:
    """A job whose texts are tokenised; `steps` is None until the first of them is."""

    pending: PendingRequest
    job: TextJob[Any]
    steps: Generator[None, None, Any] | None = None


class TokenizerThread:
    """Tokenises one text of each client in turn. The scheduler bounds the number of requests that wait."""

    def __init__(self, hand_over: Callable[[PendingRequest, Job], None]) -> None:
        """`hand_over` gets each request with its job for the model's thread, in the tokenizer's thread."""
        self._hand_over = hand_over
        self._changed = threading.Condition()
        self._clients: dict[str, deque[TokenizerTask]] = {}
        """Tasks by client. The client whose turn is next comes first; none has an empty queue."""
        self._stopping = False

    @property
    def n_waiting(self) -> int:
        """Number of requests whose texts are not tokenised yet. Read without a lock."""
        return sum(len(tasks) for tasks in tuple(self._clients.values()))

    def start(self, loaded: LoadedModel) -> None:
        threading.Thread(target=self._run, args=(loaded,), name="tokenizer", daemon=True).start()

    def stop(self) -> None:
        """End the thread after its current text. Requests that wait get an error."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def add(self, pending: PendingRequest, job: TextJob[Any]) -> None:
        with self._changed:
            self._clients.setdefault(pending.client, deque()).append(TokenizerTask(pending, job))
            self._changed.notify()

    def _run(self, loaded: LoadedModel) -> None:
        try:
            self._tokenize_all(loaded)
        except Exception as error:  # noqa: BLE001  # a fault outside of any one request
            end_process(f"the tokenizer's thread failed, and this server ends: {error!r}")

    def _tokenize_all(self, loaded: LoadedModel) -> None:
        while (task := self._next()) is not None:
            if task.pending.cancelled or self._tokenize_next(loaded, task):
                self._remove(task)
        for task in [task for tasks in self._clients.values() for task in tasks]:
            task.pending.fail(Unavailable("stopping", "The server is shutting down.", 5))

    def _next(self) -> TokenizerTask | None:
        """The first task of the next client, whose turn then comes last; None once the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._clients)
            if self._stopping:
                return None
            client = next(iter(self._clients))
            tasks = self._clients[client] = self._clients.pop(client)
            return tasks[0]

    def _remove(self, task: TokenizerTask) -> None:
        with self._changed:
            tasks = self._clients[task.pending.client]
            tasks.remove(task)
            if not tasks:
                del self._clients[task.pending.client]

    def _tokenize_next(self, loaded: LoadedModel, task: TokenizerTask) -> bool:
        """Tokenise the next text of a task; True once the task has ended."""
        context = task.pending.context
        try:
            job = context.run(_next_step, loaded, task)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            task.pending.fail(context.run(to_api_error, error))
            return True
        if job is None:
            return False
        self._hand_over(task.pending, job)
        return True


def _next_step(loaded: LoadedModel, task: TokenizerTask) -> Job | None:
    """Tokenise the next text; returns the job for the model's thread after the last one."""
    if task.steps is None:
        task.steps = task.job.tokenize(loaded)
    try:
        next(task.steps)
    except StopIteration as end:
        return task.job.job(end.value)
    return None
