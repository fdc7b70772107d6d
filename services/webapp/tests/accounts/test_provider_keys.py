"""Stored keys for providers: encrypted, shown by their last characters only, sent to their profile's endpoint only."""

import asyncio
import html
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from memicos_autointerp.app import create_app as create_autointerp
from memicos_testing.fake_inference_server import FakeInferenceServer, bodies, server
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider
from memicos_testing.servers import Start, running
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.database import execute, fetch
from memicos_testing.webapp.explanations import GENERATE, autointerp_settings, body
from memicos_testing.webapp.html_page import Page
from memicos_testing.word_list_model import WordListModel
from memicos_webapp.accounts import service as accounts
from memicos_webapp.database import backup
from memicos_webapp.database.engine import Database
from memicos_webapp.provider_keys import repository
from memicos_webapp.provider_keys.encryption import decrypt, encrypt
from memicos_webapp.provider_keys.rows import Place

PAGE = "/account/provider-keys"
KEY = "sk-own-Zq7T9mWc4Rk2Lx8V"
ORIGIN = {"Origin": "http://localhost"}
HTMX = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def second() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


@pytest.fixture(autouse=True)
def forget(second: LlmProvider) -> None:
    second.reset()


@pytest.fixture
def serve(started: Start, own_url: str, provider: LlmProvider, second: LlmProvider, tmp_path: Path) -> Any:
    """Starts a webapp over an autointerp server with a profile `second` at this endpoint, that of `second` otherwise;
    `api_key` is the server's key for the default profile."""

    @asynccontextmanager
    async def start(endpoint: str = "", api_key: str | None = SERVER_KEY, **settings: Any) -> AsyncIterator[Any]:
        file = tmp_path / "profiles.toml"
        file.write_text(f'[second]\nbase_url = "{endpoint or second.base_url}"\nmodels = ["large"]\n')
        async with AsyncExitStack() as stack:
            app = create_autointerp(autointerp_settings(provider, secret="s", profiles_file=file, api_key=api_key))
            url = await stack.enter_async_context(running(app))
            values = {"autointerp_url": url, "autointerp_secret": "s", "autointerp_status_seconds": 0.5, **settings}
            yield await stack.enter_async_context(started(own_url, **values))

    return start


async def store(client: httpx.AsyncClient, profile: str = "second", key: str = KEY, **form: str) -> httpx.Response:
    return await client.post(PAGE, data={"profile": profile, "key": key, "store": "true", **form}, headers=ORIGIN)


def sent_keys(provider: LlmProvider) -> list[str | None]:
    return [request.headers.get("authorization") for request in provider.requests]


