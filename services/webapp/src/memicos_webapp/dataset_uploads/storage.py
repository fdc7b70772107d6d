"""Files of uploads on disk.

    <folder>/<upload>/parts/<file>-<part>    parts whose sha256 was checked
    <folder>/<upload>/data/<name>/<path>     complete files whose sha256 was checked
    <folder>/<upload>/incoming/…             parts that are being received

Files appear under their names in one step, after they are on disk: a process that is killed leaves none that is
incomplete.
"""

import errno
import hashlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from memicos_dataset.wording import quantity

from memicos_webapp.dataset_uploads.rows import FileRow, UploadRow
from memicos_webapp.dataset_uploads.threads import run
from memicos_webapp.errors import BadInput, Conflict, InsufficientStorage, NotConfigured, NotFound, TooLarge
from memicos_webapp.settings import Settings, variable

log = logging.getLogger(__name__)

COPY_BYTES = 1 << 20
PRIVATE = 0o700
"""Mode of folders that only their owner may enter."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class UnusablePartsError(Exception):
    """Parts of files are not there, or are not the file that was announced; they have to be sent again."""

    def __init__(self, files: Sequence[FileRow], problem: str) -> None:
        super().__init__(problem)
        self.files = files


class StoppedError(Exception):
    """The server stops."""


@contextmanager
def disk_errors(folder: Path, upload_id: str | None = None) -> Iterator[None]:
    """For what is done with files of uploads.

    Args:
        folder: the folder of uploads.
        upload_id: the upload whose folder has to be there.

    Raises:
        InsufficientStorage: the disk is full.
        NotFound: the upload was deleted meanwhile.
        NotConfigured: the folder cannot be used.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and upload_id is not None:
            raise NotFound(f"The upload {upload_id} was deleted; start it again.") from error
        if error.errno in _FULL:
            raise InsufficientStorage(
                "The disk of the folder of uploads is full. Parts that were received stay: free space and go on."
            ) from error
        log.error("the folder of uploads cannot be used: %s", error)
        raise NotConfigured(
            f"The folder of uploads, {folder}, cannot be used ({error.strerror or error}): let the webapp's user read "
            f"and write there, or set {variable('upload_folder')} to another folder. Parts that were received stay."
        ) from error


