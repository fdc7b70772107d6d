"""The owner beyond loopback: one-time link and session; what is stored and logged."""

import logging

import httpx
import pytest
from memicos_testing.servers import Start
from memicos_testing.webapp.accounts import LINK, ORIGIN, new_key, new_link, sign_in
from memicos_testing.webapp.database import connected
from memicos_testing.webapp.html_page import Page
from memicos_webapp.accounts.view import browser_name

LABEL = "/api/explanation/1/label"


CHOICE = {"chosen": False}


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
