"""Backup, restore and reset of a database by `memicos db`; two servers that migrate one database at once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from alembic.command import downgrade as run_downgrade
from memicos_testing.servers import Start, free_port
from memicos_webapp.database import backup
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import config
from memicos_webapp.datasets.service import load
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

DEMO = Path(__file__).parents[4] / "demo" / "dataset"


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    """A database without tables."""
    name = f"empty_{os.urandom(4).hex()}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        yield server_url.replace("/postgres?", f"/{name}?")
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def downgrade(url: str, revision: str) -> None:
    """The database as an older memicos left it."""

    def run(connection: Connection) -> None:
        settings = config()
        settings.attributes["connection"] = connection
        run_downgrade(settings, revision)

    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


async def memicos_db(url: str, *arguments: str, response: str = "", **environment: str) -> tuple[int | None, str, str]:
    """Run `memicos db …`; return exit status, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from memicos_cli.main import app; app()", "db", *arguments,
        env={**os.environ, "DATABASE_URL": url, **environment},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate(response.encode())
    return process.returncode, output.decode(), errors.decode()


async def fetch(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_backup_restores_where_an_administrator_created_the_extension(
    fresh_url: str, empty_url: str, tmp_path: Path
) -> None:
    file, role = tmp_path / "demo.dump", f"owner_{os.urandom(4).hex()}"
    await asyncio.to_thread(backup.backup, fresh_url, file)
    administrator = await asyncpg.connect(empty_url)
    try:
        await administrator.execute(f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}")
        await administrator.execute("CREATE EXTENSION vector")
        url = make_url(empty_url).set(username=role).render_as_string()
        await asyncio.to_thread(backup.restore, url, file)
        assert await fetch(url, "SELECT count(*) FROM explanation") == 0
    finally:
        await administrator.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await administrator.close()


@pytest.mark.slow
async def test_a_backup_of_the_demo_restores_into_a_new_database_and_serves(
    fresh_url: str, empty_url: str, started: Start, tmp_path: Path
) -> None:
    await load(DEMO, fresh_url)
    file = tmp_path / "demo.dump"
    status, output, errors = await memicos_db(fresh_url, "backup", str(file))
    assert (status, output) == (0, f"The database is written to {file}\n"), errors
    status, output, errors = await memicos_db(empty_url, "restore", str(file))
    assert (status, output) == (0, f"{file} is restored\n"), errors
    path = "/api/feature/smollm2-135m-it/15-res-4k/2477"
    bodies = []
    for url in (fresh_url, empty_url):
        async with started(url) as client:
            page = await client.get(path.removeprefix("/api/feature"))
            assert page.status_code == 200 and "Top activations" in page.text
            bodies.append((await client.get(path)).json())
            response = await client.post("/api/explanation/search-all", json={"query": "numbers", "byMeaning": False})
            bodies.append(response.json()["results"])
    assert bodies[:2] == bodies[2:] and bodies[0]["activations"] and bodies[1]


async def test_a_backup_is_restored_as_a_whole_or_not_at_all(
    own_url: str, empty_url: str, fresh_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "small.dump"
    await asyncio.to_thread(backup.backup, own_url, file)
    assert not file.with_name("small.dump.part").exists() and file.stat().st_mode & 0o777 == 0o600
    # refused: an existing file, a database with tables, an incomplete file, a file of another kind
    damaged, text = tmp_path / "damaged.dump", tmp_path / "text.dump"
    damaged.write_bytes(file.read_bytes()[:-5000])
    text.write_text("CREATE TABLE account ();\n")
    refusals = [
        (backup.backup, own_url, file, "exists already"),
        (backup.backup, own_url, tmp_path / "nowhere" / "a", "does not exist or is not writable"),
        (backup.restore, fresh_url, file, "the database has .* tables.*memicos db reset --empty"),
        (backup.restore, empty_url, tmp_path / "none.dump", "there is no file"),
        (backup.restore, empty_url, text, "is no backup"),
        (backup.restore, empty_url, damaged, "is no backup|pg_restore failed"),
    ]
    for function, url, path, message in refusals:
        with pytest.raises(DatabaseError, match=message):
            await asyncio.to_thread(function, url, path)
        assert await fetch(empty_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await asyncio.to_thread(backup.restore, empty_url, file)
    for table in ("feature", "context", "explanation", "account"):
        count = f"SELECT count(*) FROM {table}"  # noqa: S608 (constants)
        assert await fetch(empty_url, count) == await fetch(own_url, count) != 0


async def test_a_backup_of_a_newer_memicos_is_refused_and_one_of_an_older_is_migrated(
    own_url: str, empty_url: str, tmp_path: Path
) -> None:
    newer = tmp_path / "newer.dump"
    newest = await fetch(own_url, "SELECT version_num FROM alembic_version")
    await fetch(own_url, "UPDATE alembic_version SET version_num = '9999'")
    await asyncio.to_thread(backup.backup, own_url, newer)
    await fetch(own_url, f"UPDATE alembic_version SET version_num = '{newest}'")  # noqa: S608 (read from the database)
    with pytest.raises(DatabaseError, match=r"was migrated by a newer memicos.*revision 9999"):
        await asyncio.to_thread(backup.restore, empty_url, newer)
    await downgrade(own_url, "0007")
    older = tmp_path / "older.dump"
    await asyncio.to_thread(backup.backup, own_url, older)
    await asyncio.to_thread(backup.restore, empty_url, older)
    assert await fetch(empty_url, "SELECT count(*) FROM session") == 0


async def test_a_reset_asks_first_and_leaves_empty_tables(own_url: str) -> None:
    status, _, errors = await memicos_db(own_url, "reset", response="n\n")
    assert status == 1 and "Delete all data of postgresql" in errors
    assert await fetch(own_url, "SELECT count(*) FROM feature") != 0
    status, output, _ = await memicos_db(own_url, "reset", response="y\n")
    assert (status, output.strip()) == (0, "The database is empty")
    assert await fetch(own_url, "SELECT count(*) FROM feature") == 0
    assert (await memicos_db(own_url, "reset", "--yes", "--empty"))[0] == 0
    assert await fetch(own_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert (await memicos_db(own_url, "migrate"))[0] == 0
    assert await fetch(own_url, "SELECT count(*) FROM feature") == 0


async def test_a_database_in_use_is_not_reset(own_url: str, started: Start) -> None:
    async with started(own_url) as client:
        assert (await client.get("/health")).status_code == 200
        with pytest.raises(DatabaseError, match="in use by memicos-webapp"):
            await backup.reset(own_url)
    assert await fetch(own_url, "SELECT count(*) FROM feature") != 0


async def test_errors_of_the_commands_are_one_line_without_the_password(tmp_path: Path) -> None:
    url = "postgresql://owner:hunter2@127.0.0.1:1/d"
    for command in (["migrate"], ["backup", f"{tmp_path}/a"], ["reset", "--yes"]):
        status, output, errors = await memicos_db(url, *command)
        assert status == 1 and not output and errors.count("\n") == 1 and "hunter2" not in errors
        assert errors.startswith(f"db {command[0]}: ") and "127.0.0.1" in errors
    refused_reset = await memicos_db(url, "reset", response="n\n")
    assert (
        "hunter2" not in refused_reset[2] and "owner:***@" in refused_reset[2]
    ) or "owner@127.0.0.1" in refused_reset[2]


def test_files_that_cannot_be_looked_up_are_named(tmp_path: Path) -> None:
    url = "postgresql://owner@127.0.0.1:1/d"
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in (("x" * 990, "File name too long"), ("loop/x", "does not exist or is not writable")):
        with pytest.raises(DatabaseError, match=reason):
            backup.backup(url, tmp_path / name)
    for name, reason in (("x" * 990, "File name too long"), ("loop", "there is no file")):
        with pytest.raises(DatabaseError, match=reason):
            backup.restore(url, tmp_path / name)


async def test_without_postgresqls_programs_a_backup_says_what_to_install(
    own_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "program_folder", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatabaseError, match=r"no pg_dump here.*postgresql-client"):
        await asyncio.to_thread(backup.backup, own_url, tmp_path / "a.dump")


async def test_programs_older_than_the_server_are_named(
    own_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'pg_dump: error: aborting because of server version mismatch' >&2\n"
        "echo 'pg_dump: detail: server version: 18.1; pg_dump version: 15.4' >&2\n"
        "exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(backup, "program_folder", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatabaseError, match=r"server version: 18.1; pg_dump version: 15.4\). Install"):
        await asyncio.to_thread(backup.backup, own_url, tmp_path / "a.dump")


async def healthy(port: int, process: asyncio.subprocess.Process) -> bool:
    async with httpx.AsyncClient() as client, asyncio.timeout(120):
        while process.returncode is None:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    return False


async def test_two_servers_that_start_together_migrate_once(empty_url: str) -> None:
    ports = (free_port(), free_port())
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "memicos_webapp",
            env={**os.environ, "DATABASE_URL": empty_url, "MEMICOS_PORT": str(port), "MEMICOS_LOG_REQUESTS": "0"},
            stderr=asyncio.subprocess.PIPE,
        )
        for port in ports
    ]  # fmt: skip
    try:
        states = await asyncio.gather(*map(healthy, ports, processes))
        assert states == [True, True]
    finally:
        for process in processes:
            process.terminate()
        logs = [(await process.communicate())[1].decode() for process in processes]
    assert "".join(logs).count("migrating the database from revision none") == 1
    assert await fetch(empty_url, "SELECT count(*) FROM alembic_version") == 1
    assert await fetch(empty_url, "SELECT count(*) FROM account") == 1


async def test_a_server_older_than_its_database_refuses_in_one_line(fresh_url: str) -> None:
    await fetch(fresh_url, "UPDATE alembic_version SET version_num = '9999'")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memicos_webapp", stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "DATABASE_URL": fresh_url, "MEMICOS_PORT": str(free_port())},
    )  # fmt: skip
    _, errors = await process.communicate()
    lines = errors.decode().splitlines()
    assert process.returncode == 1 and len(lines) == 1
    assert lines[0].startswith("webapp: the database was migrated by a newer memicos (revision 9999")
    assert "memicos db restore" in lines[0] and "git pull" in lines[0]
