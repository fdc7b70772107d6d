"""MEMICOS_READ_ONLY: a server whose database role may only SELECT, with a remote inference host; it writes nothing."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, free_port, running
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.html_page import Page
from memicos_testing.webapp.owner_probes import owner_probes
from memicos_webapp.accounts import service
from memicos_webapp.database.engine import Database
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import prepare
from memicos_webapp.settings import Settings
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

FEATURE = {"modelId": "small", "layer": "1-res", "index": 5}
WRITES = (
    ("POST", "/api/explanation/1/label", {"chosen": False}),
    ("POST", "/api/explanation/1/delete", {}),
    ("POST", "/api/explanation/generate", FEATURE),
    ("POST", "/api/explanation/score", {"explanationId": 1}),
    ("POST", "/api/explanation/score/1/delete", {}),
    ("POST", "/api/admin/inference-hosts", {"name": "second", "url": "http://127.0.0.1:9"}),
    ("POST", "/account/sign-in", None),
    ("POST", "/account/provider-keys", None),
    ("POST", "/account/provider-keys/1/delete", None),
    ("POST", "/api/dataset-upload/new", {"name": "mine", "files": [{"path": "a", "bytes": 1, "sha256": "0" * 64}]}),
    ("POST", "/api/dataset-upload/complete", {"uploadId": "0" * 32}),
    ("POST", "/api/dataset-upload/delete", {"uploadId": "0" * 32}),
    ("PUT", f"/api/dataset-upload/part/{'0' * 32}/0/0", {}),
)
"""Besides those of the owner's pages and API of data, in `owner_probes`."""
DATA_READS = ("/account/data", "/account/data/jobs/1", "/account/data/jobs/events", "/api/admin/data",
              "/api/admin/data/available", "/api/admin/jobs", "/api/admin/jobs/1")  # fmt: skip
"""What the owner of the server reads also on a read-only one."""


def as_role(url: str, role: str) -> str:
    return make_url(url).set(username=role).render_as_string()


@pytest.fixture
async def reader_url(own_url: str) -> AsyncIterator[str]:
    """The small dataset's database, by a role that may only SELECT."""
    role = f"reader_{os.urandom(4).hex()}"
    connection = await asyncpg.connect(own_url)
    try:
        await connection.execute(f"CREATE ROLE {role} LOGIN")
        await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        yield as_role(own_url, role)
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    finally:
        await connection.close()


async def contents(url: str) -> dict[str, str]:
    """A digest of every table's rows."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {
            table: await connection.fetchval(
                f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{table}\" AS t"  # noqa: S608
            )
            for (table,) in rows
        }
    finally:
        await connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_everything_that_reads_works_and_every_write_is_refused(
    started: Start, own_url: str, reader_url: str, inference: FakeInferenceServer, host: str
) -> None:
    before = await contents(own_url)
    # often enough that background work would write now
    often = dict.fromkeys(["embed_every_seconds", "cleanup_every_seconds", "inference_poll_seconds"], 0.05)
    settings: dict[str, Any] = {"read_only": True, "host": host, **often}
    async with started(reader_url, **settings) as client:
        for path in ("/", "/small", "/small/1-res", "/small/1-res/5", "/search-explanations?q=whale", "/small/steer",
                     "/search?q=the+whale", "/jump?to=5", "/account", "/account/sign-in", "/api-doc"):  # fmt: skip
            page_response = await client.get(path)
            assert page_response.status_code == 200, (path, page_response.text)
            assert [label for _, label in Page(page_response.text).find("a", href="/account")][:1] == ["Read-only"]
        page = Page((await client.get("/small/1-res/5")).text)
        assert page.find("p", id="write-problem") and not page.find("form", id="explain")
        tested = await client.post("/api/activation/new", json={"feature": FEATURE, "customText": "the whale"})
        assert tested.status_code == 200 and inference.seen
        body = {"modelId": "small", "features": [{**FEATURE, "strength": 1}], "n_tokens": 2, "prompt": "Once"}
        assert (await client.post("/api/steer", json=body)).status_code == 200
        response = await client.post("/api/explanation/search-all", json={"query": "whale"})
        assert response.status_code == 200 and response.json()["results"]
        assert (await client.get("/health")).json()["embedder"]["state"] == "disabled"
        for method, path, json in WRITES:
            form = {"token": "x"} if json is None else None
            refused = await client.request(method, path, json=json, data=form, headers={"Origin": "http://localhost"})
            assert refused.status_code == 403 and "read-only" in refused.text, path
        for (method, _), probe in owner_probes("/srv", permitted=True).items():
            response = await client.request(method, probe.path, json=probe.body, data=probe.form)
            if method != "GET":
                assert response.status_code == 403 and "read-only" in response.text, probe.path
            elif host == "0.0.0.0":
                assert response.status_code == 403, probe.path
        if host == "127.0.0.1":
            for path in DATA_READS:
                assert (await client.get(path)).status_code == 200, path
        n_checks = len(inference.checks)
        async with asyncio.timeout(20):
            while len(inference.checks) < n_checks + 6:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert await contents(own_url) == before


async def test_a_session_has_no_effect_on_a_read_only_server(started: Start, own_url: str, reader_url: str) -> None:
    settings = make_settings(own_url)
    database = Database(own_url, settings)
    _, key = await service.create_api_key(database, settings, 1, "a key", ["admin"], None)
    await database.close()
    async with started(reader_url, read_only=True, host="0.0.0.0") as client:
        headers = {"X-Api-Key": key, "Cookie": "memicos_session=x"}
        assert (await client.get("/small/1-res/5", headers=headers)).status_code == 200
        assert (await client.get("/api/admin/inference-hosts", headers=headers)).status_code == 403


async def test_a_write_that_no_route_refuses_fails_in_the_database(own_url: str) -> None:
    """With a role that may write, too."""
    settings = Settings(_env_file=None, database_url=own_url, read_only=True)  # pyright: ignore[reportCallIssue]
    database = Database(own_url, settings)
    try:
        with pytest.raises(DBAPIError, match="read-only transaction"):
            async with database.transaction() as session:
                await session.execute(text("UPDATE explanation SET chosen_as_label = false"))
    finally:
        await database.close()


async def test_a_role_that_may_only_read_gets_403_also_without_the_setting(
    app_of_reader: httpx.AsyncClient,
) -> None:
    response = await app_of_reader.post("/api/explanation/1/label", json={"chosen": False})
    assert response.status_code == 403 and "is read-only" in response.json()["error"]


@pytest.fixture
async def app_of_reader(started: Start, own_url: str, reader_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The server may write but its role may not: the right is revoked while the server runs."""
    async with started(own_url, cleanup_every_seconds=0, inference_poll_seconds=0) as client:
        app = client._transport.app  # pyright: ignore[reportAttributeAccessIssue]
        await app.state.database.close()
        app.state.database = Database(reader_url, app.state.settings)
        yield client


