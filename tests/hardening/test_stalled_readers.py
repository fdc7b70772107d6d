"""Visitors who begin streams and never read: others are served, and the readers are closed after a time."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from memicos_testing.servers import in_thread
from memicos_testing.stalled_readers import (
    FEATURE,
    PreparedInferenceServer,
    begin,
    measure_requests,
    stalled_reader,
    statuses,
)
from memicos_testing.webapp.small_dataset import write_dataset
from memicos_testing.webapp.webapp_program import visitor, webapp

pytestmark = pytest.mark.slow

READERS, REQUESTS = 120, 8
GIVE_UP_SECONDS = 15
SEND_SECONDS = 45
"""Longer than it takes to begin all readers and to measure."""
STREAMS_PER_VISITOR = 32


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    server = PreparedInferenceServer()
    server.prepare()
    write_dataset(tmp_path)
    with (
        in_thread(server.app()) as inference,
        webapp(tmp_path, inference, {"MEMICOS_SEND_SECONDS": str(SEND_SECONDS)}) as url,
    ):
        yield url


@pytest.mark.parametrize("addresses", [[f"127.2.0.{n + 1}" for n in range(READERS)], ["127.3.0.1"] * READERS])
async def test_stalled_readers_cost_other_visitors_nothing(url: str, addresses: list[str]) -> None:
    async with visitor(url, 999) as http:
        alone = await measure_requests(http, REQUESTS, GIVE_UP_SECONDS)
        readers = begin(url, addresses)
        assert len(readers) == (READERS if len(set(addresses)) > 1 else STREAMS_PER_VISITOR)
        beside = await measure_requests(http, REQUESTS, GIVE_UP_SECONDS)
        features = [FEATURE | {"strength": 20}]
        stream = {"modelId": "small", "prompt": "a", "features": features, "n_tokens": 40, "stream": True}
        assert "shareUrl" in (await http.post("/api/steer", json=stream)).text
    for name, latencies in beside.items():
        assert not latencies.failures and len(latencies.seconds) == REQUESTS, (name, str(latencies))
        # the medians are about equal; other programs of the machine may delay any of them
        assert min(latencies.seconds) < 3 * max(alone[name].seconds), (name, str(latencies), str(alone[name]))
    if len(set(addresses)) == 1:
        refused = stalled_reader(url, addresses[0])
        await asyncio.sleep(1)
        assert statuses([refused]) == {"429": 1}
        refused.close()
        # the readers are closed, and others of the same visitor are served again
        end, status = time.monotonic() + 3 * SEND_SECONDS, {}
        while status != {"200": 1} and time.monotonic() < end:
            reader = stalled_reader(url, addresses[0])
            await asyncio.sleep(2)
            status = statuses([reader])
            reader.close()
        assert status == {"200": 1}
    for reader in readers:
        reader.close()
