"""Start and stop a PostgreSQL server on a data folder, without a shell, for the user that owns the folder.

The server listens on one socket only, and takes connections of the user of this process only (peer authentication).
The socket is in the data folder, which has mode 0700, or where a socket cannot have that path, in a folder of mode 0700
with a random name below the machine's folder for temporary files.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from sqlalchemy import URL

from memicos_webapp.database.embedded.users import User, current_user
from memicos_webapp.database.errors import DatabaseError

SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_BYTES = 103
"""Longest path of a socket that every system takes: 107 bytes on Linux, 103 on macOS."""
ROLE = "postgres"
POLL_SECONDS = 0.05
RETRY_SECONDS = 10
"""How long a start is tried again while processes of a server that was killed still hold its memory or its lock."""
TEMPORARY = "memicos-postgres-"
"""Prefix of a socket's folder that is not the data folder."""
STOP_SECONDS = 60
"""How long a server may take to end its sessions and write its data before it is told to stop at once."""
RETRIED = ("pre-existing shared memory block", 'lock file "postmaster.pid"')
DISK_WORDS = ("No space left", "Disk quota exceeded")
"""Of a line that is the cause of errors after it."""
ERROR_WORDS = ("FATAL", "PANIC", "ERROR", "error:")


@dataclass(frozen=True)
class RunningServer:
    """A server that accepts connections on the socket in `socket_folder`."""

    pid: int
    socket_folder: Path

    @property
    def url(self) -> str:
        query = {"host": str(self.socket_folder)}
        url = URL.create("postgresql", username=ROLE, database="postgres", query=query).render_as_string()
        # PostgreSQL's own programs decode %20, and no plus sign
        return url.replace("+", "%20")


