"""Limits on paid query embeddings, per visitor and in all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.servers import Start
from memicos_testing.webapp.database import execute
from memicos_testing.webapp.html_page import Page
from memicos_webapp.datasets.service import load

SEARCH_ALL = "/api/explanation/search-all"


@pytest.fixture
async def paid_url(create: Callable[..., Any], small_dataset: Path) -> str:
    """A database whose sources are all embedded by the paid embedder; nothing is embedded yet."""
    url = await create("paid")
    await load(small_dataset, url)
    await execute(url, "UPDATE source SET active_embedder = 'openai'")
    return url


def visitor(client: httpx.AsyncClient, address: str) -> httpx.AsyncClient:
    """A client of the same application at another address."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(transport.app, client=(address, 1000)), base_url="http://localhost"
    )


async def test_paid_queries_are_limited_per_visitor_and_in_all(paid_url: str, started: Start) -> None:
    with LlmProvider() as provider:
        settings = {
            "openai_api_key": "sk-mine",
            "openai_base_url": provider.base_url,
            "host": "0.0.0.0",
            "paid_queries_per_visitor_hour": 3,
            "paid_queries_per_day": 5,
        }
        async with started(paid_url, **settings) as client:
            first, second = visitor(client, "203.0.113.5"), visitor(client, "2001:db8:1:2::5")
            for text in ("whale a", "whale b", "whale c", "whale a", "whale  b"):
                assert (await first.post(SEARCH_ALL, json={"query": text})).status_code == 200
            # cached queries cost nothing
            assert len(provider.requests) == 3
            refused = await first.post(SEARCH_ALL, json={"query": "whale d"})
            assert refused.status_code == 429 and "3 searches by meaning per visitor" in refused.json()["error"]
            assert "MEMICOS_PAID_QUERIES_PER_VISITOR_HOUR" in refused.json()["error"]
            assert 3500 < int(refused.headers["retry-after"]) <= 3601
            assert (await first.post(SEARCH_ALL, json={"query": "whale a"})).status_code == 200
            # search by words still works, in the API and on the page
            words_only = await first.post(SEARCH_ALL, json={"query": "whale d", "byMeaning": False})
            assert words_only.status_code == 200 and words_only.json()["results"] and words_only.json()["skipped"] == []
            assert {tuple(hit["matchedBy"]) for hit in words_only.json()["results"]} == {("words",)}
            limited_page = await first.get("/search-explanations", params={"q": "whale e"})
            page = Page(limited_page.text)
            assert limited_page.status_code == 200 and page.find("article", class_="result")
            assert page.find("p", id="limit-notice")
            assert (
                "Matched by words only. You have reached the limit of 3 searches" in page.text()
                and "Try again in" in page.text()
            )
            assert len(provider.requests) == 3
            # another visitor has a separate count; all addresses of a /64 network are one visitor
            same_network = visitor(client, "2001:db8:1:2:ffff::1")
            for sender, text in ((second, "whale f"), (same_network, "whale g")):
                assert (await sender.post(SEARCH_ALL, json={"query": text})).status_code == 200
            refused = await second.post(SEARCH_ALL, json={"query": "whale h"})
            assert refused.status_code == 429 and "5 paid searches by meaning per day" in refused.json()["error"]
            assert "MEMICOS_PAID_QUERIES_PER_DAY" in refused.json()["error"]
            assert 86_000 < int(refused.headers["retry-after"]) <= 86_401
            assert len(provider.requests) == 5


async def test_the_owner_is_not_limited_and_the_local_embedder_is_free(paid_url: str, started: Start) -> None:
    limits = {"paid_queries_per_visitor_hour": 1, "paid_queries_per_day": 1}
    with LlmProvider() as provider:
        keys = {"openai_api_key": "sk-mine", "openai_base_url": provider.base_url}
        async with started(paid_url, **limits, **keys) as client:
            for text in ("whale a", "whale b", "whale c"):
                assert (await client.post(SEARCH_ALL, json={"query": text})).status_code == 200
            # another visitor, through a proxy on this machine
            other_visitor = visitor(client, "203.0.113.5")
            statuses = [
                (await other_visitor.post(SEARCH_ALL, json={"query": text})).status_code for text in ("sea a", "sea b")
            ]
            assert statuses == [200, 429]
    await execute(paid_url, "UPDATE source SET active_embedder = 'minilm'")
    async with started(paid_url, host="0.0.0.0", **limits) as client:
        for text in ("whale a", "whale b", "whale c"):
            assert (await client.post(SEARCH_ALL, json={"query": text})).status_code == 200
