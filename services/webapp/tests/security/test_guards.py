"""Guards of the webapp: other sites, host names, large bodies, writing beyond loopback, start-up errors."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter
from memicos_service.server import is_loopback
from memicos_testing.servers import free_port
from memicos_webapp.app import create_app
from memicos_webapp.database.connection import parse_url
from memicos_webapp.database.embedded import check_version
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.security.authorisation import WriteAccess
from memicos_webapp.security.body_pace import BodyPace
from memicos_webapp.settings import Settings
from pydantic import BaseModel, ValidationError


class Body(BaseModel):
    number: int


def client_of(**changes: object) -> httpx.AsyncClient:
    """A client of an application with one route that writes; it needs no database."""
    router = APIRouter()

    @router.post("/api/write")
    async def write(body: Body, _: WriteAccess) -> Body:
        return body

    @router.post("/api/fail")
    async def fail() -> None:
        raise RuntimeError("a secret detail")

    app = create_app(Settings(_env_file=None, **changes))  # pyright: ignore[reportCallIssue, reportArgumentType]
    app.router.routes.insert(0, router.routes[1])
    app.router.routes.insert(0, router.routes[0])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:3000")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://localhost:4000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
    ],
)
async def test_changes_asked_for_by_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    async with client_of() as client:
        response = await client.post("/api/write", json={"number": 1}, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({}, "127.0.0.1:3000", 200),
        ({}, "LOCALHOST", 200),
        ({}, "[::1]:3000", 200),
        ({}, "memicos.example", 403),
        ({}, "", 403),
        ({}, "localhost.evil.example", 403),
        ({"allowed_hosts": "memicos.example, other.example"}, "Memicos.Example:8080", 200),
        ({"allowed_hosts": "memicos.example"}, "localhost.memicos.example", 403),
        # the health check of a container
        ({"host": "0.0.0.0", "allowed_hosts": "memicos.example"}, "127.0.0.1:3000", 200),
        ({"host": "0.0.0.0"}, "memicos.example", 200),
        ({"host": "0.0.0.0", "allowed_hosts": "memicos.example"}, "10.0.0.1", 403),
    ],
)
async def test_only_allowed_host_names_get_a_response(settings: dict[str, object], host: str, status: int) -> None:
    async with client_of(**settings) as client:
        response = await client.get("/api/openapi.json", headers={"Host": host})
    assert response.status_code == status
    if status == 403:
        assert "add it to MEMICOS_ALLOWED_HOSTS" in response.json()["error"]


async def test_writes_without_credentials_are_refused_beyond_loopback() -> None:
    async with client_of(host="0.0.0.0") as client:
        response = await client.post("/api/write", json={"number": 1})
    assert response.status_code == 403 and "memicos owner-link" in response.json()["error"]


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True),
                                                ("0.0.0.0", False), ("::", False), ("example.org", False)])  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"{", 400, "The body is not valid JSON"),
        (b'{"number": "x"}', 422, "number must be a whole number."),
        (b"{}", 422, "number is missing."),
        (b'{"number": 1' + b" " * 2000 + b"}", 413, "The body has"),
    ],
)
async def test_bad_bodies(content: bytes, status: int, message: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    headers = {"Content-Type": "application/json"}
    async with client_of(body_bytes=1000) as client:
        for body in (content, chunks()):
            response = await client.post("/api/write", content=body, headers=headers)
            assert response.status_code == status and message in response.json()["error"]


def from_address(client: httpx.AsyncClient, address: str) -> httpx.AsyncClient:
    """A client of the same application with another address."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(transport.app, client=(address, 1)), base_url="http://localhost:3000"
    )


async def seconds_of_posts(client: httpx.AsyncClient, size: int, number: int) -> float:
    """Seconds until as many bodies of this size are refused, one after another."""
    start = time.perf_counter()
    for _ in range(number):
        response = await client.post("/api/write", content=b" " * size, headers={"Content-Type": "application/json"})
        assert response.status_code == 400
    return time.perf_counter() - start


async def test_the_bodies_of_one_visitor_are_read_at_a_limited_pace() -> None:
    async with client_of(body_bytes=10_000, body_bytes_per_second=20_000) as client:
        first, other = from_address(client, "127.1.0.1"), from_address(client, "127.1.0.2")
        # the first request builds the application
        await seconds_of_posts(client, 1, 1)
        # beyond the burst of 10,000 bytes, others wait at 20,000 a second
        assert await seconds_of_posts(first, 10_000, 1) < 0.4
        waiting = asyncio.create_task(seconds_of_posts(first, 10_000, 3))
        await asyncio.sleep(0.1)
        assert await seconds_of_posts(other, 10_000, 1) < 0.4
        assert await waiting >= 1.3


def test_a_visitor_that_pauses_has_the_whole_allowance_again() -> None:
    pace = BodyPace(bytes_per_second=100, burst=200)
    assert pace.delay("a", 200, now=10) == 0
    assert pace.delay("a", 100, now=10) == 1
    assert pace.delay("b", 200, now=10) == 0
    assert pace.delay("a", 100, now=12.5) == 0
    # after a pause as long as it likes, no more than the burst
    assert pace.delay("a", 250, now=100) == 0.5