def find_running(folder: Path) -> RunningServer | None:
    """The server that runs on the data folder and accepts connections; None where there is none."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    # counted from the end: the second line is the data folder, whose name may have line breaks
    if len(lines) < 8 or lines[-1].strip() != "ready":
        return None
    # "." is the data folder
    server = RunningServer(int(lines[0]), folder / lines[-4])
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(server.socket_folder / SOCKET_NAME))
        except OSError:
            return None
    return server


def runs_as(user: User, programs: Path) -> bool:
    """Whether `user` may run the programs in the folder `programs`."""
    try:
        done = subprocess.run(
            [str(programs / "postgres"), "--version"], cwd="/", capture_output=True, check=False, **_account(user)
        )
    except PermissionError:
        return False
    return done.returncode == 0


def initialise(programs: Path, folder: Path, user: User) -> None:
    """Make a data folder. Killed at any moment, it leaves no folder of that name.

    Args:
        programs: PostgreSQL's folder `bin`.
        folder: must be missing or empty.
        user: owner of the new folder.

    Raises:
        DatabaseError: initdb failed; the message has the last error that it printed. Or it refuses the path.
        OSError: the folder cannot be made.
    """
    if "\n" in str(folder) or "\r" in str(folder):
        raise DatabaseError(
            f"no database can be made in {str(folder)!r}: initdb takes no line break in a path. Set MEMICOS_DATA"
        )
    unfinished = folder.with_name(f"{folder.name}.new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    user.own(unfinished)
    # the same rules of text in every environment: Unicode letters, sorted by code point
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    authentication = ("--auth-local=peer", "--auth-host=reject", f"--username={ROLE}")
    done = subprocess.run(
        [str(programs / "initdb"), "--pgdata", str(unfinished), *locale, *authentication],
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        **_account(user),
    )
    if done.returncode != 0:
        raise DatabaseError(f"no database can be made in {folder}: {_last_error(done.stderr) or done.returncode}")
    unfinished.rename(folder)


def start(
    programs: Path, folder: Path, user: User, socket_folder: Path | None = None, *, durable: bool = True
) -> tuple[RunningServer, subprocess.Popen[bytes]]:
    """Start a server on the data folder, and wait until it accepts connections, also while it recovers after a crash.

    Args:
        programs: PostgreSQL's folder `bin`.
        folder: a data folder that `initialise` made.
        user: owner of the folder.
        socket_folder: where a server that ended had its socket; None: choose a folder.
        durable: whether commits outlive a crash of the machine.

    Returns:
        The server, and its process, which is a child of this one.

    Raises:
        DatabaseError: it ended; the message has its last error.
        OSError: the folder cannot be used.
    """
    _write_authentication(folder, user)
    socket_folder = socket_folder or _socket_folder(folder, user)
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        log = folder / "log"
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab") as output:
            begin = output.tell()
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(folder), *_options(socket_folder, durable)],
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in a terminal is for memicos, which stops the server after its own work
                start_new_session=True,
                **_account(user),
            )
        try:
            while process.poll() is None:
                server = find_running(folder)
                if server is not None and server.pid == process.pid:
                    return server, process
                time.sleep(POLL_SECONDS)
        except BaseException:
            # Ctrl-C while the server starts
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        with log.open("rb") as text:
            text.seek(begin)
            output = text.read().decode(errors="replace")
        if time.monotonic() > deadline or not any(reason in output for reason in RETRIED):
            reason = _last_error(output) or f"exit status {process.returncode}"
            raise DatabaseError(f"the embedded PostgreSQL in {folder} does not start: {reason}")
        time.sleep(POLL_SECONDS)


def stop(server: RunningServer, process: subprocess.Popen[bytes] | None) -> None:
    """End the server's sessions and the server, and wait for it.

    Args:
        server: a running server.
        process: its process where it is a child of this one.
    """
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGINT)
        while is_running(server.pid, process):
            if time.monotonic() > deadline:
                os.kill(server.pid, signal.SIGQUIT)
            time.sleep(POLL_SECONDS)
    if server.socket_folder.name.startswith(TEMPORARY):
        server.socket_folder.rmdir()


def _socket_folder(folder: Path, user: User) -> Path:
    """The data folder where clients can name a socket in it, else a new folder that only `user` may enter."""
    if _can_hold_socket(folder):
        return folder
    _remove_socket_folder_of_killed_server(folder)
    temporary = Path(tempfile.gettempdir())
    parent = temporary if _can_hold_socket(temporary / f"{TEMPORARY}12345678") else Path("/tmp")
    socket_folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=parent))
    user.own(socket_folder)
    return socket_folder


def _can_hold_socket(folder: Path) -> bool:
    """Whether the path is short enough for a socket, and no list of hosts, which clients split at commas."""
    return len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_BYTES and "," not in str(folder)


def _remove_socket_folder_of_killed_server(folder: Path) -> None:
    file = folder / "postmaster.pid"
    lines = file.read_text().splitlines() if file.exists() else []
    for line in lines:
        if Path(line).name.startswith(TEMPORARY):
            shutil.rmtree(line, ignore_errors=True)


def _options(socket_folder: Path, durable: bool) -> list[str]:
    quoted = str(socket_folder).replace('"', '""')
    settings = {
        "listen_addresses": "",
        # relative to the data folder, in a list with commas and quotes
        "unix_socket_directories": "." if (socket_folder / "PG_VERSION").exists() else f'"{quoted}"',
        "unix_socket_permissions": "0700",
        "logging_collector": "off",
        "log_destination": "stderr",
    }
    if not durable:
        settings["fsync"] = "off"
    return [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]


def _write_authentication(folder: Path, user: User) -> None:
    """Let the user of this process connect, as any role, and nobody else. Also in folders that older versions made."""
    name = current_user().name.replace('"', '""')
    files = {
        "pg_hba.conf": "# written at every start\nlocal all all peer map=memicos\n",
        "pg_ident.conf": f'# written at every start\nmemicos "{name}" all\n',
    }
    for file_name, text in files.items():
        descriptor, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        user.own(Path(temporary))
        Path(temporary).replace(folder / file_name)


def _environment() -> dict[str, str]:
    """The environment of PostgreSQL's processes: none of memicos' secrets."""
    variables = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TZ") if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", **variables}


class _Account(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _account(user: User) -> _Account:
    """Arguments of subprocess that run a program as `user`."""
    return {} if user.is_current else {"user": user.uid, "group": user.gid, "extra_groups": []}


def _last_error(text: str) -> str:
    """The last line of a program's output that says that the disk is full, else that names an error, else its last
    line; empty where it has none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for words in (DISK_WORDS, ERROR_WORDS, ("",)):
        if named := [line for line in lines if any(word in line for word in words)]:
            return named[-1]
    return ""


def is_running(pid: int, process: subprocess.Popen[bytes] | None) -> bool:
    """Whether the process with this number runs.

    Args:
        pid: number of a process.
        process: a child of this process, which may be the one with this number. Only a child is seen to have ended
            before its parent knows.
    """
    if process is not None and process.pid == pid:
        return process.poll() is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
