"""Requests of one profile over several servers: shares, a server that is gone, one that starts late."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest
from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers import client
from memicos_autointerp_core.providers.chat import ChatRequest, Message
from memicos_autointerp_core.providers.client import Provider, open_http
from memicos_autointerp_core.providers.least_busy import LeastBusyTransport, Replica
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_autointerp_core.providers.profile import Profile
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
from memicos_testing.servers import free_port
from pydantic import SecretStr

PROFILE = Profile.model_validate({"name": "spread", "base_url": "http://vllm.invalid/v1"})
REQUEST = ChatRequest((Message("user", "Which word?"),), "m", max_tokens=50)
OPTIONS = ProviderOptions(timeout_seconds=2, retries=3)


def url(server: LlmProvider) -> str:
    return server.base_url.removesuffix("/v1")


async def chats(running: Sequence[Replica], count: int, at_once: int) -> None:
    slots = asyncio.Semaphore(at_once)
    async with open_http(OPTIONS, LeastBusyTransport(running)) as http:
        provider = Provider(PROFILE, SecretStr(SERVER_KEY), http, OPTIONS)

        async def chat(number: int) -> None:
            async with slots:
                await provider.chat(replace(REQUEST, seed=number))

        await asyncio.gather(*(chat(number) for number in range(count)))


async def test_a_slow_server_gets_fewer_requests() -> None:
    with ExitStack() as exits:
        fast, slow = (exits.enter_context(LlmProvider()) for _ in range(2))
        fast.default, slow.default = Reply(delay=0.02), Reply(delay=0.3)
        running = [Replica(url(fast)), Replica(url(slow))]
        await chats(running, 60, at_once=6)
        assert len(fast.requests) + len(slow.requests) == 60 == sum(one.answered for one in running)
        assert 2 <= len(slow.requests) < 30 < len(fast.requests)
        assert {one.in_flight for one in running} == {0}
        # each server is asked by its own name, and gets the key
        assert fast.requests[0].headers["host"] == url(fast).removeprefix("http://")
        assert slow.requests[0].headers["authorization"] == f"Bearer {SERVER_KEY}"


async def test_requests_of_a_server_that_is_gone_are_repeated_at_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    with LlmProvider() as server:
        gone = Replica(f"http://127.0.0.1:{free_port()}")
        await chats([gone, Replica(url(server))], 20, at_once=4)
        assert len(server.requests) == 20 and gone.answered == 0
    with pytest.raises(ProviderError) as caught:
        await chats([], 1, at_once=1)
    assert caught.value.cause == "unreachable"


async def test_the_start_of_an_endpoint_is_no_part_of_a_time_out() -> None:
    running: list[Replica] = []
    with LlmProvider() as server:

        async def ready() -> None:
            if not running:
                await asyncio.sleep(1)
                running.append(Replica(url(server)))

        options = ProviderOptions(timeout_seconds=0.5, retries=0, deadline_seconds=None)
        async with open_http(options, LeastBusyTransport(running)) as http:
            began = time.monotonic()
            provider = Provider(PROFILE, None, http, options, ready=ready)
            assert (await provider.chat(REQUEST)).text and time.monotonic() - began >= 1

            async def cannot() -> None:
                raise CannotContinue("no replica starts")

            with pytest.raises(CannotContinue, match="no replica starts"):
                await Provider(PROFILE, None, http, options, ready=cannot).chat(REQUEST)
        assert len(server.requests) == 1
