"""Progress of a command: one line that changes on a terminal, else a line from time to time."""

import sys
import time

LINE_SECONDS = 10
"""How often a line is printed where there is no terminal."""
_TERMINAL_SECONDS = 0.2


class ProgressLines:
    """Lines on the standard error output."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = 0.0
        self._started: tuple[float, int] | None = None

    def sent(self, done: int, total: int) -> None:
        """Bytes that a target has of `total`."""
        now = time.monotonic()
        if self._started is None:
            self._started = now, done
        begun, first = self._started
        speed = (done - first) / max(now - begun, 0.001)
        share = done / total if total else 1
        rate = f", {speed / 1e6:.1f} MB/s, {(total - done) / speed:.0f} s left" if speed > 0 else ""
        self.show(f"sent {done:,} of {total:,} bytes ({share:.0%}){rate}")

    def show(self, line: str) -> None:
        """Print a line, unless another one was printed just before."""
        now = time.monotonic()
        if now - self._last < (_TERMINAL_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._last = now
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else line + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Begin a new line after the one that changed, and new figures."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
        self._last, self._started = 0.0, None
