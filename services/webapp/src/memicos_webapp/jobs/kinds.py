"""Kinds of jobs. A folder that has long work defines a kind; `memicos_webapp.worker` hands all kinds to the worker."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncpg import Connection

from memicos_webapp.jobs.progress import Progress


class Suspended(Exception):
    """A background job waits for something outside, and does not occupy a worker slot meanwhile: it is run again.

    Args:
        seconds: after which it is run again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the job goes on in {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True)
class JobRun:
    """A job that runs. `connection` holds its lock; where it is lost, the job ends, and is continued later.

    `background`: the worker runs it, so that it may be `Suspended`. `continued`: it was suspended since it was begun or
    resumed; what it has listed and counted until then stays.
    """

    id: int
    location: str
    options: Mapping[str, Any]
    url: str
    """The database's."""
    connection: Connection
    progress: Progress = field(default_factory=Progress)
    background: bool = False
    continued: bool = False


async def _nothing(run: JobRun) -> None:
    pass


@dataclass(frozen=True)
class JobKind:
    """Work that jobs of the name `name` do.

    `refusals` are errors that say what is wrong with the job's input: the job fails with their message. Any other
    error is a fault: the job is run again, up to a limit. `after` deletes what the job left; it is called when the
    job was cancelled or refused, and its lock is free.
    """

    name: str
    run: Callable[[JobRun], Coroutine[Any, Any, object]]
    refusals: tuple[type[Exception], ...] = ()
    after: Callable[[JobRun], Awaitable[object]] = _nothing