async def test_an_unexpected_error_reveals_no_details() -> None:
    async with client_of() as client:
        response = await client.post("/api/fail")
    assert response.status_code == 500 and "secret" not in response.text and response.json()["error"]
    assert "frame-ancestors 'self'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"


LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FRAME = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
IMAGE = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
FEATURE, EMBEDDED = "/small/1-res/5", "/small/1-res/5?embed=true"


@pytest.mark.parametrize(
    ("path", "headers", "refused"),
    [
        (FEATURE, LINK, False),
        (FEATURE, FRAME, True),
        (FEATURE, IMAGE, True),
        (EMBEDDED, LINK, False),
        (EMBEDDED, FRAME, False),
        (EMBEDDED, IMAGE, True),
        ("/small/1-res?embed=true", FRAME, True),
        ("/account?embed=true", FRAME, True),
        ("/account/api-keys/5?embed=true", FRAME, True),
        ("/small/1-vectors-resid-post/5?embed=true", FRAME, True),
        ("/search-explanations?q=whale", LINK, False),
        ("/search-explanations?q=whale", IMAGE, True),
        ("/search-explanations?q=whale", FRAME, True),
        ("/search-explanations?q=whale&embed=true", FRAME, False),
        ("/search?q=whale&embed=true", FRAME, True),
        # these run the model
        ("/search/results?q=whale", LINK, True),
        ("/search/results?q=whale", IMAGE, True),
        ("/search-topk-by-token/results?q=whale", LINK, True),
    ],
)
async def test_other_sites_may_link_to_pages_and_frame_some(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], refused: bool
) -> None:
    for site, is_refused in (("cross-site", refused), ("same-site", refused), ("same-origin", False), ("none", False)):
        response = await client.get(path, headers={**headers, "Sec-Fetch-Site": site})
        assert (response.status_code == 403) is is_refused, (site, response.text)


@pytest.mark.parametrize(
    ("path", "ancestors"),
    [
        (EMBEDDED, "*"),
        (FEATURE, "'self'"),
        ("/small/1-res?embed=true", "'self'"),
        ("/?embed=true", "'self'"),
        ("/search-explanations?embed=true", "*"),
        ("/search?embed=true", "'self'"),
        ("/account/keys/5?embed=true", "'self'"),
        ("/api/feature/5?embed=true", "'self'"),
        ("/static/js/5?embed=true", "'self'"),
        ("/small/1-vectors-resid-post/5?embed=true", "'self'"),
    ],
)
async def test_only_pages_that_are_made_for_it_may_be_framed(
    client: httpx.AsyncClient, path: str, ancestors: str
) -> None:
    response = await client.get(path)
    assert response.headers["content-security-policy"].endswith(f"frame-ancestors {ancestors}")
    if not response.headers["content-type"].startswith("text/html"):
        return
    # navigation is left out where the page is in a frame
    assert ('aria-label="Sections"' in response.text) is (ancestors == "'self'")


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMICOS_PORT", "70000")
    with pytest.raises(ValidationError, match="port"):
        Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_a_data_folder_of_another_version_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    check_version(folder, 18)
    (folder / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseError, match=f"made by PostgreSQL 16.*mv {folder} {folder}-16"):
        check_version(folder, 18)


def test_an_address_that_is_no_postgresql_is_not_repeated() -> None:
    assert parse_url("postgres://u:p@h/d").drivername == "postgresql"
    with pytest.raises(DatabaseError) as caught:
        parse_url("mysql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(DatabaseError, match="write %40") as caught:
        parse_url("postgresql://u:pass@hunter2@127.0.0.1:5432/d")
    assert "hunter2" not in str(caught.value)
    assert parse_url("postgresql://u:pass%40hunter2@127.0.0.1:5432/d").password == "pass@hunter2"


async def start(**environment: str) -> tuple[int | None, list[str]]:
    """Exit status and standard error of a webapp that cannot start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memicos_webapp", env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    return process.returncode, errors.decode().splitlines()


async def test_an_error_that_prevents_the_start_is_one_line() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        in_use, bad, unreachable = await asyncio.gather(
            start(MEMICOS_PORT=port),
            start(MEMICOS_PORT="x"),
            start(MEMICOS_PORT=str(free_port()), DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/d"),
        )
    assert in_use[0] == 1 and len(in_use[1]) == 1
    assert in_use[1][0].startswith(f"webapp: cannot listen on 127.0.0.1:{port}: it is held by process {os.getpid()} (")
    assert in_use[1][0].endswith("). Set MEMICOS_PORT or MEMICOS_HOST.")
    assert bad[0] == 1 and len(bad[1]) == 1 and bad[1][0].startswith("webapp: bad setting: MEMICOS_PORT: Input should")
    assert unreachable[0] == 1 and len(unreachable[1]) == 1 and "hunter2" not in unreachable[1][0]
    assert "Nothing accepts connections at 127.0.0.1:1" in unreachable[1][0]
