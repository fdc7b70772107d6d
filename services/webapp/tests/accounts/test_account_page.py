"""The account page: API keys are created, shown once and revoked; attacks on the owner's session fail."""

import asyncio
import re

import pytest
from memicos_testing.servers import Start
from memicos_testing.webapp.accounts import ORIGIN, new_link, sign_in
from memicos_testing.webapp.html_page import Page

LABEL = "/api/explanation/1/label"
CHOICE = {"chosen": False}
KEY = re.compile(r"memicos_[\w-]{43}")
FORM = {"name": "import job", "scope": "write", "expires_days": "7"}


async def test_a_key_is_created_shown_once_used_and_revoked(started: Start, own_url: str) -> None:
    async with started(own_url, host="0.0.0.0") as client:
        await sign_in(client, own_url)
        response = await client.post("/account/api-keys", data=FORM, headers=ORIGIN)
        assert response.status_code == 200 and response.headers["cache-control"] == "no-store"
        (key,) = KEY.findall(response.text)
        page = await client.get("/account")
        assert key not in page.text and "import job" in page.text and "last used never" in page.text
        assert (await client.get("/account/api-keys")).headers["location"] == "/account"
        client.cookies.clear()
        assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 200
        await sign_in(client, own_url)
        page = await client.get("/account")
        assert "last used never, until" not in page.text.partition("import job")[2]
        (path,) = [
            str(attributes["action"])
            for attributes, _ in Page(page.text).find("form")
            if "/api-keys/" in str(attributes.get("action"))
        ]
        assert (await client.post(path, headers=ORIGIN)).status_code == 303
        client.cookies.clear()
        assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 401


async def test_without_days_a_key_does_not_expire(started: Start, own_url: str) -> None:
    async with started(own_url) as client:
        response = await client.post("/account/api-keys", data={**FORM, "expires_days": " "})
        assert KEY.search(response.text) and "does not expire" in response.text


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": ""}, 422),
        ({"name": " "}, 400),
        ({"name": "a\nb"}, 400),
        ({"name": "a" * 101}, 400),
        ({"name": "a" * 1001}, 422),
        ({"scope": "root"}, 422),
        ({"expires_days": "0"}, 400),
        ({"expires_days": "3651"}, 400),
        ({"expires_days": "1e3"}, 400),
        ({"expires_days": "²"}, 400),
        ({"expires_days": "-1"}, 400),
    ],
)
async def test_a_bad_key_form_creates_nothing(
    started: Start, own_url: str, change: dict[str, str], status: int
) -> None:
    async with started(own_url) as client:
        response = await client.post("/account/api-keys", data=FORM | change)
        assert response.status_code == status and not KEY.search(response.text)
        assert "import job" not in (await client.get("/account")).text


async def test_who_may_not_create_a_key(started: Start, own_url: str) -> None:
    async with started(own_url, host="0.0.0.0") as client:
        assert (await client.post("/account/api-keys", data=FORM, headers=ORIGIN)).status_code == 403
        await sign_in(client, own_url)
        for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
            assert (await client.post("/account/api-keys", data=FORM, headers=headers)).status_code == 403
        page = await client.post("/account/api-keys", data={**FORM, "scope": "admin"}, headers=ORIGIN)
        client.cookies.clear()
        key = {"X-Api-Key": KEY.findall(page.text)[0]}
        # a key makes no other key, which would outlive its revocation
        assert (await client.post("/account/api-keys", data=FORM, headers=key)).status_code == 403
    async with started(own_url, read_only=True) as client:
        assert (await client.post("/account/api-keys", data=FORM)).status_code == 403
        assert "create-key" not in (await client.get("/account")).text


async def test_the_account_page_is_in_no_frame_of_another_site(started: Start, own_url: str) -> None:
    async with started(own_url) as client:
        for path in ("/account", "/account/", "/account/sign-in"):
            policy = (await client.get(path, params={"embed": "true"})).headers["content-security-policy"]
            assert "frame-ancestors 'self'" in policy
        policy = (await client.get("/small/1-res/5?embed=true")).headers["content-security-policy"]
        assert "frame-ancestors *" in policy


async def test_signing_in_replaces_the_session_and_takes_no_cookie_of_others(started: Start, own_url: str) -> None:
    async with started(own_url, host="0.0.0.0") as client:
        fixed = {"Cookie": "memicos_session=chosen-by-an-attacker"}
        link = await new_link(own_url)
        response = await client.post("/account/sign-in", data={"token": link}, headers=ORIGIN | fixed)
        assert "chosen-by-an-attacker" not in response.headers["set-cookie"]
        first = {"Cookie": f"memicos_session={client.cookies['memicos_session']}"}
        await sign_in(client, own_url)
        client.cookies.clear()
        for cookie in (fixed, first):
            assert (await client.post(LABEL, json=CHOICE, headers=ORIGIN | cookie)).status_code == 403


async def test_a_link_used_at_once_by_many_signs_in_one(started: Start, own_url: str) -> None:
    async with started(own_url, host="0.0.0.0") as client:
        link = await new_link(own_url)
        posts = [client.post("/account/sign-in", data={"token": link}, headers=ORIGIN) for _ in range(8)]
        statuses = sorted(response.status_code for response in await asyncio.gather(*posts))
        assert statuses == [303] + [403] * 7


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_signing_in_goes_to_the_account_page_only(started: Start, own_url: str, target: str) -> None:
    async with started(own_url, host="0.0.0.0") as client:
        names = ("next", "to", "return", "redirect")
        response = await client.post(
            "/account/sign-in",
            params=dict.fromkeys(names, target),
            data={"token": await new_link(own_url), **dict.fromkeys(names, target)},
            headers=ORIGIN,
        )
        assert response.headers["location"] == "/account"
