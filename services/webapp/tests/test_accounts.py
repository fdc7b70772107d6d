"""The owner beyond loopback: one-time link, session, API keys and their scopes; what is stored and logged."""

import asyncio
import hashlib
import hmac
import logging
import os
import re
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from memicos_client import ChooseLabelRequest, Client, Unauthorized, choose_explanation_as_label
from memicos_testing.servers import Start
from memicos_testing.webapp.app_settings import SECRET_KEY, make_settings
from memicos_testing.webapp.html_page import Page
from memicos_webapp.accounts import service
from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.accounts.server_secret import server_secret
from memicos_webapp.accounts.view import browser_name
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import NotConfigured
from memicos_webapp.settings import Settings

LABEL = "/api/explanation/1/label"
CHOICE = {"chosen": False}
ORIGIN = {"Origin": "http://localhost"}
LINK = re.compile(r"http://localhost:3000/account/sign-in#(\S+)")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def memicos(url: str, *arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Exit status, standard output and standard error of `memicos …` on a database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from memicos_cli.main import app; app()", *arguments,
        env={**os.environ, "DATABASE_URL": url, "MEMICOS_SECRET_KEY": SECRET_KEY, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def database_at(url: str) -> AsyncIterator[tuple[Database, Settings]]:
    settings = make_settings(url)
    database = Database(url, settings)
    try:
        yield database, settings
    finally:
        await database.close()


async def new_link(url: str) -> str:
    """The token of a new one-time link, made by the function that `memicos owner-link` runs."""
    async with database_at(url) as (database, settings):
        link = LINK.fullmatch(await service.create_link(database, settings, OWNER_ID))
    assert link
    return link[1]


async def new_key(url: str, *scopes: Scope, days: float | None = None) -> str:
    async with database_at(url) as (database, settings):
        return (await service.create_api_key(database, settings, OWNER_ID, "a script", scopes or ["read"], days))[1]


@pytest.fixture
async def beyond(started: Start, own_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that is bound beyond loopback."""
    async with started(own_url, host="0.0.0.0") as client:
        yield client


async def sign_in(client: httpx.AsyncClient, url: str) -> httpx.Response:
    response = await client.post("/account/sign-in", data={"token": await new_link(url)}, headers=ORIGIN)
    assert response.status_code == 303, response.text
    return response


async def test_a_link_signs_in_one_browser_once(beyond: httpx.AsyncClient, own_url: str) -> None:
    assert (await beyond.post(LABEL, json=CHOICE)).status_code == 403
    token = await new_link(own_url)
    # link previews and virus scanners fetch addresses before the user does
    for _ in range(2):
        page = Page((await beyond.get("/account/sign-in")).text)
        assert page.find("form", action="/account/sign-in")
    response = await beyond.post("/account/sign-in", data={"token": token}, headers=ORIGIN)
    assert response.status_code == 303 and response.headers["location"] == "/account"
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("memicos_session=") and {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie and "Max-Age=2592000" in cookie
    assert (await beyond.post(LABEL, json=CHOICE, headers=ORIGIN)).status_code == 200
    beyond.cookies.clear()
    second_use = await beyond.post("/account/sign-in", data={"token": token}, headers=ORIGIN)
    assert (
        second_use.status_code == 403
        and "memicos owner-link" in second_use.text
        and "set-cookie" not in second_use.headers
    )


async def test_a_whole_link_can_be_pasted(beyond: httpx.AsyncClient, own_url: str) -> None:
    pasted = f" https://memicos.example/account/sign-in#{await new_link(own_url)}\n"
    response = await beyond.post("/account/sign-in", data={"token": pasted}, headers=ORIGIN)
    assert response.status_code == 303


async def test_behind_tls_the_cookie_is_secure(beyond: httpx.AsyncClient, own_url: str) -> None:
    response = await beyond.post(
        "https://localhost/account/sign-in",
        data={"token": await new_link(own_url)},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert response.status_code == 303 and "Secure" in response.headers["set-cookie"].split("; ")


@pytest.mark.parametrize("token", ["", "x", "é\ud800".encode("utf-8", "replace").decode(), "a" * 3000])
async def test_a_bad_link_is_refused(beyond: httpx.AsyncClient, token: str) -> None:
    response = await beyond.post("/account/sign-in", data={"token": token}, headers=ORIGIN)
    assert response.status_code in (403, 422) and "set-cookie" not in response.headers


async def test_links_and_sessions_expire(started: Start, own_url: str) -> None:
    async with started(own_url, host="0.0.0.0", session_days=2) as client, connected(own_url) as connection:
        token = await new_link(own_url)
        await connection.execute("UPDATE login_link SET expires_at = now() - interval '1 second'")
        refused = await client.post("/account/sign-in", data={"token": token}, headers=ORIGIN)
        assert refused.status_code == 403
        assert "Max-Age=172800" in (await sign_in(client, own_url)).headers["set-cookie"]
        assert (await client.post(LABEL, json=CHOICE, headers=ORIGIN)).status_code == 200
        await connection.execute("UPDATE session SET expires_at = now() - interval '1 second'")
        assert (await client.post(LABEL, json=CHOICE, headers=ORIGIN)).status_code == 403
        response = await client.post("/account/sign-out", headers=ORIGIN)
        assert response.status_code == 303 and not client.cookies


async def test_only_hashes_of_tokens_are_stored(beyond: httpx.AsyncClient, own_url: str) -> None:
    token, key = await new_link(own_url), await new_key(own_url)
    await sign_in(beyond, own_url)
    cookie = beyond.cookies["memicos_session"]
    async with connected(own_url) as connection:
        stored = ""
        for table in ("login_link", "session", "api_key"):
            rows = await connection.fetch(f"SELECT {table}::text FROM {table}")  # noqa: S608 (constants)
            assert rows
            stored += "".join(row[0] for row in rows)
    for secret in (token, key, key.removeprefix("memicos_"), cookie):
        assert len(secret) >= 43 and secret not in stored and secret.encode().hex() not in stored


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (ORIGIN, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        # not a browser, which would send one of these headers
        ({}, 403),
    ],
)
async def test_a_session_writes_only_from_pages_of_this_server(
    beyond: httpx.AsyncClient, own_url: str, headers: dict[str, str], status: int
) -> None:
    await sign_in(beyond, own_url)
    response = await beyond.post(LABEL, json=CHOICE, headers=headers)
    assert response.status_code == status
    response = await beyond.post("/account/sign-out", headers=headers)
    assert response.status_code == (303 if status == 200 else status)


async def test_signing_out_ends_the_session(beyond: httpx.AsyncClient, own_url: str) -> None:
    await sign_in(beyond, own_url)
    stolen = {"Cookie": f"memicos_session={beyond.cookies['memicos_session']}"}
    response = await beyond.post("/account/sign-out", headers=ORIGIN)
    assert response.status_code == 303 and not beyond.cookies
    refused = await beyond.post(LABEL, json=CHOICE, headers=ORIGIN | stolen)
    assert refused.status_code == 403


async def test_a_session_revokes_another_and_a_key(beyond: httpx.AsyncClient, own_url: str) -> None:
    await sign_in(beyond, own_url)
    other_cookie = {"Cookie": f"memicos_session={beyond.cookies['memicos_session']}"}
    beyond.cookies.clear()
    await sign_in(beyond, own_url)
    key = await new_key(own_url, "write")
    page = Page((await beyond.get("/account")).text)
    (session_path,) = [
        str(attributes["action"])
        for attributes, _ in page.find("form")
        if "/sessions/" in str(attributes.get("action"))
    ]
    (key_path,) = [
        str(attributes["action"])
        for attributes, _ in page.find("form")
        if "/api-keys/" in str(attributes.get("action"))
    ]
    for path in (session_path, key_path):
        assert (await beyond.post(path, headers=ORIGIN)).status_code == 303
        assert (await beyond.post(path, headers=ORIGIN)).status_code == 404
    text = (await beyond.get("/account")).text
    assert session_path not in text and key_path not in text
    async with httpx.AsyncClient(transport=beyond._transport, base_url="http://localhost") as client:
        assert (await client.post(LABEL, json=CHOICE, headers=ORIGIN | other_cookie)).status_code == 403
        assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 401


async def test_a_key_changes_no_sessions(beyond: httpx.AsyncClient, own_url: str) -> None:
    key = {"X-Api-Key": await new_key(own_url, "admin")}
    for path in ("/account/sessions/1/revoke", "/account/api-keys/1/revoke"):
        assert (await beyond.post(path, headers=key)).status_code == 403


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        ((), 403),
        (("read",), 403),
        (("datasets:write",), 403),
        (("write",), 200),
        (("read", "write"), 200),
        (("admin",), 200),
    ],
)
async def test_scopes_of_keys(beyond: httpx.AsyncClient, own_url: str, scopes: tuple[Scope, ...], status: int) -> None:
    key = await new_key(own_url, *scopes)
    response = await beyond.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})
    assert response.status_code == status
    if status == 403:
        assert "--scope write" in response.json()["error"]
    assert (await beyond.get("/api/feature/small/1-res/5", headers={"X-Api-Key": key})).status_code == 200


@pytest.mark.parametrize(("scopes", "status"), [((), 403), (("read", "write"), 403), (("admin",), 200)])
async def test_only_the_owner_changes_settings_of_the_server(
    beyond: httpx.AsyncClient, own_url: str, scopes: tuple[Scope, ...], status: int
) -> None:
    path, body = "/api/admin/inference-hosts", {"name": "second", "url": "http://127.0.0.1:9"}
    key = {"X-Api-Key": await new_key(own_url, *scopes)}
    assert (await beyond.get(path)).status_code == 403
    assert (await beyond.get(path, headers=key)).status_code == status
    assert (await beyond.post(path, json=body, headers=key)).status_code == status
    await sign_in(beyond, own_url)
    assert (await beyond.get(path)).status_code == 200
    assert (await beyond.delete(f"{path}/second")).status_code == 403
    assert (await beyond.delete(f"{path}/second", headers=ORIGIN)).status_code == (200 if status == 200 else 404)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36",
         "Chrome on Linux"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18 Safari/605",
         "Safari on macOS"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Windows"),
        ("curl/8.5", "curl/8.5"),
        ("", "unknown browser"),
    ],
)  # fmt: skip
def test_names_of_browsers(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name


async def test_keys_expire_and_note_their_use(beyond: httpx.AsyncClient, own_url: str) -> None:
    key = {"X-Api-Key": await new_key(own_url, "write", days=0.5)}
    assert (await beyond.post(LABEL, json=CHOICE, headers=key)).status_code == 200
    async with connected(own_url) as connection:
        row = await connection.fetchrow(
            "SELECT last_used_at > now() - interval '1 minute', expires_at - created_at = interval '12 hours' "
            "FROM api_key"
        )
        assert row and tuple(row) == (True, True)
        await connection.execute("UPDATE api_key SET expires_at = now() - interval '1 second'")
    for response in (
        await beyond.post(LABEL, json=CHOICE, headers=key),
        await beyond.get("/api/feature/small/1-res/5", headers=key),
    ):
        assert response.status_code == 401 and "unknown, expired or revoked" in response.json()["error"]


async def test_keys_of_other_systems_only_read(beyond: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    key = {"X-Api-Key": "sk-of-another-system"}
    assert (await beyond.get("/api/feature/small/1-res/5", headers=key)).status_code == 200
    response = await beyond.post(LABEL, json=CHOICE, headers=key)
    assert response.status_code == 401 and "memicos key new" in response.json()["error"]
    # on loopback keys are ignored, even those with our prefix
    for name in ("sk-of-another-system", "memicos_unknown"):
        assert (await client.get("/api/feature/small/1-res/5", headers={"X-Api-Key": name})).status_code == 200


async def test_an_explanation_by_a_key_belongs_to_the_owner(beyond: httpx.AsyncClient, own_url: str) -> None:
    async with connected(own_url) as connection:
        await connection.execute(
            "INSERT INTO explanation (source_id, index, description, method, author_id) VALUES (1, 5, 'x', 'human', 1)"
        )
        number = await connection.fetchval("SELECT max(id) FROM explanation")
    key = {"X-Api-Key": await new_key(own_url, "write")}
    assert (await beyond.post(f"/api/explanation/{number}/delete", headers=key)).status_code == 200


async def test_the_python_client_writes_with_a_key(beyond: httpx.AsyncClient, own_url: str) -> None:
    args = {"transport": beyond._transport}
    headers = {"X-Api-Key": await new_key(own_url, "write")}
    async with Client("http://localhost", headers=headers, httpx_args=args) as client:
        chosen = await choose_explanation_as_label.asyncio(1, client=client, body=ChooseLabelRequest(chosen=True))
        assert chosen.explanations
    async with Client("http://localhost", headers={"X-Api-Key": "memicos_x"}, httpx_args=args) as client:
        with pytest.raises(Unauthorized, match="unknown, expired or revoked"):
            await choose_explanation_as_label.asyncio(1, client=client, body=ChooseLabelRequest(chosen=True))


async def test_hashes_of_keys_are_keyed_and_plain_ones_are_converted(started: Start, own_url: str) -> None:
    key = await new_key(own_url, "write")
    plain = hashlib.sha256(key.encode()).digest()
    keyed = hmac.new(SECRET_KEY.encode(), plain, "sha256").digest()
    async with connected(own_url) as connection:
        assert await connection.fetchval("SELECT token_hash FROM api_key") == keyed
        # as an earlier version stored it
        await connection.execute("UPDATE api_key SET token_hash = $1, keyed = false", plain)
        async with started(own_url, host="0.0.0.0") as client:
            assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 200
        row = await connection.fetchrow("SELECT token_hash, keyed FROM api_key")
        assert row and tuple(row) == (keyed, True)
    async with started(own_url, host="0.0.0.0", secret_key="of another server, so long") as client:
        assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 401


async def test_without_a_secret_the_server_runs_and_says_why_it_takes_no_key(
    started: Start, own_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database of an earlier version, and a data folder that cannot be written: the start failed."""
    key = await new_key(own_url, "write")
    async with connected(own_url) as connection:
        plain = hashlib.sha256(key.encode()).digest()
        await connection.execute("UPDATE api_key SET token_hash = $1, keyed = false", plain)
        (tmp_path / "file").touch()
        unusable = {"secret_key": None, "data": tmp_path / "file" / "data"}
        async with started(own_url, host="0.0.0.0", **unusable) as client:
            response = await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})
        assert response.status_code == 503 and "MEMICOS_SECRET_KEY" in response.json()["error"]
        assert "API keys of an earlier version cannot be used" in caplog.text
        async with started(own_url, host="0.0.0.0") as client:
            assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 200


def test_a_file_that_is_too_short_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret-key").touch()
    with pytest.raises(NotConfigured, match="fewer than 16 characters"):
        server_secret(make_settings("postgresql://unused", secret_key=None, data=tmp_path))


def test_the_secret_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    settings = make_settings("postgresql://unused", secret_key=None, data=tmp_path / "data")
    secret = server_secret(settings)
    file = tmp_path / "data" / "secret-key"
    assert len(secret) >= 43 and file.read_bytes() == secret and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert server_secret(settings) == secret and [path.name for path in file.parent.iterdir()] == ["secret-key"]
    (tmp_path / "file").touch()
    with pytest.raises(NotConfigured, match="MEMICOS_SECRET_KEY"):
        server_secret(make_settings("postgresql://unused", secret_key=None, data=tmp_path / "file" / "data"))


@pytest.mark.slow
async def test_commands_list_and_revoke_keys(own_url: str) -> None:
    status, key, errors = await memicos(own_url, "key", "new", "a script", "--scope", "write")
    assert status == 0 and re.fullmatch(r"memicos_\S{43}\n", key) and "cannot be shown again" in errors
    status, listed, _ = await memicos(own_url, "key", "list")
    assert status == 0 and re.search(r"^1 +a script +write +valid +\d{4}-\d\d-\d\d +- +-$", listed, re.M)
    assert (await memicos(own_url, "key", "revoke", "1"))[:2] == (0, "API key 1 is revoked\n")
    assert "revoked" in (await memicos(own_url, "key", "list"))[1]
    status, _, errors = await memicos(own_url, "key", "revoke", "1")
    assert status == 1 and errors == "key revoke: The API key 1 does not exist or is already revoked.\n"
    status, _, errors = await memicos(own_url, "key", "new", " ")
    assert status == 1 and errors.count("\n") == 1 and "printable" in errors
    assert (await memicos(own_url, "key", "new", "x", "--scope", "root"))[0] == 2
    status, _, errors = await memicos(own_url, "owner-link", MEMICOS_READ_ONLY="1")
    assert status == 1 and "MEMICOS_READ_ONLY" in errors
    output = (await memicos(own_url, "owner-link", MEMICOS_PUBLIC_URL="https://sae.example/memicos/"))[1]
    assert output.startswith("https://sae.example/memicos/account/sign-in#")


async def test_the_link_is_logged_until_the_owner_has_signed_in(
    started: Start, own_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with started(own_url) as client:
        assert (await client.get("/account")).status_code == 200
    assert not LINK.search(caplog.text)
    async with started(own_url, host="0.0.0.0") as client:
        link = LINK.search(caplog.text)
        assert link and "works once, within 15 minutes" in caplog.text
        caplog.clear()
        response = await client.post("/account/sign-in", data={"token": link[1]}, headers=ORIGIN)
        assert response.status_code == 303
        await client.post(LABEL, json=CHOICE, headers=ORIGIN)
        secrets = (link[1], client.cookies["memicos_session"])
    caplog.set_level(logging.DEBUG)
    async with started(own_url, host="0.0.0.0"):
        pass
    assert "/account/sign-in" in caplog.text and not any(secret in caplog.text for secret in secrets)


async def test_pages_show_the_account_and_hide_refused_actions(beyond: httpx.AsyncClient, own_url: str) -> None:
    visitor = Page((await beyond.get("/small/1-res/5")).text)
    assert [text for _, text in visitor.find("a", href="/account")] == ["Visitor", "sign in"]
    assert not visitor.find("form", id="explain")
    await sign_in(beyond, own_url)
    owner = Page((await beyond.get("/small/1-res/5")).text)
    assert [text for _, text in owner.find("a", href="/account")] == ["Owner"]
    assert owner.find("form", id="explain") and not owner.find("p", id="write-problem")
    embedded = Page((await beyond.get("/small/1-res/5?embed=true")).text)
    assert not embedded.find("form", id="explain") and not embedded.find("p", id="write-problem")


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 200),
        ({"allowed_hosts": "localhost"}, 200),
        # a proxy on this machine forwards requests of others
        ({"allowed_hosts": "localhost,memicos.example"}, 403),
        ({"allowed_hosts": "*"}, 403),
        ({"local_owner": False}, 403),
    ],
)
async def test_which_visitors_are_the_local_owner(
    started: Start, own_url: str, settings: dict[str, object], status: int
) -> None:
    async with started(own_url, **settings) as client:
        assert (await client.post(LABEL, json=CHOICE)).status_code == status


async def test_a_forwarded_request_is_not_the_local_owners(started: Start, own_url: str) -> None:
    async with started(own_url) as client:
        transport = httpx.ASGITransport(client._transport.app, client=("203.0.113.7", 1))  # pyright: ignore
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as forwarded:
            assert (await forwarded.post(LABEL, json=CHOICE)).status_code == 403
