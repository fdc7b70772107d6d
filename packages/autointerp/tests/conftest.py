"""A local server that speaks OpenAI's chat completions, and providers that call it.

llm       the server, reset before each test
connect   makes a `Provider` for it; profile fields by name, and `key`, `options`, `cache`
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from memicos_autointerp_core.providers.answer_cache import AnswerCache
from memicos_autointerp_core.providers.client import Provider, open_http
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_autointerp_core.providers.profile import Profile
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider
from pydantic import SecretStr

Connect = Callable[..., Provider]


@pytest.fixture(scope="session")
def running_llm() -> Iterator[LlmProvider]:
    with LlmProvider() as server:
        yield server


@pytest.fixture
def llm(running_llm: LlmProvider) -> LlmProvider:
    running_llm.reset()
    return running_llm


@pytest.fixture
async def connect(llm: LlmProvider) -> AsyncIterator[Connect]:
    async with open_http(ProviderOptions()) as http:

        def make(
            *,
            key: str | None = SERVER_KEY,
            options: ProviderOptions | None = None,
            cache: AnswerCache | None = None,
            **fields: Any,
        ) -> Provider:
            profile = Profile.model_validate({"name": "test", "base_url": llm.base_url, **fields})
            return Provider(profile, SecretStr(key) if key else None, http, options, cache)

        yield make
