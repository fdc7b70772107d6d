"""Workers as actors of Ray: on the cluster that RAY_ADDRESS names, else on a local one for this run."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayActorError, RayTaskError  # pyright: ignore[reportMissingImports]

from memicos_pipeline.execution.errors import WorkerError
from memicos_pipeline.execution.ray_cluster import START_SECONDS, connect
from memicos_pipeline.execution.tasks import Task, TaskResult, WorkerPlan
from memicos_pipeline.execution.worker import PlannedWorker


class RayPool:
    """`workers` actors that run tasks, started with the first one; as a context manager it ends them.

    Each takes as many CPUs as its threads, and on CUDA one device. An actor that is lost is replaced by another one, on
    any machine of the cluster, and its task run again, at most `attempts` times. Actors for which the cluster has no
    room get no task. Every machine needs memicos, and the working folder, the work folder and the dataset's folder at
    the same paths, on a file system that all share.
    """

    def __init__(self, plan: WorkerPlan, workers: int, attempts: int) -> None:
        self._plan, self._count, self._attempts = plan, workers, attempts
        self._actors: list[Any] = []
        self._idle: list[Any] = []
        # by the reference to its result; an actor without a task is starting
        self._running: dict[Any, tuple[Any, Task | None]] = {}
        self._exits = ExitStack()

    def __enter__(self) -> "RayPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()
        self._exits.close()

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        """Results of `tasks`, in any order. Raises: as `WorkerPool.run`, and what a task raises."""
        waiting, lost = deque(tasks), Counter[Task | None]()
        if waiting:
            connect(self._count * self._plan.threads, self._exits)
        while len(self._actors) < min(self._count, len(waiting)):
            self._start_actor()
        while waiting or self._tasks_run():
            while waiting and self._idle:
                actor, task = self._idle.pop(), waiting.popleft()
                self._running[actor.run.remote(task)] = actor, task
            actor, task, reference = self._next_ready()
            try:
                result: Any = ray.get(reference)
            except RayActorError as error:
                self._actors.remove(actor)
                lost[task] += 1
                if lost[task] > self._attempts:
                    reason = str(error).strip().replace("\n", "; ")
                    raise WorkerError(
                        f"{task or 'start'}: its worker was lost {lost[task]} times ({reason})"
                    ) from error
                if task is not None:
                    waiting.appendleft(task)
                self._start_actor()
                continue
            except RayTaskError as error:
                raise error.cause from error
            self._idle.append(actor)
            if task is not None:
                yield result

    def _tasks_run(self) -> bool:
        return any(task is not None for _, task in self._running.values())

    def _next_ready(self) -> tuple[Any, Task | None, Any]:
        """An actor that has started or ended its task, this task, and the reference to its result."""
        ready, _ = ray.wait(list(self._running), timeout=None if self._tasks_run() else START_SECONDS)
        if not ready:
            raise WorkerError(
                f"no worker has started within {START_SECONDS:.0f} s: each needs {self._resources()}, and the "
                f"cluster's free resources are {ray.available_resources()}"
            )
        return *self._running.pop(ready[0]), ready[0]

    def _resources(self) -> dict[str, int]:
        cuda = self._plan.config.model.device.startswith("cuda")
        return {"num_cpus": self._plan.threads, "num_gpus": 1 if cuda else 0}

    def _start_actor(self) -> None:
        # Ray shows each actor the device that it is given, as the first
        actor: Any = ray.remote(PlannedWorker).options(**self._resources()).remote(self._plan)
        self._actors.append(actor)
        self._running[actor.__ray_ready__.remote()] = actor, None
