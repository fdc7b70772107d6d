"""A remote file that is read from its beginning to its end, and on from where its connection broke off."""

import io
from collections.abc import Callable
from typing import Any

from memicos_dataset.remote.retries import with_retries

_BLOCK = 1 << 20


class RetriedFile(io.RawIOBase):
    """The file at the URL `place`, which `open_file` opens, also again after a connection broke off.

    What was read before is then left out: by a seek where the server can begin in the middle of a file (`seekable`),
    else by reading it once more. Each read is repeated for `patience_seconds`.

    Raises:
        OSError: it cannot be opened or read (`with_retries`).
    """

    def __init__(self, place: str, open_file: Callable[[], Any], patience_seconds: float, seekable: bool) -> None:
        self._place, self._open_file, self._patience, self._can_seek = place, open_file, patience_seconds, seekable
        self._position = 0
        self._file: Any = with_retries(place, open_file, patience_seconds)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end."""
        return with_retries(self._place, lambda: self._read(size), self._patience)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def _read(self, size: int) -> bytes:
        complete = False
        try:
            if self._file is None:
                self._file = self._open_file()
                self._skip(self._position)
            block = self._file.read(size)
            self._position += len(block)
            complete = True
            return block
        finally:
            # after an error its state is not known
            if not complete:
                self._close_connection()

    def _skip(self, count: int) -> None:
        if self._can_seek:
            self._file.seek(count)
            return
        while count:
            block = self._file.read(min(count, _BLOCK))
            if not block:
                raise OSError(f"{self._place}: the file is shorter than it was when its connection broke off")
            count -= len(block)

    def close(self) -> None:
        self._close_connection()
        super().close()

    def _close_connection(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