async def test_a_database_of_another_revision_is_refused(own_url: str, reader_url: str, server_url: str) -> None:
    await prepare(reader_url, read_only=True)
    connection = await asyncpg.connect(own_url)
    try:
        for revision, message in (("0003", "at revision 0003.*memicos db migrate"), ("9999", "by a newer memicos")):
            await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
            with pytest.raises(DatabaseError, match=message):
                await prepare(reader_url, read_only=True)
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"
    finally:
        await connection.close()
    with pytest.raises(DatabaseError, match="at revision none"):
        await prepare(server_url.replace("/postgres?", "/template1?"), read_only=True)


async def test_the_program_serves_a_remote_database_and_a_remote_host(own_url: str, reader_url: str) -> None:
    """As `MEMICOS_READ_ONLY=1 DATABASE_URL=… INFERENCE_URL=…` on another machine; changing commands are refused."""
    before, port, double = await contents(own_url), free_port(), FakeInferenceServer(secret="between us")
    async with running(double.app()) as inference_url:
        environment = {
            **os.environ,
            "DATABASE_URL": reader_url,
            "MEMICOS_READ_ONLY": "1",
            "MEMICOS_HOST": "0.0.0.0",
            "MEMICOS_PORT": str(port),
            "INFERENCE_URL": inference_url.replace("127.0.0.1", socket.gethostbyname("localhost")),
            "INFERENCE_SECRET": "between us",
        }
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "memicos_webapp", env=environment)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, asyncio.timeout(90):
                while True:
                    try:
                        response = await client.get("/small/1-res/5")
                        break
                    except httpx.ConnectError:
                        assert process.returncode is None
                        await asyncio.sleep(0.1)
                assert response.status_code == 200
                tested = await client.post("/api/activation/new", json={"feature": FEATURE, "customText": "the whale"})
                assert tested.status_code == 200 and double.seen
        finally:
            process.terminate()
            await process.wait()
        for command in (["import", "demo/dataset"], ["db", "migrate"], ["db", "reset", "--yes"], ["owner-link"]):
            program = [sys.executable, "-c", "from memicos_cli.main import app; app()", *command]
            refused = await asyncio.create_subprocess_exec(*program, env=environment, stderr=asyncio.subprocess.PIPE)
            _, errors = await refused.communicate()
            assert refused.returncode == 1 and errors.decode().count("\n") == 1 and b"MEMICOS_READ_ONLY" in errors
    assert await contents(own_url) == before
