"""Folders that hold datasets: a local path, or a URL of any file system that fsspec has (http, s3, gs, memory).

Files of remote folders are streamed; a file that has to be read at several places, as Parquet has, is copied to a
temporary file first, so that servers without range requests can be read too.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import fsspec

from memicos_dataset.errors import DatasetError
from memicos_dataset.remote import retries
from memicos_dataset.remote.errors import as_os_errors
from memicos_dataset.remote.file_systems import file_system, is_http
from memicos_dataset.remote.retried_file import RetriedFile

COPY_BYTES = 1 << 20
"""Bytes that are read at once where a file is copied, hashed or decompressed."""
SMALL_BYTES = 64 << 20
"""Largest file that is read as a whole, such as a manifest."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""The extra of the distribution `memicos-dataset` that installs the file system of a scheme."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


class Access(Protocol):
    """Which folders may be read, and by what file system, where not every folder may be."""

    def check(self, place: Path | str) -> None:
        """Raises PermissionError where a file or folder, at a path or URL, may not be read."""

    def file_system(self, url: str) -> Any:
        """fsspec's file system for a URL that may be read."""


@dataclass(frozen=True)
class Folder:
    """A local folder or one at a URL. Paths of files are relative to it, with `/`."""

    root: Path | str
    """A Path where local, otherwise a URL without a slash at its end."""
    access: Access | None = field(default=None, compare=False, repr=False)
    """None: every folder may be read."""
    patience_seconds: float = field(default_factory=lambda: retries.READ_PATIENCE_SECONDS, compare=False, repr=False)
    """How long a request to a remote folder is repeated while its server does not answer."""

    @classmethod
    def of(cls, location: "Location", access: Access | None = None) -> "Folder":
        """The folder at a path or URL; `file://` URLs are local."""
        if isinstance(location, Folder):
            return location
        if isinstance(location, Path):
            return cls(location, access)
        scheme = _SCHEME.match(location)
        if scheme is None or scheme[1] == "file":
            return cls(Path(location.removeprefix("file://")), access)
        return cls(location.rstrip("/"), access)

    def __truediv__(self, path: str) -> "Folder":
        return replace(self, root=self.locate(path))

    def __str__(self) -> str:
        return str(self.root)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.root.resolve().name if isinstance(self.root, Path) else self.root.rpartition("/")[2]

    @property
    def parent(self) -> "Folder":
        parent = self.root.resolve().parent if isinstance(self.root, Path) else self.root.rpartition("/")[0]
        return replace(self, root=parent)

    def locate(self, path: str) -> Path | str:
        """Where the file `path` is, as errors name it."""
        return self.root / path if isinstance(self.root, Path) else f"{self.root}/{path}"

    def _permitted(self, path: str) -> Path | str:
        """Where the file `path` is; raises PermissionError where it may not be read."""
        place = self.locate(path)
        if self.access:
            self.access.check(place)
        return place

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Read a file from its beginning to its end.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
        """
        place = self._permitted(path)
        if isinstance(place, Path):
            with place.open("rb") as file:
                yield file
            return
        system, http = self._file_system(), is_http(place)
        # as a stream: a server may not answer requests for a part
        options = {"block_size": 0} if http else {}
        with RetriedFile(
            place, lambda: system.open(place, "rb", **options), self.patience_seconds, seekable=not http
        ) as file:
            yield cast(BinaryIO, file)

    @contextmanager
    def open_seekable(self, path: str) -> Iterator[BinaryIO]:
        """Read a file at any place; a remote one is copied to a temporary file. Raises like `open`."""
        if isinstance(self.root, Path):
            with self.open(path) as file:
                yield file
            return
        with tempfile.TemporaryFile() as copy:
            with self.open(path) as file:
                shutil.copyfileobj(file, copy, COPY_BYTES)
            copy.seek(0)
            yield cast(BinaryIO, copy)

    def read(self, path: str) -> bytes:
        """The content of a small file.

        Raises:
            OSError: it cannot be read, or has more than SMALL_BYTES.
        """
        content = bytearray()
        with self.open(path) as file:
            while block := file.read(COPY_BYTES):
                content += block
                if len(content) > SMALL_BYTES:
                    raise OSError(f"it has more than {SMALL_BYTES:,} bytes, far more than a file of this kind has")
        return bytes(content)

    def size(self, path: str) -> int | None:
        """Bytes of a file; None if there is none, or if the server does not say.

        Raises:
            OSError: the folder cannot be read.
        """
        place = self._permitted(path)
        if isinstance(place, Path):
            return place.stat().st_size if place.is_file() else None
        try:
            return self._info(place)["size"]
        except FileNotFoundError:
            return None

    def exists(self, path: str) -> bool:
        """Whether there is a file. Raises like `size`."""
        place = self._permitted(path)
        if isinstance(place, Path):
            return place.is_file()
        try:
            return self._info(place)["type"] == "file"
        except FileNotFoundError:
            return False

    def _info(self, place: str) -> dict[str, Any]:
        """What the file system says of a remote file."""
        system = self._file_system()
        return retries.with_retries(place, lambda: system.info(place), self.patience_seconds)

    def names(self) -> list[str]:
        """Names of all files and folders directly in this folder, however many; empty where there is no such folder.

        Raises:
            OSError: the folder cannot be listed.
        """
        if self.access:
            self.access.check(self.root)
        if isinstance(self.root, Path):
            return sorted(entry.name for entry in self.root.iterdir()) if self.root.is_dir() else []
        system = self._file_system()
        system.invalidate_cache()
        url = f"{self.root}/"
        try:
            entries = retries.with_retries(str(self.root), lambda: system.ls(url, detail=False), self.patience_seconds)
        except FileNotFoundError:
            return []
        own = self.root.rpartition("://")[2].strip("/")
        paths = {str(entry).partition("?")[0].rstrip("/") for entry in entries}
        return sorted({path.rpartition("/")[2] for path in paths if path.rpartition("://")[2].strip("/") != own})

    def file_system(self) -> tuple[Any, str]:
        """fsspec's file system of the folder, and the folder's path in it, for writing.

        Raises:
            DatasetError: it needs another package, or is no URL.
            OSError: there are no credentials.
        """
        if isinstance(self.root, Path):
            return fsspec.filesystem("file"), str(self.root.resolve())
        system = self._file_system()
        return system, str(system._strip_protocol(self.root))

    def _file_system(self) -> Any:
        with as_os_errors(str(self.root)):
            return self._new_file_system()

    def _new_file_system(self) -> Any:
        url = str(self.root)
        try:
            if self.access:
                return self.access.file_system(url)
            return file_system(url)
        except ImportError as error:
            scheme = url.partition("://")[0]
            extra = f"memicos-dataset[{EXTRAS[scheme]}]" if scheme in EXTRAS else None
            remedy = f"; install it: pip install '{extra}'" if extra else ""
            raise DatasetError(url, f"URLs of this scheme need another package ({error}){remedy}") from error
        except ValueError as error:
            raise DatasetError(url, f"is no URL that can be read ({error})") from error


Location = Folder | Path | str
"""A folder, its path or its URL."""
