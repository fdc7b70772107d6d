"""Progress of a run: a bar on a terminal, and elsewhere a line every few seconds."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LINE_SECONDS = 10.0
"""Time between two lines of progress where there is no terminal."""


class Stage:
    """A part of the work of `total` units (None: unknown), each with `tokens` tokens."""

    def __init__(self, name: str, total: int | None, unit: str, changed: Callable[[], None]) -> None:
        self.name, self.total, self.unit, self._changed = name, total, unit, changed
        self.done = self.tokens = 0
        self._started_at, self._start = time.monotonic(), 0

    def skip(self, count: int) -> None:
        """Count `count` units that an earlier run did; they do not count for the speed."""
        self.done += count
        self._start += count
        self._changed()

    def advance(self, count: int, tokens: int = 0) -> None:
        self.done += count
        self.tokens += tokens
        self._changed()

    def describe(self) -> str:
        """`activations: 512 of 2048 contexts, 900 tokens/s, 31 s left`."""
        parts = [f"{self.done}{'' if self.total is None else f' of {self.total}'} {self.unit}"]
        seconds = time.monotonic() - self._started_at
        if self.tokens and seconds > 0:
            parts.append(f"{self.tokens / seconds:.0f} tokens/s")
        if self.total is not None and self.done > self._start:
            parts.append(f"{(self.total - self.done) * seconds / (self.done - self._start):.0f} s left")
        return f"{self.name}: {', '.join(parts)}"

    @property
    def speed(self) -> str:
        """Tokens per second, for the bar; empty in stages without tokens."""
        seconds = time.monotonic() - self._started_at
        return f"{self.tokens / seconds:.0f} tokens/s" if self.tokens and seconds > 0 else ""


class Progress:
    """Reports lines, and the progress of stages.

    With a `terminal` stages are bars on it. Otherwise they are lines: one every `every_seconds`, also while a stage
    does not advance; with 0 one at each change.
    """

    def __init__(
        self, report: Callable[[str], None], every_seconds: float = LINE_SECONDS, terminal: Console | None = None
    ) -> None:
        self._report, self._every, self._terminal = report, every_seconds, terminal

    def __call__(self, line: str) -> None:
        self._report(line)

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Stage]:
        """Show the progress of a stage until the block ends."""
        with self._bar(name, total, unit) if self._terminal else self._lines(name, total, unit) as stage:
            yield stage

    @contextmanager
    def _bar(self, name: str, total: int | None, unit: str) -> Iterator[Stage]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
        with Bars(*columns, TextColumn("{task.fields[speed]}"), TimeRemainingColumn(), console=self._terminal) as bars:
            task = bars.add_task(name, total=total, speed="")
            stage = Stage(name, total, unit, lambda: bars.update(task, completed=stage.done, speed=stage.speed))
            yield stage

    @contextmanager
    def _lines(self, name: str, total: int | None, unit: str) -> Iterator[Stage]:
        def changed() -> None:
            if not self._every:
                self._report(stage.describe())

        stage, ended = Stage(name, total, unit, changed), threading.Event()

        def report_until_end() -> None:
            while not ended.wait(self._every):
                self._report(stage.describe())

        thread = threading.Thread(target=report_until_end, name="progress", daemon=True) if self._every else None
        if thread:
            thread.start()
        try:
            yield stage
        finally:
            ended.set()
            if thread:
                thread.join()