def check_space(folder: Path, needed: int, outstanding: int, keep: int) -> None:
    """
    Args:
        folder: the folder of uploads.
        needed: bytes that a new upload takes at most.
        outstanding: bytes that other uploads will still take.
        keep: bytes that have to stay free.

    Raises:
        InsufficientStorage: there is not enough space.
    """
    folder.mkdir(PRIVATE, parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free - outstanding - keep
    if needed > free:
        raise InsufficientStorage(
            f"The dataset needs {needed:,} bytes, and {max(free, 0):,} are left for uploads on the server's disk, with "
            f"{outstanding:,} announced by other uploads and {keep:,} that stay free ({variable('upload_free_bytes')})."
        )


@dataclass(frozen=True)
class UploadStorage:
    """The files of an upload."""

    root: Path
    name: str

    @classmethod
    def of(cls, settings: Settings, upload: UploadRow) -> "UploadStorage":
        return cls(settings.uploads / upload.id, upload.name)

    @property
    def dataset(self) -> Path:
        """Folder of the complete files: what is imported."""
        return (self.root / "data" / self.name).resolve()

    def make(self) -> None:
        """Make the upload's folder where it is missing; another user of the machine reads no dataset in it."""
        self.root.mkdir(PRIVATE, parents=True, exist_ok=True)

    def part(self, file: FileRow, part: int) -> Path:
        return self.root / "parts" / f"{file.number}-{part}"

    async def receive(self, body: AsyncIterator[bytes], size: int, sha256: str, threads: ThreadPoolExecutor) -> Path:
        """Write a part to a file of its own, in `threads`, and check it; returns the file.

        Raises:
            BadInput: it has another size or another sha256.
        """
        incoming = self.root / "incoming"
        self.make()
        for folder in (incoming, self.root / "parts"):
            folder.mkdir(exist_ok=True)
        place = incoming / secrets.token_hex(8)
        digest, received = hashlib.sha256(), 0
        try:
            with place.open("wb") as output:
                async for block in _blocks(body):
                    received += len(block)
                    if received > size:
                        raise TooLarge(f"The part has {size} bytes, and more were sent.")
                    await run(threads, _write, output, digest, block)
                if received != size:
                    raise BadInput(f"The part has {size} bytes, and {received} were sent; send it again.")
                if digest.hexdigest() != sha256:
                    raise BadInput(
                        f"The part that arrived has the sha256 {digest.hexdigest()}, and X-Part-SHA256 says {sha256}: "
                        "it was changed on its way; send it again."
                    )
                await run(threads, _flush, output)
        except BaseException:
            place.unlink(missing_ok=True)
            raise
        return place

    def assemble(self, files: Sequence[FileRow], part_bytes: int, stop: threading.Event) -> None:
        """Make the complete files of their parts, and check them; files that an earlier call made are kept.

        It takes minutes for large files; `stop` ends it between two blocks, and a later call goes on.

        Raises:
            StoppedError: `stop` was set.
            UnusablePartsError: parts are not there, or a file has another sha256 than announced.
            Conflict: another request does so.
        """
        try:
            with FileLock(self.root / "complete.lock", timeout=0):
                if lost := [file for file in files if self._lacks_parts(file, part_bytes)]:
                    raise UnusablePartsError(
                        lost,
                        f"Parts of {quantity(len(lost), 'file')}, {lost[0].path} for one, are no longer on the "
                        "server's disk.",
                    )
                for file in files:
                    self._assemble(file, part_bytes, stop)
                shutil.rmtree(self.root / "parts", ignore_errors=True)
        except Timeout:
            raise Conflict("Another request is completing this upload; ask again in a few seconds.") from None

    def _lacks_parts(self, file: FileRow, part_bytes: int) -> bool:
        """Whether a file is not complete and some of its parts are not there."""
        if (self.dataset / file.path).exists():
            return False
        return not all(self.part(file, part).exists() for part in range(file.parts(part_bytes)))

    def _assemble(self, file: FileRow, part_bytes: int, stop: threading.Event) -> None:
        place = self.dataset / file.path
        if place.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.root / "assembling"
        digest = hashlib.sha256()
        with unfinished.open("wb") as output:
            for part in range(file.parts(part_bytes)):
                with self.part(file, part).open("rb") as content:
                    while chunk := content.read(COPY_BYTES):
                        if stop.is_set():
                            raise StoppedError
                        digest.update(chunk)
                        output.write(chunk)
            _flush(output)
        if digest.hexdigest() != file.sha256:
            unfinished.unlink()
            raise UnusablePartsError(
                [file],
                f"{file.path} has another sha256 than announced, so its parts were deleted. Was the file changed after "
                "the upload began, or is it damaged (memicos dataset verify)?",
            )
        unfinished.rename(place)
        for part in range(file.parts(part_bytes)):
            self.part(file, part).unlink(missing_ok=True)

    def discard_parts(self, file: FileRow, part_bytes: int) -> None:
        for part in range(file.parts(part_bytes)):
            self.part(file, part).unlink(missing_ok=True)

    def delete(self) -> None:
        delete_folder(self.root)


async def _blocks(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body in blocks of about COPY_BYTES."""
    block = bytearray()
    async for chunk in body:
        block += chunk
        if len(block) >= COPY_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _write(output: BinaryIO, digest: Any, block: bytes) -> None:
    digest.update(block)
    output.write(block)


def _flush(output: BinaryIO) -> None:
    output.flush()
    os.fsync(output.fileno())


def delete_folder(root: Path) -> None:
    """Delete what an upload stored; a part that arrives meanwhile finds no folder."""
    shutil.rmtree(root, ignore_errors=True)
