"""Forwarding headers count from trusted proxies only, and no forwarded request is the local owner's."""

from typing import Any

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, running
from memicos_webapp.accounts import service
from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.app import create_app
from memicos_webapp.database.engine import Database
from memicos_webapp.security.proxy_headers import ProxyHeaders, parse_networks
from memicos_webapp.settings import Settings
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

LABEL = "/api/explanation/1/label"
CHOICE = {"chosen": False}
OWN_TEXT = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": "the whale"}
TRUSTED = "127.0.0.1, 10.0.0.0/8,::1"
FORWARDING = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded", "Via",
              "X-Real-IP", "X-Forwarded", "Forwarded-For", "CDN-Loop", "True-Client-IP", "X-Cluster-Client-IP",
              "Client-IP", "CF-Connecting-IP", "X-Original-Forwarded-For", "X-Envoy-External-Address",
              "X-Azure-ClientIP", "Fastly-Client-IP", "Tailscale-User-Login")  # fmt: skip


async def scope_behind(peer: str, headers: dict[str, str], trusted: str = TRUSTED) -> Scope:
    """The scope that the application sees of a request from `peer`."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def unused(*_: Any) -> Any:
        raise AssertionError

    raw = [(b"host", b"inner")] + [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "client": (peer, 5), "scheme": "http", "headers": raw, "path": "/"}
    await ProxyHeaders(app, parse_networks(trusted))(scope, unused, unused)
    return seen[0]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("::1", "2001:db8::5", "2001:db8::5"),
        ("127.0.0.1", "[2001:db8::5]:80", "2001:db8::5"),
        ("127.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        # the client wrote the first one; each trusted proxy added what it saw
        ("127.0.0.1", "8.8.8.8, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "8.8.8.8, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("127.0.0.1", "unknown, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "no address", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        # no trusted proxy
        ("203.0.113.9", "8.8.8.8", "203.0.113.9"),
        ("127.0.0.2", "8.8.8.8", "127.0.0.2"),
    ],
)
async def test_the_client_is_the_last_address_that_is_no_trusted_proxy(
    peer: str, forwarded_for: str, client: str
) -> None:
    scope = await scope_behind(peer, {"X-Forwarded-For": forwarded_for})
    assert scope["client"][0] in {client, f"::ffff:{client}"}


async def test_untrusted_peers_change_nothing() -> None:
    headers = dict.fromkeys(FORWARDING, "8.8.8.8") | {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil"}
    for trusted, peer in (("", "127.0.0.1"), (TRUSTED, "192.0.2.1")):
        scope = await scope_behind(peer, headers, trusted)
        assert (scope["client"][0], scope["scheme"], dict(scope["headers"])[b"host"]) == (peer, "http", b"inner")
        assert "memicos_forwarded_prefix" not in scope


@pytest.mark.parametrize("host", ["a b", "a/b", "", "a@b", "a:b", 'a"b'])
async def test_a_malformed_host_is_ignored(host: str) -> None:
    scope = await scope_behind("127.0.0.1", {"X-Forwarded-Host": host, "X-Forwarded-Proto": "javascript"})
    assert dict(scope["headers"])[b"host"] == b"inner" and scope["scheme"] == "http"


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.0/99", "10.0.0.1/8", "*", "127.0.0.1;::1"])
def test_a_wrong_list_of_proxies_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="CIDR notation"):
        Settings(**{"_env_file": None, "trusted_proxies": text})


@pytest.mark.parametrize("header", FORWARDING)
@pytest.mark.parametrize("value", ["127.0.0.1", "203.0.113.7"])
async def test_a_forwarding_header_from_loopback_ends_the_local_ownership(
    started: Start, own_url: str, header: str, value: str
) -> None:
    async with started(own_url) as client:
        assert (await client.post(LABEL, json=CHOICE, headers={header: value})).status_code == 403
        assert (await client.post(LABEL, json=CHOICE)).status_code == 200


async def test_headers_of_browsers_and_programs_are_no_forwarding_headers(started: Start, own_url: str) -> None:
    names = ("Accept", "Cookie", "DNT", "Origin", "Priority", "Referer", "Sec-Fetch-Site", "Upgrade-Insecure-Requests",
             "User-Agent", "X-Api-Key", "X-Client-Id", "X-Requested-With", "HX-Request", "Forward")  # fmt: skip
    values = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    async with started(own_url) as client:
        headers = {name: values.get(name, "1") for name in names}
        assert (await client.post(LABEL, json=CHOICE, headers=headers)).status_code == 200


async def test_with_trusted_proxies_nobody_is_the_local_owner(started: Start, own_url: str) -> None:
    async with started(own_url, trusted_proxies="127.0.0.1") as client:
        assert (await client.post(LABEL, json=CHOICE)).status_code == 403


async def test_links_have_the_public_scheme_host_and_prefix(started: Start, loaded_url: str) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "sae.example:8443", "X-Forwarded-Prefix": "/sub/"}
    async with started(loaded_url, trusted_proxies="127.0.0.1", allowed_hosts="sae.example,localhost") as client:
        page = await client.get("/small/1-res/5", headers=headers)
        assert "https://sae.example:8443/sub/small/1-res/5?embed=true" in page.text
        assert 'data-root="/sub"' in page.text and 'href="/sub/account"' in page.text
        jump = await client.get("/jump", params={"to": "small/1-res/5"}, headers=headers)
        assert jump.headers["location"] == "/sub/small/1-res/5"
        refused = await client.get("/", headers={**headers, "X-Forwarded-Host": "evil.example"})
        assert refused.status_code == 403 and "MEMICOS_ALLOWED_HOSTS" in refused.text
    async with started(loaded_url) as client:
        page = await client.get("/small/1-res/5", headers=headers)
        assert "http://localhost/small/1-res/5?embed=true" in page.text and "/sub" not in page.text


@pytest.mark.parametrize(("trusted", "secure"), [("127.0.0.1", True), ("", False)])
async def test_the_cookie_is_secure_behind_a_trusted_proxys_tls(own_url: str, trusted: str, secure: bool) -> None:
    """By a real server: uvicorn's own reading of the headers is off."""
    values: dict[str, Any] = {"_env_file": None, "database_url": own_url, "trusted_proxies": trusted}
    settings = Settings(**values)
    database = Database(own_url, settings)
    link = await service.create_link(database, settings, OWNER_ID)
    await database.close()
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        response = await client.post(
            "/account/sign-in",
            data={"token": link},
            headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7", "Sec-Fetch-Site": "same-origin"},
        )
        assert response.status_code == 303
        assert ("Secure" in response.headers["set-cookie"].split("; ")) is secure


