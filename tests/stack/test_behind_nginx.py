"""The demo in docker behind nginx on the host, with the example of deploy/nginx: TLS, below /memicos/."""

import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from memicos_testing.docker_stack import Stack, eventually, output
from memicos_testing.nginx import nginx_site

FEATURE = {"modelId": "smollm2-135m-it", "layer": "15-res-4k", "index": 87}
DASHBOARD = "/memicos/smollm2-135m-it/15-res-4k/87"


@pytest.fixture(scope="module")
def client(demo: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the site with TLS. The webapp trusts the gateway of its network: the address of nginx there."""
    folder: Path = tmp_path_factory.mktemp("nginx")
    with nginx_site(demo.url, folder) as site:
        environment = {
            "MEMICOS_ROOT_PATH": "/memicos",
            "MEMICOS_TRUSTED_PROXIES": demo.gateway(),
            "MEMICOS_PUBLIC_URL": f"{site.https}/memicos",
        }
        Stack(demo.name, demo.files, demo.project, demo.port, environment).compose("up", "-d", "webapp")
        context = ssl.create_default_context(cafile=str(site.certificate))
        try:
            with httpx.Client(base_url=site.https, verify=context, trust_env=False, timeout=240) as client:
                eventually(lambda: client.get(DASHBOARD).status_code == 200)
                yield client
        finally:
            demo.compose("up", "-d", "webapp")
            eventually(lambda: httpx.get(f"{demo.url}/health").status_code == 200)


def test_pages_files_and_links(client: httpx.Client) -> None:
    page = client.get(DASHBOARD)
    site = str(client.base_url).rstrip("/")
    assert f"{site}{DASHBOARD}?embed=true" in page.text
    scripts = re.findall(r'src="(/memicos/static/memicos\.js\?v=\w+)"', page.text)
    assert len(scripts) == 1 and client.get(scripts[0]).status_code == 200
    jump = client.get("/memicos/jump", params={"to": "smollm2-135m-it/15-res-4k/87"})
    assert jump.headers["location"].removeprefix(site) == DASHBOARD


def test_a_stream_is_not_buffered_and_its_share_link_has_the_site(client: httpx.Client) -> None:
    body = {
        "modelId": FEATURE["modelId"], "prompt": "My favourite hobby is", "n_tokens": 48, "temperature": 0,
        "features": [{**FEATURE, "strength": 100}], "stream": True,
    }  # fmt: skip

    def is_served() -> bool:
        return client.post("/memicos/api/steer", json={**body, "n_tokens": 1, "stream": False}).status_code == 200

    # the webapp that has just started learns a moment later that inference is ready
    eventually(is_served)
    began, arrived, text = time.monotonic(), [], ""
    with client.stream("POST", "/memicos/api/steer", json=body) as response:
        assert response.status_code == 200
        for chunk in response.iter_text():
            arrived.append(time.monotonic() - began)
            text += chunk
    assert len(arrived) > 10 and arrived[-1] - arrived[0] > 0.3, arrived
    site = str(client.base_url).rstrip("/")
    assert f'"shareUrl":"{site}/memicos/smollm2-135m-it/steer?' in text


def test_the_owner_signs_in_through_the_proxy_with_a_secure_cookie(demo: Stack, client: httpx.Client) -> None:
    site = str(client.base_url).rstrip("/")
    printed = output("docker", "exec", demo.container("webapp")["Id"], "memicos", "owner-link")
    link = re.search(rf"{site}/memicos/account/sign-in#(\S+)", printed)
    assert link, printed
    signed_in = client.post("/memicos/account/sign-in", data={"token": link[1]}, headers={"Origin": site})
    assert signed_in.status_code == 303, signed_in.text
    (cookie,) = client.cookies.jar
    assert cookie.secure and cookie.path.rstrip("/") == "/memicos", cookie
    assert "Owner" in client.get("/memicos/account").text
    client.cookies.clear()


def test_forwarding_headers_count_from_the_proxy_only(demo: Stack, client: httpx.Client) -> None:
    """Not from another container of the same network, whose address is not listed."""
    program = (
        "import urllib.request as u; r = u.Request('http://webapp:3000/smollm2-135m-it/15-res-4k/87', "
        "headers={'Host': 'localhost', 'X-Forwarded-Host': '127.0.0.1:1', 'X-Forwarded-Proto': 'https'}); "
        "print(u.urlopen(r).read().decode())"
    )
    page = output("docker", "exec", demo.container("autointerp")["Id"], "python", "-c", program)
    assert "http://localhost/memicos/smollm2-135m-it" in page and "https://127.0.0.1:1" not in page
