"""The nginx example, run by nginx: pages, files, redirects, embeds, streams below /memicos/, with and without TLS."""

import re
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.nginx import Site, nginx_site
from memicos_testing.servers import running
from memicos_webapp.app import create_app
from memicos_webapp.settings import Settings

FEATURE = {"modelId": "small", "layer": "1-res", "index": 5, "strength": 20.5}


def read_settings(database_url: str, inference_url: str) -> Settings:
    """Settings of the webapp below /memicos, independent of the environment."""
    values: dict[str, Any] = {"database_url": database_url, "inference_url": inference_url, "root_path": "/memicos"}
    values["trusted_proxies"] = "127.0.0.1"
    return Settings(**{**values, "_env_file": None})


@pytest.fixture
async def site(tmp_path: Path, loaded_url: str, served_inference: Any) -> AsyncIterator[Site]:
    async with running(create_app(read_settings(loaded_url, served_inference.url))) as webapp:
        with nginx_site(webapp, tmp_path) as site:
            yield site


async def test_pages_files_streams_and_links_below_the_path(site: Site, inference: FakeInferenceServer) -> None:
    context = ssl.create_default_context(cafile=str(site.certificate))
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=30) as client:
        for address in (site.http, site.https):
            page = await client.get(f"{address}/memicos/small/1-res/5")
            assert page.status_code == 200
            assert f"{address}/memicos/small/1-res/5?embed=true" in page.text
            embedded = await client.get(f"{address}/memicos/small/1-res/5?embed=true")
            assert "frame-ancestors *" in embedded.headers["content-security-policy"]
            (script,) = re.findall(r'src="(/memicos/static/memicos\.js\?v=\w+)"', page.text)
            assert (await client.get(address + script)).status_code == 200
            assert (await client.get(f"{address}/memicos")).headers["location"].endswith("/memicos/")
            jump = await client.get(f"{address}/memicos/jump", params={"to": "small/1-res/5"})
            assert jump.headers["location"].removeprefix(address) == "/memicos/small/1-res/5"
            assert (await client.get(f"{address}/small/1-res/5")).status_code in (403, 404)  # nginx itself answers

            inference.delay = 0.2
            body = {"modelId": "small", "prompt": "Once", "n_tokens": 6, "features": [FEATURE], "stream": True}
            arrived = []
            async with client.stream("POST", f"{address}/memicos/api/steer", json=body) as response:
                assert response.status_code == 200
                async for chunk in response.aiter_raw():
                    arrived.append((time.monotonic(), chunk))
            inference.reset()
            assert arrived[-1][0] - arrived[0][0] > 0.4, "the stream was buffered"
