"""Inference on a free port over a real small model, with SAEs that fire.

model_folder, sources_folder   glassllm as a Llama; SAEs 1-small, 2-small, 3-small (jumprelu) and 2-top (topk)
settings                       makes settings over both
url                            a server over both, shared by tests that need no other settings
serve                          starts a server with the given settings and gives its URL once it is ready
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_inference.app import create_app
from memicos_inference.settings import Settings
from servers import Serve, running
from small_model import NAME, small_model, small_sae, write_extras

WIDTH = 96

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model") / NAME)


@pytest.fixture(scope="session")
def sources_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for layer in (1, 2, 3):
        small_sae(folder / f"{layer}-small", layer, WIDTH, seed=layer)
    write_extras(folder / "3-small", [0], 14.0)
    small_sae(folder / "2-top", 2, WIDTH, seed=9, architecture="topk")
    return folder


@pytest.fixture(scope="session")
def settings(model_folder: Path, sources_folder: Path) -> MakeSettings:
    own = {
        "model_id": NAME,
        "custom_hf_model_id": str(model_folder),
        "sae_folder": sources_folder,
        "sae_sets": ("small", "top"),
        "token_limit": 100,
        "device": "cpu",
    }

    def make(**values: Any) -> Settings:
        return Settings(**own | values)

    return make


@asynccontextmanager
async def ready(settings: Settings) -> AsyncIterator[str]:
    """Serves until left; gives the URL once the model is loaded."""
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url) as http:
        while not (health := (await http.get("/health")).json())["ready"]:
            assert health["state"] != "failed", health["progress"]
            await asyncio.sleep(0.02)
        yield url


@pytest.fixture(scope="session")
async def url(settings: MakeSettings) -> AsyncIterator[str]:
    async with ready(settings()) as url:
        yield url


@pytest.fixture
async def serve(settings: MakeSettings) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(**values: Any) -> str:
            return await stack.enter_async_context(ready(settings(**values)))

        yield start
