"""The one thread that owns the model.

It loads the model first. After that it takes waiting work in turn: short jobs run to their end, a generation
advances one step a round, so that streams keep flowing while short jobs run between their steps.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from memicos_engine.errors import LoadError
from memicos_engine.hub import Report

from memicos_inference.errors import Fault, Unavailable

log = logging.getLogger(__name__)

S = TypeVar("S")
Short = Callable[[S], bytes]
"""What runs to its end in one go and gives the answer's body."""
Steps = Generator[bytes | None, None, None]
Long = Callable[[S], Steps]
"""What advances by steps; gives a body, the answer so far, or None. The last must be a body."""


class NotNow(Exception):
    """A generation cannot begin before another ends; it goes back to the head of the queue."""


class Budget:
    """An amount of something that generations share, in the worker's thread. One alone may have all of it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Raises NotNow where others hold too much."""
        if self.taken and self.taken + amount > self.total:
            raise NotNow
        self.taken += amount
        try:
            yield
        finally:
            self.taken -= amount


@dataclass
class Progress:
    state: Literal["loading", "ready", "failed"] = "loading"
    text: str = "starting"
    fraction: float = 0.0


class Work(Generic[S]):
    """A request's work and the way back to its event loop. A body replaces an earlier one not yet taken."""

    def __init__(self, job: Short[S] | Long[S], long: bool) -> None:
        self.job = job
        self.long = long
        self.steps: Steps | None = None
        self.cancelled = False
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._body: bytes | None = None
        self._error: BaseException | None = None
        self._ended = False

    def give(self, body: bytes | None, ended: bool = False, error: BaseException | None = None) -> None:
        """From the worker's thread: hand over what is there."""

        def take() -> None:
            self._body = self._body if body is None else body
            self._ended, self._error = ended, error
            self._changed.set()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(take)

    async def bodies(self) -> AsyncGenerator[bytes, None]:
        """The newest body each time there is one; leaving the loop cancels the work."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                body, self._body = self._body, None
                ended, error = self._ended, self._error
                if body is not None:
                    yield body
                if error is not None:
                    raise error
                if ended:
                    return
        finally:
            self.cancelled = True


class Worker(Generic[S]):
    """Runs `load`, then work, in a thread of its own.

    `max_waiting` bounds what waits, `max_live` the generations that run at a time.
    """

    def __init__(self, load: Callable[[Report], S], max_waiting: int, max_live: int) -> None:
        self.progress = Progress()
        self._load = load
        self._max_waiting = max_waiting
        self._max_live = max_live
        self._short: deque[Work[S]] = deque()
        self._long: deque[Work[S]] = deque()
        self._live: list[Work[S]] = []
        self._full = False
        """The next generation cannot begin before one of the live ends."""
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the step it is at; what waits is refused."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def check_ready(self) -> None:
        """Raises Unavailable while there is no model."""
        if self._stopping:
            raise Unavailable("stopping", "The server is shutting down.", 5)
        if self.progress.state == "loading":
            raise Unavailable("loading", f"The model is not loaded yet: {self.progress.text}.", 3)
        if self.progress.state == "failed":
            raise Unavailable("load_failed", f"There is no model: {self.progress.text}", 60)

    def submit(self, job: Short[S] | Long[S], long: bool) -> Work[S]:
        """Queue work of the running event loop. Raises Unavailable where there is no model or no room."""
        self.check_ready()
        work = Work(job, long)
        with self._wake:
            for queue in (self._short, self._long):
                for gone in [waiting for waiting in queue if waiting.cancelled]:
                    queue.remove(gone)
            waiting = len(self._short) + len(self._long)
            if waiting >= self._max_waiting:
                raise Unavailable(
                    "busy",
                    f"{waiting} requests are waiting for the model, at most {self._max_waiting} may "
                    "(INFERENCE_MAX_WAITING); try again in a moment.",
                    2,
                )
            (self._long if long else self._short).append(work)
            self._wake.notify()
        return work

    def _run(self) -> None:
        try:
            served = self._load(self._report)
        except LoadError as error:
            log.error("%s", error)
            self.progress = Progress("failed", str(error), self.progress.fraction)
            return
        except Exception as error:  # the server stays up to say what happened
            log.exception("loading failed while %s", self.progress.text)
            self.progress = Progress("failed", f"{type(error).__name__}: {error}", self.progress.fraction)
            return
        self.progress = Progress("ready", "ready", 1.0)
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._short or self._long or self._live)
                if self._stopping:
                    break
                short = self._short.popleft() if self._short else None
                if self._long and not self._full and len(self._live) < self._max_live:
                    self._live.append(self._long.popleft())
            if short is not None:
                self._finish(served, short)
            going = [work for work in self._live if self._advance(served, work)]
            # _advance may have put the last one back, which is not an end
            self._full = self._full and bool(going)
            self._live = going
        for work in (*self._short, *self._long, *self._live):
            work.give(None, ended=True, error=Unavailable("stopping", "The server is shutting down.", 5))

    def _report(self, text: str, fraction: float) -> None:
        log.info("%s", text)
        self.progress = Progress("loading", text, fraction)

    def _finish(self, served: S, work: Work[S]) -> None:
        if work.cancelled:
            return
        try:
            body = work.job(served)
            assert isinstance(body, bytes)
            work.give(body, ended=True)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            work.give(None, ended=True, error=_told(error))

    def _advance(self, served: S, work: Work[S]) -> bool:
        """One step of a generation; False when it is over, or cannot begin yet."""
        if work.cancelled:
            if work.steps is not None:
                work.steps.close()
            self._full = False
            return False
        try:
            if work.steps is None:
                steps = work.job(served)
                assert not isinstance(steps, bytes)
                work.steps = steps
            work.give(next(work.steps))
            return True
        except NotNow:
            work.steps = None
            with self._wake:
                self._long.appendleft(work)
            self._full = True
            return False
        except StopIteration:
            work.give(None, ended=True)
        except Exception as error:  # noqa: BLE001  # raised again in the request's handler
            work.give(None, ended=True, error=_told(error))
        self._full = False
        return False


def _told(error: Exception) -> Exception:
    """What the engine refuses and what could not be loaded, in the request's terms; anything else as it is."""
    from memicos_engine.errors import Refused
    from torch import OutOfMemoryError

    if isinstance(error, Refused):
        return Fault(400, "invalid_request", str(error))
    if isinstance(error, LoadError):
        log.error("%s", error)
        return Unavailable("load_failed", str(error), 60)
    if isinstance(error, OutOfMemoryError):
        return Unavailable("out_of_memory", "The device has no memory left for this request.", 10)
    return error