async def test_a_stored_key_explains_by_its_profile_alone(
    serve: Any, own_url: str, provider: LlmProvider, second: LlmProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    request = body(profile="second", explanationModelName="")
    async with serve() as client:
        assert (await client.post(GENERATE, json=request)).status_code == 503
        assert (await store(client)).status_code == 303
        page = await client.get(PAGE)
        assert page.headers["cache-control"] == "no-store" and Page(page.text).open == []
        assert f"…{KEY[-4:]}" in page.text and f"for {second.base_url}" in page.text
        assert not any(KEY[start : start + 6] in page.text for start in range(len(KEY) - 5))
        control = await client.get("/small/1-res/5/explain", headers=HTMX)
        assert ">second (your stored key)<" in control.text and ">default<" in control.text
        response = await client.post(GENERATE, json=request)
        assert response.status_code == 200, response.text
        assert sent_keys(second) == [f"Bearer {KEY}"] and not provider.requests
        assert KEY not in response.text and response.json()["explanation"]["explanationModelName"] == "large"
        # the default profile has none: the server's key; a key of the request comes first
        assert (await client.post(GENERATE, json=body())).status_code == 200
        assert sent_keys(provider) == [f"Bearer {SERVER_KEY}"]
        response = await client.post(GENERATE, json={**request, "index": 6, "apiKey": "sk-typed"})
        assert response.status_code == 200 and sent_keys(second)[1:] == ["Bearer sk-typed"]
        # the form of the dashboard
        form = {"profile": "second", "explainer_model": "other"}
        assert (await client.post("/small/1-res/6/explain", data=form, headers=HTMX)).status_code == 200
        assert sent_keys(second)[2:] == [f"Bearer {KEY}"]
        # another one takes its place
        assert (await store(client, key="sk-next-0123456789abcd")).status_code == 303
        page = Page((await client.get(PAGE)).text)
        assert [text for _, text in page.find("code")] == ["…abcd"]
        (path,) = [str(form["action"]) for form, _ in page.find("form") if str(form.get("action")).endswith("/delete")]
        assert (await client.post(path, headers=ORIGIN)).status_code == 303
        assert (await client.post(path, headers=ORIGIN)).status_code == 404
        assert (await client.post(GENERATE, json={**request, "index": 7})).status_code == 503
    assert len(second.requests) == 3 and not await fetch(own_url, "SELECT * FROM provider_key")
    assert "/account/provider-keys" in caplog.text and KEY not in caplog.text


async def test_a_stored_key_scores(
    serve: Any,
    inference: FakeInferenceServer,
    monkeypatch: pytest.MonkeyPatch,
    provider: LlmProvider,
    second: LlmProvider,
) -> None:
    def value(_source: str, _index: int, token: str) -> float:
        return 100.0 if token == bodies.BOS else 9.0 if token.strip() == "whale" else 0.0

    monkeypatch.setattr(server, "value_of", value)
    second.answer = WordListModel(0.1)
    async with serve() as client:
        assert (await store(client)).status_code == 303
        number = (await client.get("/api/feature/small/1-res/5")).json()["explanations"][0]["id"]
        assert "second (your stored key)" in (await client.get(f"/explanations/{number}/score")).text
        asked = {"explanationId": number, "scorerType": "recall_alt", "profile": "second"}
        response = await client.post("/api/explanation/score", json=asked)
        assert response.status_code == 200, response.text
    assert set(sent_keys(second)) == {f"Bearer {KEY}"} and not provider.requests


async def test_with_a_stored_key_the_form_needs_no_key_of_the_server(serve: Any) -> None:
    async with serve(api_key=None) as client:
        assert "required" in (await client.get("/small/1-res/5/explain", headers=HTMX)).text
        await store(client)
        control = await client.get("/small/1-res/5/explain", headers=HTMX)
        assert ">second (your stored key)<" in control.text and "Explanations need a key" not in control.text


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({"store": ""}, 400, "tick “Store this key”"),
        ({"store": "false"}, 400, "tick “Store this key”"),
        ({"key": " "}, 400, "1 to 500 characters"),
        ({"key": KEY * 30}, 400, "1 to 500 characters"),
        ({"key": KEY + " x"}, 400, "no spaces"),
        ({"key": KEY + "ü"}, 400, "only ASCII"),
        ({"profile": "third"}, 400, "no profile 'third', only default, second"),
        ({"profile": " "}, 400, "no profile ''"),
        ({"profile": ""}, 422, "profile"),
    ],
)
async def test_what_is_not_agreed_to_or_is_wrong_is_not_stored(
    serve: Any, own_url: str, caplog: pytest.LogCaptureFixture, form: dict[str, str], status: int, message: str
) -> None:
    async with serve() as client:
        response = await store(client, **form)
        assert response.status_code == status and message in html.unescape(response.text)
        assert KEY not in response.text
        without = {name: value for name, value in {"profile": "second", "key": KEY}.items() if name not in form}
        assert (await client.post(PAGE, data=without)).status_code in (400, 422)
    assert not await fetch(own_url, "SELECT * FROM provider_key") and KEY not in caplog.text


async def test_another_secret_of_the_server_is_named(serve: Any, own_url: str, second: LlmProvider) -> None:
    request = body(profile="second", explanationModelName="")
    async with serve() as client:
        await store(client)
    async with serve(secret_key="another secret of the server") as client:
        page = await client.get(PAGE)
        assert page.status_code == 200 and ">cannot be decrypted<" in page.text and KEY[-4:] not in page.text
        assert "MEMICOS_SECRET_KEY" in page.text
        response = await client.post(GENERATE, json=request)
        assert response.status_code == 409 and "MEMICOS_SECRET_KEY" in response.json()["error"]
        assert not second.requests
        assert (await store(client)).status_code == 303
        assert (await client.post(GENERATE, json=request)).status_code == 200
        assert sent_keys(second) == [f"Bearer {KEY}"]


