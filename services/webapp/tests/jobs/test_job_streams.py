"""Streams of the progress of jobs: one connection to the database for all of them, and their number is limited."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from memicos_testing.servers import running
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_webapp.app import create_app
from memicos_webapp.jobs import service

EVENTS = "/account/data/jobs/events"
CONNECTIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'memicos-admin'"


@asynccontextmanager
async def webapp(url: str, **changes: Any) -> AsyncIterator[tuple[Any, str]]:
    app = create_app(make_settings(url, **changes))
    async with running(app) as address:
        yield app, address


async def open_stream(stack: AsyncExitStack, address: str) -> AsyncIterator[str]:
    """The lines of a stream, with the first one read."""
    client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, timeout=30))
    response = await stack.enter_async_context(client.stream("GET", EVENTS))
    assert response.status_code == 200
    lines = response.aiter_lines()
    assert await anext(lines) == "event: job"
    return lines


async def test_all_streams_share_a_connection_and_their_number_is_limited(fresh_url: str) -> None:
    async with connected(fresh_url) as connection:
        job = await service.add(connection, "paint", "/house", {})
    async with webapp(fresh_url, job_streams_per_visitor=12) as (app, address):
        async with AsyncExitStack() as stack:
            streams = [await open_stream(stack, address) for _ in range(12)]
            assert len(await fetch(fresh_url, CONNECTIONS)) == 1
            async with httpx.AsyncClient(base_url=address) as client:
                refused = await client.get(EVENTS)
                assert refused.status_code == 429 and "MEMICOS_JOB_STREAMS_PER_VISITOR" in refused.text
                assert int(refused.headers["retry-after"]) > 0
            async with connected(fresh_url) as connection:
                await service.cancel(connection, job)
            # each of them has the end of the job, and ends
            for stream in streams:
                rest = [line async for line in stream]
                assert '"state":"cancelled"' in rest[-5] and rest[-3] == "event: idle", rest
        assert app.state.job_stream_slots.in_progress == {}

        async def closed() -> bool:
            return not await fetch(fresh_url, CONNECTIONS)

        await until(closed)


async def test_a_stream_whose_client_leaves_frees_its_slot_and_the_connection(fresh_url: str) -> None:
    async with connected(fresh_url) as connection:
        await service.add(connection, "paint", "/house", {})
    async with webapp(fresh_url, job_streams=2) as (app, address):
        async with AsyncExitStack() as stack:
            # an iterator that is not kept closes its stream
            streams = [await open_stream(stack, address) for _ in range(2)]
            async with httpx.AsyncClient(base_url=address) as client:
                refused = await client.get(EVENTS)
                assert refused.status_code == 503 and "MEMICOS_JOB_STREAMS)" in refused.text
            assert len(streams) == 2

        async def closed() -> bool:
            return not app.state.job_stream_slots.in_progress and not await fetch(fresh_url, CONNECTIONS)

        await until(closed)


async def test_streams_end_where_the_connection_is_lost_and_later_ones_have_a_new_one(fresh_url: str) -> None:
    async with connected(fresh_url) as connection:
        await service.add(connection, "paint", "/house", {})
    async with webapp(fresh_url) as (_, address), AsyncExitStack() as stack:
        streams = [await open_stream(stack, address) for _ in range(2)]
        await fetch(
            fresh_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'memicos-admin'",
        )
        for stream in streams:
            async with asyncio.timeout(20):
                assert [line async for line in stream][-1] == ""
        await open_stream(stack, address)


@pytest.fixture(autouse=True)
def readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memicos_webapp.admin.job_watch.SECONDS", 0.05)
