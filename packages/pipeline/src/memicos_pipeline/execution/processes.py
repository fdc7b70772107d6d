"""Workers in processes of this machine."""

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, cast

from memicos_engine.errors import InvalidRequestError, LoadError

from memicos_pipeline.config import ConfigError
from memicos_pipeline.execution.errors import WorkerError
from memicos_pipeline.execution.tasks import Task, TaskResult, WorkerPlan

_START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_PROCESSES: Any = multiprocessing.get_context(_START)
"""Never a fork of this process: a fork of a process whose PyTorch has threads can hang. Workers of a fork server share
the memory of the modules that it imported, and start without importing them."""
_PRELOADED = "memicos_pipeline.execution.worker"
_SECONDS_TO_END = 5.0
"""Time for a worker that closed its connection to end, after which its status is that of a kill."""


class ProcessPool:
    """`workers` processes that run tasks, started with the first one; as a context manager it ends them.

    A worker that is killed is replaced, and its task run again, at most `attempts` times. Workers end with the main
    process, also where that is killed.
    """

    def __init__(self, plan: WorkerPlan, workers: int, attempts: int) -> None:
        self._plan, self._count, self._attempts = plan, workers, attempts
        self._workers: dict[Connection, _WorkerProcess] = {}

    def __enter__(self) -> "ProcessPool":
        if _START == "forkserver":
            # without effect where the server runs already
            _PROCESSES.set_forkserver_preload([_PRELOADED])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        """Results of `tasks`, in any order. Raises: as `WorkerPool.run`, and what a task raises."""
        waiting, lost = deque(tasks), Counter[Task]()
        while waiting or any(worker.task for worker in self._workers.values()):
            self._start_tasks(waiting)
            for connection in wait([c for c, worker in self._workers.items() if worker.task]):
                worker = self._workers[cast(Connection, connection)]
                task = worker.task
                assert task is not None
                try:
                    result = worker.connection.recv()
                except (EOFError, ConnectionResetError):
                    self._replace(worker)
                    lost[task] += 1
                    status = worker.kill(_SECONDS_TO_END)
                    if status is None or status >= 0 or lost[task] > self._attempts:
                        raise WorkerError(_loss(task, status, lost[task])) from None
                    waiting.appendleft(task)
                    continue
                worker.task = None
                if isinstance(result, BaseException):
                    raise result
                yield result

    def _start_tasks(self, waiting: deque[Task]) -> None:
        while len(self._workers) < min(self._count, len(waiting)):
            worker = _WorkerProcess(self._plan, len(self._workers))
            self._workers[worker.connection] = worker
        for worker in list(self._workers.values()):
            if waiting and worker.task is None:
                task = waiting.popleft()
                try:
                    worker.start(task)
                except (BrokenPipeError, ConnectionResetError):
                    # it was killed while it had no task
                    waiting.appendleft(task)
                    self._replace(worker).start(waiting.popleft())
                    worker.kill()

    def _replace(self, worker: "_WorkerProcess") -> "_WorkerProcess":
        del self._workers[worker.connection]
        new = _WorkerProcess(self._plan, worker.number)
        self._workers[new.connection] = new
        return new


class _WorkerProcess:
    """A process, the connection to it, and the task that it runs."""

    def __init__(self, plan: WorkerPlan, number: int) -> None:
        self.number = number
        self.task: Task | None = None
        connections: tuple[Connection, Connection] = _PROCESSES.Pipe()
        self.connection, inner = connections
        self._process: BaseProcess = _PROCESSES.Process(
            target=_serve, args=(inner, plan, number), name=f"memicos-worker-{number}", daemon=True
        )
        self._process.start()
        # so that the connection ends with the process
        inner.close()

    def start(self, task: Task) -> None:
        self.connection.send(task)
        self.task = task

    def kill(self, after: float = 0) -> int | None:
        """End the process, unless it ends by itself within `after` seconds; returns its status, -9 if it was killed."""
        self._process.join(after)
        self._process.kill()
        self._process.join()
        self.connection.close()
        return self._process.exitcode


def _loss(task: Task, status: int | None, times: int) -> str:
    if status is not None and status >= 0:
        return f"{task}: its worker ended with an error, which is printed above"
    return (
        f"{task}: its worker was killed {times} times (signal {-(status or 0)}); if memory was short, use fewer "
        "workers, or smaller execution.batch_contexts or execution.statistics_mib"
    )


def _serve(connection: Connection, plan: WorkerPlan, number: int) -> None:
    """Run tasks until the main process closes the connection."""
    # Ctrl-C reaches every process of the terminal; the main process ends the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_main_process, name="main-process", daemon=True).start()
    # imports torch
    from memicos_pipeline.execution.worker import PlannedWorker

    worker = PlannedWorker(plan, number)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            result: TaskResult | Exception = worker.run(task)
        except (ConfigError, LoadError, InvalidRequestError, OSError) as error:
            result = error
        connection.send(result)


def _end_with_main_process() -> None:
    process = multiprocessing.parent_process()
    assert process is not None
    process.join()
    os._exit(1)