async def test_a_visitor_cannot_choose_the_id_that_inference_gets(
    loaded_url: str, served_inference: Any, inference: FakeInferenceServer
) -> None:
    """Inference takes turns between visitors by this id: more ids for one visitor would be more turns."""
    values: dict[str, Any] = {"database_url": loaded_url, "inference_url": served_inference.url}
    app = create_app(Settings(**{"_env_file": None, **values, "trusted_proxies": "127.0.0.1, 10.0.0.0/8"}))

    async def inference_id(peer: str, headers: dict[str, str]) -> str | None:
        inference.clients.clear()
        transport = httpx.ASGITransport(app, client=(peer, 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            response = await client.post("/api/activation/new", json=OWN_TEXT, headers=headers)
        assert response.status_code == 200, response.text
        (client_id,) = inference.clients
        return client_id

    async with app.router.lifespan_context(app):
        own = await inference_id("203.0.113.9", {})
        for header in (*FORWARDING, "X-Client-ID"):
            for value in ("8.8.8.8", "127.0.0.1", "10.1.2.3, 8.8.8.8", "for=8.8.8.8"):
                assert await inference_id("203.0.113.9", {header: value}) == own, (header, value)
        # the same address behind a trusted proxy is the same visitor, whatever the visitor wrote before it
        for value in ("203.0.113.9", "8.8.8.8, 203.0.113.9", "8.8.8.8, 203.0.113.9, 10.1.2.3"):
            assert await inference_id("127.0.0.1", {"X-Forwarded-For": value}) == own, value
        assert own and await inference_id("127.0.0.1", {"X-Forwarded-For": "203.0.113.10"}) not in (own, None)


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({}, "http://localhost:3000"),
        ({"port": 3100}, "http://localhost:3100"),
        ({"published_port": 8080, "root_path": "/memicos"}, "http://localhost:8080/memicos"),
        ({"published_port": 8080, "public_url": "https://sae.example/memicos/"}, "https://sae.example/memicos"),
    ],
)
def test_the_address_of_the_owners_link(values: dict[str, Any], address: str) -> None:
    assert Settings(**{"_env_file": None, **values}).public_address == address
