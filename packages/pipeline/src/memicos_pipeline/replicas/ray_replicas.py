"""Replicas as actors of Ray: on the cluster that RAY_ADDRESS names, else on a local one for this run."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.providers.least_busy import Replica
from ray.exceptions import RayError, RayTaskError  # pyright: ignore[reportMissingImports]

from memicos_pipeline.execution.errors import WorkerError
from memicos_pipeline.execution.ray_cluster import START_SECONDS, connect
from memicos_pipeline.execution.ray_environment import cluster_address
from memicos_pipeline.replicas.actor import ReplicaActor
from memicos_pipeline.replicas.plan import ATTEMPTS, ReplicaPlan, losses_without_answer
from memicos_pipeline.replicas.server_process import STOP_SECONDS, ReplicaError

_log = logging.getLogger(__name__)


class RayReplicas:
    """Replicas that are started with the first request, and again when they are lost.

    Args:
        plan: what is started.
        report: is called with lines about replicas.

    Attributes:
        running: those that serve now.
        key: they serve only requests that have it.
    """

    def __init__(self, plan: ReplicaPlan, report: Callable[[str], None]) -> None:
        self._plan, self._report = plan, report
        self.running: list[Replica] = []
        self.key = secrets.token_hex(32)
        self._exits = ExitStack()
        self._actors: dict[int, Any] = {}
        self._pending: set[Any] = set()
        self._supervisors: list[asyncio.Task[None]] = []
        # the cause by the replica's number; 0 is for all of them
        self._given_up: dict[int, str] = {}
        self._changed = asyncio.Event()

    async def ready(self) -> None:
        """Wait until a replica is running.

        Raises:
            CannotContinue: none can be started, or all were lost too often.
        """
        if not self._supervisors and not self._given_up:
            self._begin()
        while not self.running:
            if len(self._given_up) >= max(1, len(self._supervisors)):
                raise CannotContinue(next(iter(self._given_up.values())))
            self._changed.clear()
            await self._changed.wait()

    def _begin(self) -> None:
        plan = self._plan
        try:
            connect(plan.count, self._exits)
            self._check_room()
        except (WorkerError, ReplicaError) as error:
            self._given_up[0] = str(error)
            return
        for number in range(1, plan.count + 1):
            task = asyncio.create_task(self._supervise(number))
            task.add_done_callback(partial(self._note_error, number))
            self._supervisors.append(task)

    def _note_error(self, number: int, task: asyncio.Task[None]) -> None:
        """Give up the replica of a task that an unexpected error has ended; else requests would wait for it forever."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        _log.error("replica %d of %d: its task failed", number, self._plan.count, exc_info=error)
        self._given_up.setdefault(number, f"replica {number}: {type(error).__name__}: {error}")
        self._changed.set()

    def _check_room(self) -> None:
        """Raises ReplicaError where the cluster has too few GPUs, however idle it is."""
        plan = self._plan
        if not plan.gpus:
            return
        gpus = [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]
        room = sum(own // plan.gpus for own in gpus)
        if room < plan.count:
            raise ReplicaError(
                f"the cluster has room for {room} of {plan.count} replicas: each needs {plan.gpus} GPUs of one "
                f"machine, and its machines have {', '.join(map(str, gpus))} (--replicas, --vllm-gpus, RAY_ADDRESS)"
            )

    async def _supervise(self, number: int) -> None:
        """Start a replica, again whenever it is lost."""
        name = f"replica {number} of {self._plan.count}"
        lost, has_run = 0, False
        while True:
            began = time.monotonic()
            actor = self._actors[number] = self._new_actor()
            replica, final = None, False
            try:
                try:
                    async with asyncio.timeout(START_SECONDS):
                        await self._result(actor.__ray_ready__.remote())
                except TimeoutError:
                    free = ray.available_resources()
                    reason = f"the cluster had no room for it within {START_SECONDS:.0f} s; free are {free}"
                    final = True
                else:
                    replica = Replica(await self._result(actor.start.remote()))
                    self.running.append(replica)
                    self._changed.set()
                    self._report(f"{name} is running after {time.monotonic() - began:.0f} s: {replica.url}")
                    has_run = True
                    reason = await self._result(actor.lost.remote())
            except RayTaskError as error:
                expected = isinstance(error.cause, ReplicaError)
                reason = str(error.cause) if expected else f"{type(error.cause).__name__}: {error.cause}"
                # a model that cannot be served would be loaded again and again
                final = not has_run
            except RayError as error:
                reason = "its actor was lost: " + str(error).strip().replace("\n", "; ")
            finally:
                if replica in self.running:
                    self.running.remove(replica)
            await self._end(actor)
            lost = losses_without_answer(lost, replica.answered if replica is not None else 0)
            if final or lost >= ATTEMPTS:
                self._given_up[number] = f"{name} is not running: {reason}"
                self._changed.set()
                self._report(self._given_up[number])
                return
            self._report(f"{name} is started again: {reason}")

    async def _result(self, reference: Any) -> Any:
        """The result of an actor's method. One that is not awaited to its end stays in `_pending`."""
        self._pending.add(reference)
        try:
            return await reference
        finally:
            ready, _ = ray.wait([reference], timeout=0)
            self._pending.difference_update(ready)

    def _new_actor(self) -> Any:
        # Ray shows each actor the GPUs that it is given; a thread for each of its blocking methods
        options = {"num_cpus": 1, "num_gpus": self._plan.gpus, "max_concurrency": 3}
        return ray.remote(ReplicaActor).options(**options).remote(self._plan, self.key, cluster_address() is None)

    @staticmethod
    async def _end(actor: Any) -> None:
        """End an actor and its server, whose GPU another one needs."""
        with contextlib.suppress(RayError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await actor.stop.remote()
        ray.kill(actor)

    async def stop(self) -> None:
        """End all replicas, and wait for that."""
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        try:
            # blocking: after Ctrl-C the loop has no time left
            if self._actors:
                ended = [actor.stop.remote() for actor in self._actors.values()] + list(self._pending)
                ray.wait(ended, num_returns=len(ended), timeout=STOP_SECONDS)
                for actor in self._actors.values():
                    ray.kill(actor)
                # Ray 2.60 hangs where it is shut down before the results of killed actors are there
                ray.wait(ended, num_returns=len(ended), timeout=STOP_SECONDS)
        finally:
            self._exits.close()


@asynccontextmanager
async def open_replicas(plan: ReplicaPlan, report: Callable[[str], None]) -> AsyncIterator[RayReplicas]:
    """Replicas, which end with the context."""
    replicas = RayReplicas(plan, report)
    try:
        yield replicas
    finally:
        await replicas.stop()
