"""Autointerp on a free port, with a language model's provider behind it that fails on demand.

provider    the provider, reset before each test; its base URL is provider.base_url
url         a server over both, shared by tests that need no other settings
serve       starts a server with the given settings over SERVER_KEY and the provider, and gives its URL
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from memicos_autointerp.app import create_app
from memicos_autointerp.settings import Settings
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider
from memicos_testing.servers import Serve, running


@pytest.fixture(scope="session")
def running_provider() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


@pytest.fixture
def provider(running_provider: LlmProvider) -> LlmProvider:
    running_provider.reset()
    return running_provider


def settings(provider: LlmProvider, **values: Any) -> Settings:
    own = {"base_url": provider.base_url, "api_key": SERVER_KEY, "model": "own-model", "retries": 0}
    return Settings(**{"openrouter_url": None, "allowed_base_urls": ""} | own | values)


@pytest.fixture(scope="session")
async def running_server(running_provider: LlmProvider) -> AsyncIterator[str]:
    async with running(create_app(settings(running_provider))) as url:
        yield url


@pytest.fixture
def url(running_server: str, provider: LlmProvider) -> str:
    return running_server


@pytest.fixture
async def serve(provider: LlmProvider) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(**values: Any) -> str:
            app = create_app(settings(provider, **values))
            return await stack.enter_async_context(running(app))

        yield start
