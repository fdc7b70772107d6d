"""The nginx example, run by nginx: pages, files, redirects, embeds, streams below /memicos/, with and without TLS."""

import asyncio
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import free_port, running
from memicos_webapp.app import create_app
from memicos_webapp.settings import Settings

FEATURE = {"modelId": "small", "layer": "1-res", "index": 5, "strength": 20.5}
NGINX_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
EXAMPLE = Path(__file__).parents[3] / "deploy/nginx/memicos.conf"


@pytest.fixture(scope="session")
def nginx() -> str:
    """Path of nginx."""
    program = shutil.which("nginx", path=NGINX_PATH)
    assert program
    return program


def read_settings(database_url: str, inference_url: str) -> Settings:
    """Settings of the webapp below /memicos, independent of the environment."""
    values: dict[str, Any] = {"database_url": database_url, "inference_url": inference_url, "root_path": "/memicos"}
    return Settings(**{**values, "_env_file": None})


def make_certificate(certificate: Path, key: Path) -> None:
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)


@pytest.fixture
async def sites(
    nginx: str, tmp_path: Path, loaded_url: str, served_inference: Any
) -> AsyncIterator[tuple[str, str, Path]]:
    """Addresses of the example by http and https, and the certificate."""
    certificate, key = tmp_path / "site.pem", tmp_path / "site.key"
    make_certificate(certificate, key)
    settings = read_settings(loaded_url, served_inference.url)
    async with running(create_app(settings)) as webapp:
        http, https = free_port(), free_port()
        text = EXAMPLE.read_text()
        for old, new in {
            "listen 80;": f"listen 127.0.0.1:{http};",
            "listen 443 ssl;": f"listen 127.0.0.1:{https} ssl;",
            "server_name example.org;": "server_name localhost;",
            "/etc/ssl/example.org.pem": str(certificate),
            "/etc/ssl/example.org.key": str(key),
            "http://127.0.0.1:3000": webapp,
        }.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        (tmp_path / "nginx.conf").write_text(
            f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; daemon off;\nevents {{}}\n"
            f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
            f"fastcgi_temp_path {tmp_path}/a; uwsgi_temp_path {tmp_path}/b; scgi_temp_path {tmp_path}/c;\n{text} }}\n"
        )
        process = await asyncio.create_subprocess_exec(nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf")
        try:
            yield f"http://localhost:{http}", f"https://localhost:{https}", certificate
        finally:
            process.terminate()
            await process.wait()


async def first_answer(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """The response to a GET as soon as nginx listens."""
    for _ in range(200):
        try:
            return await client.get(url)
        except httpx.ConnectError:
            await asyncio.sleep(0.05)
    raise AssertionError("nginx does not listen")


async def test_pages_files_streams_and_links_below_the_path(
    sites: tuple[str, str, Path], inference: FakeInferenceServer
) -> None:
    http, https, certificate = sites
    context = ssl.create_default_context(cafile=str(certificate))
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=30) as client:
        for site in (http, https):
            page = await first_answer(client, f"{site}/memicos/small/1-res/5")
            assert page.status_code == 200
            assert f"{site}/memicos/small/1-res/5?embed=true" in page.text
            embedded = await client.get(f"{site}/memicos/small/1-res/5?embed=true")
            assert "frame-ancestors *" in embedded.headers["content-security-policy"]
            (script,) = re.findall(r'src="(/memicos/static/memicos\.js\?v=\w+)"', page.text)
            assert (await client.get(site + script)).status_code == 200
            assert (await client.get(f"{site}/memicos")).headers["location"].endswith("/memicos/")
            jump = await client.get(f"{site}/memicos/jump", params={"to": "small/1-res/5"})
            assert jump.headers["location"].removeprefix(site) == "/memicos/small/1-res/5"
            assert (await client.get(f"{site}/small/1-res/5")).status_code in (403, 404)  # nginx itself answers

            inference.delay = 0.2
            body = {"modelId": "small", "prompt": "Once", "n_tokens": 6, "features": [FEATURE], "stream": True}
            arrived = []
            async with client.stream("POST", f"{site}/memicos/api/steer", json=body) as response:
                assert response.status_code == 200
                async for chunk in response.aiter_raw():
                    arrived.append((time.monotonic(), chunk))
            inference.reset()
            assert arrived[-1][0] - arrived[0][0] > 0.4, "the stream was buffered"
