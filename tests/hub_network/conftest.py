"""The real gpt2-small with 7-res-jb from the hub or its cache; `make test-hub`, not in `make test`.

url   an inference server over them; if they are unavailable every test fails with the reason
"""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from memicos_inference.app import create_app
from memicos_inference.settings import Settings
from memicos_testing.servers import running

SETTINGS = Settings(
    model_id="gpt2-small",
    sae_sets=("res-jb",),
    include_sae=("^7-res-jb$",),
    token_limit=500,
    device="cpu",
)


@pytest.fixture(scope="session")
async def url() -> AsyncIterator[str]:
    async with running(create_app(SETTINGS)) as url, httpx.AsyncClient(base_url=url) as http:
        while not (health := (await http.get("/health")).json())["ready"]:
            if health["state"] == "failed":
                pytest.fail(
                    "These tests need gpt2 and its source 7-res-jb from the hub, or HF_HOME with them: "
                    f"{health['progress']}",
                    pytrace=False,
                )
            await asyncio.sleep(0.2)
        yield url
