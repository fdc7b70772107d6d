"""The webapp below a path of a site: links, redirects, files and cookies stay below it, for both kinds of proxy."""

import re
from collections import deque
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
from memicos_testing.servers import Start
from memicos_webapp.security.sub_path import SubPath, prefix_links
from starlette.types import Message, Receive, Scope, Send

LINK = re.compile(r'\s(?:href|src|action|hx-get|hx-post)="([^"]*)"')
SITE = "http://localhost"


async def test_every_link_of_every_page_stays_below_the_path(
    started: Start, loaded_url: str, small_dataset: Path
) -> None:
    async with started(loaded_url, root_path="/memicos", import_roots=str(small_dataset)) as client:
        waiting, seen = deque(["/memicos/"]), {"/memicos/"}
        pages = 0
        while waiting and pages < 60:
            address = waiting.popleft()
            response = await client.get(address)
            assert response.status_code < 400 or response.status_code in (404, 405, 503), address
            if location := response.headers.get("location"):
                assert location.startswith("/memicos/"), address
            if "text/html" not in response.headers.get("content-type", ""):
                continue
            pages += 1
            for link in LINK.findall(response.text):
                if link.startswith(("http://", "https://", "#", "data:")) and not link.startswith(SITE):
                    continue
                target = urldefrag(urljoin(SITE + address, link.replace("&amp;", "&"))).url.removeprefix(SITE)
                assert target.startswith("/memicos/") and "/memicos/memicos/" not in target, (address, link)
                if target not in seen and target.partition("?")[0] not in {item.partition("?")[0] for item in seen}:
                    seen.add(target)
                    waiting.append(target)
        assert pages > 20


@pytest.mark.parametrize("prefix", ["/memicos", ""])
async def test_files_redirects_and_absolute_addresses(started: Start, loaded_url: str, prefix: str) -> None:
    """With the prefix, and from a proxy that removes it."""
    async with started(loaded_url, root_path="/memicos") as client:
        page = await client.get(f"{prefix}/small/1-res/5")
        assert page.status_code == 200 and 'data-root="/memicos"' in page.text
        assert f"{SITE}/memicos/small/1-res/5?embed=true" in page.text
        (script,) = re.findall(r'src="/memicos(/static/memicos\.js\?v=\w+)"', page.text)
        file = await client.get(prefix + script)
        assert file.status_code == 200 and "immutable" in file.headers["cache-control"]
        jump = await client.get(f"{prefix}/jump", params={"to": "small/1-res/5"})
        assert jump.status_code == 303 and jump.headers["location"] == "/memicos/small/1-res/5"
        document = (await client.get(f"{prefix}/api/openapi.json")).json()
        assert document["servers"] == [{"url": "/memicos"}]


async def test_without_the_setting_nothing_changes(started: Start, loaded_url: str) -> None:
    async with started(loaded_url) as client:
        page = await client.get("/small/1-res/5")
        assert "data-root" not in page.text and 'href="/small' in page.text
        assert (await client.get("/memicos/small/1-res/5")).status_code == 404


async def test_cookies_and_headers_of_htmx() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"set-cookie", b"a=/; Path=/; HttpOnly"), (b"hx-push-url", b"/small"), (b"location", b"//other/x")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await SubPath(app, "/memicos")({"type": "http", "path": "/memicos"}, None, send)  # type: ignore[arg-type]
    assert dict(sent[0]["headers"]) == {
        b"set-cookie": b"a=/; Path=/memicos/; HttpOnly",
        b"hx-push-url": b"/memicos/small",
        b"location": b"//other/x",
    }


def test_texts_and_links_to_other_sites_are_unchanged() -> None:
    html = '<a href="/small" title="x">href=&#34;/small</a><a href="//cdn/x"></a><a href="https://a/b">/small</a>'
    assert prefix_links(html, "/memicos") == html.replace('<a href="/small"', '<a href="/memicos/small"')
    assert prefix_links(html, "") == html