async def test_a_profile_with_another_address_gets_no_key(
    serve: Any, own_url: str, provider: LlmProvider, second: LlmProvider
) -> None:
    async with serve() as client:
        await store(client)
    async with serve(endpoint=provider.base_url) as client:
        assert "has another address now" in (await client.get(PAGE)).text
        response = await client.post(GENERATE, json=body(profile="second", explanationModelName=""))
        assert response.status_code == 409 and second.base_url in response.json()["error"]
        # who can write to the database cannot send it elsewhere either
        await execute(own_url, "UPDATE provider_key SET base_url = $1", provider.base_url)
        response = await client.post(GENERATE, json=body(profile="second", explanationModelName=""))
        assert response.status_code == 409 and "cannot be decrypted" in response.json()["error"]
    assert not provider.requests and not second.requests


def test_a_key_is_decrypted_at_its_place_alone() -> None:
    place = Place(1, "second", "https://a.example/v1")
    encrypted = encrypt(b"secret", place, KEY)
    assert decrypt(b"secret", place, encrypted) == KEY and KEY.encode() not in encrypted
    assert encrypt(b"secret", place, KEY) != encrypted
    for other in (
        Place(2, "second", place.base_url),
        Place(1, "third", place.base_url),
        Place(1, "second", "https://"),
    ):
        assert decrypt(b"secret", other, encrypted) is None
    for damaged in (b"", encrypted[:5], encrypted[:-1], encrypted[:-1] + bytes([encrypted[-1] ^ 1])):
        assert decrypt(b"secret", place, damaged) is None
    assert decrypt(b"Secret", place, encrypted) is None


async def test_who_may_not_read_or_change_stored_keys(serve: Any, own_url: str) -> None:
    await execute(own_url, "INSERT INTO account (name) VALUES ('other')")
    settings = make_settings(own_url)
    database = Database(own_url, settings)
    try:
        place = Place(2, "second", "https://a.example/v1")
        encrypted = encrypt(b"s", place, KEY)
        async with database.transaction() as session:
            await repository.put(session, place, encrypted)
        _, key = await accounts.create_api_key(database, settings, 1, "a key", ["admin"], None)
    finally:
        await database.close()
    (row,) = await fetch(own_url, "SELECT * FROM provider_key")
    path = f"{PAGE}/{row['id']}/delete"
    async with serve() as client:
        assert "No stored keys" in (await client.get(PAGE)).text
        assert (await client.post(path)).status_code == 404
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert (await client.post(path, headers=headers)).status_code == 403
    async with serve(host="0.0.0.0") as client:
        for headers in ({}, {"X-Api-Key": key}):
            assert (await client.get(PAGE, headers=headers)).status_code == 403
            assert (await client.post(path, headers=headers)).status_code == 403
            form = {"profile": "second", "key": KEY, "store": "true"}
            assert (await client.post(PAGE, data=form, headers=headers)).status_code == 403
    assert len(await fetch(own_url, "SELECT * FROM provider_key")) == 1
    # the keys of an account are deleted with it
    await execute(own_url, "DELETE FROM account WHERE id = 2")
    assert not await fetch(own_url, "SELECT * FROM provider_key")


async def test_a_backup_has_the_encrypted_key_and_restores_it(
    serve: Any, own_url: str, server_url: str, started: Start, tmp_path: Path
) -> None:
    async with serve() as client:
        await store(client)
    (row,) = await fetch(own_url, "SELECT * FROM provider_key")
    assert all(KEY[-4:] not in str(value) and KEY.encode() not in bytes(str(value), "utf-8") for value in row.values())
    file = tmp_path / "backup.dump"
    await asyncio.to_thread(backup.backup, own_url, file)
    assert KEY.encode() not in file.read_bytes()
    name = f"restored_{os.urandom(4).hex()}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        url = server_url.replace("/postgres?", f"/{name}?")
        await asyncio.to_thread(backup.restore, url, file)
        assert [tuple(restored) for restored in await fetch(url, "SELECT * FROM provider_key")] == [tuple(row)]
        async with started(url) as client:
            assert f"…{KEY[-4:]}" in (await client.get(PAGE)).text
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()
