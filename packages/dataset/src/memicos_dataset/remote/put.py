"""Files into a folder at a URL.

Files that are there already, with the same size and checksum, are not sent again, so that the same call goes on after
an interruption at any moment. Files that say that a dataset is complete are sent last, and where a complete one is
replaced, they are deleted first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.remote.checksums import METADATA_KEY, LocalFile, agrees
from memicos_dataset.remote.errors import UnavailableError
from memicos_dataset.remote.retries import with_retries
from memicos_dataset.wording import quantity

PARALLEL = 8
"""Files that are sent at the same time."""
PATIENCE_SECONDS = 300.0
"""How long a request is repeated while the server does not answer."""

_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs"}
"""File systems in which a folder needs not be made; to make one would make a bucket."""
_NOT_WRITTEN = {"http", "https"}


@dataclass(frozen=True)
class PutOptions:
    parallel: int = PARALLEL
    patience_seconds: float = PATIENCE_SECONDS
    replace: bool = False
    """Whether another complete dataset that is there is replaced."""


@dataclass(frozen=True)
class Sent:
    """Bytes of a dataset that its target has, of those that it is to have."""

    done: int
    total: int


ReportSent = Callable[[Sent], object]


class Target:
    """A folder at a URL, or a local one, that files are put into, and how."""

    def __init__(self, folder: Folder, options: PutOptions) -> None:
        self.folder, self.options = folder, options
        self._system, self._root = folder.file_system()
        protocols = (self._system.protocol,) if isinstance(self._system.protocol, str) else self._system.protocol
        self._has_metadata = "s3" in protocols
        self._has_folders = not _WITHOUT_FOLDERS.intersection(protocols)
        if _NOT_WRITTEN.intersection(protocols):
            raise DatasetError(folder.root, "cannot be written; give s3://bucket/prefix, gs://… or a local folder")

    def listing(self) -> dict[str, dict[str, Any]]:
        """What the folder has: relative paths of files, with size and what else the file system says of them.

        Raises:
            OSError: it cannot be listed.
        """

        def find() -> dict[str, Any]:
            self._system.invalidate_cache()
            try:
                return self._system.find(self._root, detail=True)
            except FileNotFoundError:
                return {}

        root = self._root.rstrip("/") + "/"
        return {name.removeprefix(root): info for name, info in self._repeated(str(self.folder), find).items()}

    def check_readable(self) -> None:
        """Raises OSError where the folder cannot be listed, as without credentials."""

        def list_top() -> None:
            try:
                self._system.ls(self._root, detail=False)
            except FileNotFoundError:
                # is made when files are put
                return

        self._repeated(self._root, list_top)

    def lacking(self, files: Sequence[LocalFile], listed: dict[str, dict[str, Any]]) -> list[LocalFile]:
        """Those of the files that are not there with the same content."""

        def is_there(file: LocalFile) -> bool:
            info = listed.get(file.path)
            place = self._place(file.path)
            return info is not None and self._repeated(place, lambda: agrees(self._system, place, info, file))

        found = dict(self._each(files, is_there))
        return [file for file in files if not found[file]]

    def put(self, files: Sequence[LocalFile], done: Callable[[LocalFile], object]) -> None:
        """Put files, `parallel` at a time.

        Raises:
            OSError: one cannot be put; others may have been.
        """
        for file, _ in self._each(files, self._put):
            done(file)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files. Raises OSError where one cannot be deleted."""

        def remove(path: str) -> None:
            place = self._place(path)

            def call() -> None:
                try:
                    self._system.rm_file(place)
                except FileNotFoundError:
                    # deleted by a call whose answer did not arrive
                    return

            self._repeated(place, call)

        for _ in self._each(paths, remove):
            pass

    def _put(self, file: LocalFile) -> None:
        place = self._place(file.path)
        options: dict[str, Any] = {"Metadata": {METADATA_KEY: file.sha256}} if self._has_metadata else {}

        def call() -> None:
            try:
                if self._has_folders:
                    self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
                self._system.put_file(str(file.file), place, **options)
            except FileNotFoundError as error:
                raise OSError(f"{self._url(place)} cannot be written: {error}") from error
            except NotImplementedError as error:
                raise DatasetError(self.folder.root, "its file system cannot be written") from error

        self._repeated(place, call)

    def _place(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _repeated(self, place: str, call: Callable[[], Any]) -> Any:
        try:
            return with_retries(self._url(place), call, self.options.patience_seconds)
        except UnavailableError as error:
            raise UnavailableError(f"{error} The same command goes on where it was.") from error

    def _url(self, place: str) -> str:
        return place if "://" in place else str(self._system.unstrip_protocol(place))

    def _each(self, items: Iterable[Any], call: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
        """Each item with the result of its call, as they end; the first error ends the others that wait."""
        with ThreadPoolExecutor(self.options.parallel, thread_name_prefix="put") as pool:
            futures: dict[Future[Any], Any] = {pool.submit(call, item): item for item in items}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def put_dataset(
    target: Target,
    files: Sequence[LocalFile],
    last: Sequence[LocalFile],
    is_part: Callable[[str], bool],
    report: ReportSent,
) -> int:
    """Put a dataset into a folder, verify it, and return the number of files that were sent.

    Args:
        files: its files, of which the first is sent before, and the others after it, in any order.
        last: files that say that the dataset is complete; they are sent one after another, after all others.
        is_part: whether a path in the folder belongs to a dataset; such files that the new one lacks are deleted.

    Raises:
        DatasetError: another complete dataset is there and is not to be replaced, or the files differ after they were
            sent.
        OSError: the folder cannot be read or written.
    """
    listed = target.listing()
    lacking, lacking_last = target.lacking(files, listed), target.lacking(last, listed)
    wanted = {file.path for file in (*files, *last)}
    stale = [path for path in listed if is_part(path) and path not in wanted]
    present = [file for file in last if file.path in listed]
    differing = [file for file in lacking_last if file.path in listed]
    if stale or (present and (lacking or differing)):
        if not target.options.replace:
            raise DatasetError(target.folder.root, "has another dataset; name another place, or give --replace")
        target.delete([file.path for file in present])
        lacking_last = list(last)
        target.delete(stale)
    total = sum(file.bytes for file in (*files, *last))
    progress = _Progress(total, total - sum(file.bytes for file in (*lacking, *lacking_last)), report)
    head = [file for file in lacking if file is files[0]]
    target.put(head, progress.add)
    target.put([file for file in lacking if file is not files[0]], progress.add)
    for file in lacking_last:
        target.put([file], progress.add)
    _verify(target, [*files, *last], is_part)
    return len(lacking) + len(lacking_last)


def _verify(target: Target, files: Sequence[LocalFile], is_part: Callable[[str], bool]) -> None:
    listed = target.listing()
    wrong = [file.path for file in target.lacking(files, listed)]
    wrong += sorted({path for path in listed if is_part(path)} - {file.path for file in files})
    if wrong:
        raise DatasetError(
            target.folder.root,
            f"differs from what was sent, in {quantity(len(wrong), 'file')} ({', '.join(wrong[:3])}): another program "
            "writes there too; run the same command again",
        )


class _Progress:
    def __init__(self, total: int, done: int, report: ReportSent) -> None:
        self._total, self._done, self._report = total, done, report
        report(Sent(done, total))

    def add(self, file: LocalFile) -> None:
        self._done += file.bytes
        self._report(Sent(self._done, self._total))
