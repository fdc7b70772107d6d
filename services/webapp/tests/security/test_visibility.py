"""Who reads what: every route and search x visibility of model, release, source set and source x owner, other, nobody.

`hidden/1-hid` is the source whose visibility is changed; its feature 5 is explained by a text with the word in SECRET.
What must be seen is computed here from the rules, not by the code under test.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from memicos_dataset.manifest import Manifest
from memicos_embeddings.embedder import MINILM
from memicos_embeddings.minilm import MiniLmEmbedder
from memicos_embeddings.registry import EmbedderRegistry
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.owner_probes import REDIRECT, owner_only, owner_probes
from memicos_testing.webapp.visibility_probes import (
    LEVELS,
    NONE,
    OWN_DATA,
    PROBES,
    SEARCH,
    SECRET,
    SOURCE,
    WITHOUT_DATA,
    Level,
    Probe,
)
from memicos_webapp.accounts import service
from memicos_webapp.accounts.identity import LOCAL_OWNER
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.accounts.viewer import current_viewer
from memicos_webapp.app import create_app
from memicos_webapp.catalog import pages as catalog_pages
from memicos_webapp.catalog.visibility import NOBODY, Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.datasets.service import load
from memicos_webapp.embeddings.service import embed_missing

OWNER, OTHER = Viewer(2), Viewer(3)
CONCURRENT = 8
"""Requests at the same time: most of a request is waiting for PostgreSQL."""
VIEWERS = {"owner": OWNER, "other": OTHER, "nobody": NOBODY}

TABLES: dict[Level, str] = {
    "model": "model WHERE id = 'hidden'",
    "release": "release WHERE id = 'hidden-release'",
    "source_set": "source_set WHERE model_id = 'hidden'",
    "source": "source WHERE model_id = 'hidden'",
}


def routes(app: FastAPI) -> set[tuple[str, str]]:
    """(method, path) of every route."""
    contexts: list[Any] = []
    for route in app.routes:
        inner: Any = getattr(route, "effective_route_contexts", None)
        contexts += inner() if inner else [route]
    return {
        (method, route.path)
        for route in contexts
        for method in (getattr(route, "methods", None) or {"GET"})
        if method != "HEAD"
    }


def is_shown(level: Level, visibility: str, viewer: Viewer, named_items: set[Any]) -> bool:
    """The rules: public for everyone, private for the owner, unlisted for requests that name the item."""
    return viewer == OWNER or visibility == "public" or (visibility == "unlisted" and level in named_items)


@pytest.fixture(scope="module")
async def hidden_url(
    create: Callable[..., Any],
    small_dataset: Path,
    tmp_path_factory: pytest.TempPathFactory,
    write_dataset: Callable[..., Manifest],
) -> str:
    url = await create("visibility")
    hidden = tmp_path_factory.mktemp("hidden")
    write_dataset(hidden, model="hidden", source_set="hid", layers=(1,), seed=5)
    await load(hidden, url)
    await load(small_dataset, url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("INSERT INTO account (name) VALUES ('owner'), ('other')")
        await connection.execute(
            """INSERT INTO explanation (source_id, index, description, method, author_id, chosen_as_label)
               SELECT id, 5, $1, 'human', 2, true FROM source WHERE name = '1-hid'""",
            f"the whale called {SECRET}, an animal of the sea by an island",
        )
        await connection.execute(
            """INSERT INTO score (explanation_id, corpus_id, method, model, value, low, high, seed, around,
                 text_contexts, text_positions, text_distances, text_answers, author_id)
               SELECT id, NULL, 'eleuther_embedding', 'all-MiniLM-L6-v2', 0.9, 0.8, 1, 0, 4, '{}', '{}', '{}', '{}', 2
               FROM explanation WHERE description LIKE '%' || $1 || '%'""",
            SECRET,
        )
        await connection.execute(
            """INSERT INTO user_vector (model_id, source, index, layer, hook_name, label, values, visibility, owner_id)
               SELECT 'hidden', '1-vectors-resid-post', index, 1, 'blocks.1.hook_resid_post', $1, $2, 'unlisted', owner
               FROM (VALUES (7, 2), (8, NULL)) AS vectors (index, owner)""",
            f"a vector called {SECRET}",
            [1.0] * 16,
        )
        assert await connection.fetch("SELECT id FROM account ORDER BY id") == [(1,), (2,), (3,)]
    finally:
        await connection.close()
    await embed_missing(url, EmbedderRegistry([MiniLmEmbedder(threads=2)], MINILM, 10))
    return url


@pytest.fixture(scope="module")
async def app(hidden_url: str, served_inference: Any) -> AsyncIterator[FastAPI]:
    settings = make_settings(
        hidden_url,
        inference_url=served_inference.url,
        inference_status_seconds=0,
        embed_every_seconds=0,
        search_page=50,
        autointerp_url="http://127.0.0.1:9",
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(
    app: FastAPI, inference: FakeInferenceServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    # features of the small datasets fire more often than those that the home page shows of larger ones
    monkeypatch.setattr(catalog_pages, "SAMPLE_DENSITY", 1)
    inference.model, inference.sources = "hidden", ("1-hid",)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    app.dependency_overrides.clear()


def see_as(app: FastAPI, viewer: Viewer) -> None:
    async def override() -> Viewer:
        return viewer

    app.dependency_overrides[current_viewer] = override


async def change(url: str, level: Level, visibility: str, owner: int | None) -> None:
    """Set visibility and owner of one level; the others are public and without an owner."""
    connection = await asyncpg.connect(url)
    try:
        for other_table, table in TABLES.items():
            name, condition = table.split(" ", 1)
            values = (visibility, owner) if other_table == level else ("public", None)
            await connection.execute(
                f"UPDATE {name} SET visibility = $1::visibility, owner_id = $2 {condition}",  # noqa: S608 (constants)
                *values,
            )
    finally:
        await connection.close()


def test_every_route_has_a_probe(app: FastAPI) -> None:
    assert set(PROBES) | WITHOUT_DATA | OWN_DATA | owner_only() == routes(app)


async def ask(client: httpx.AsyncClient, method: str, probe: Probe) -> tuple[int, str]:
    """Status, headers and body as one text."""
    response = await client.request(method, probe.path, json=probe.body, data=probe.form, headers=probe.headers)
    return response.status_code, f"location: {response.headers.get('location', '')}\n{response.text}"


@pytest.mark.parametrize("visibility", ["public", "unlisted", "private"])
@pytest.mark.parametrize("level", LEVELS)
async def test_visibility_matrix(
    client: httpx.AsyncClient, app: FastAPI, hidden_url: str, level: Level, visibility: str
) -> None:
    await change(hidden_url, level, visibility, OWNER.account_id)
    wrong = []
    requests = [(method, probe) for (method, _), probes in PROBES.items() for probe in probes]
    slots = asyncio.Semaphore(CONCURRENT)

    async def response(method: str, probe: Probe) -> tuple[int, str]:
        async with slots:
            return await ask(client, method, probe)

    for name, viewer in VIEWERS.items():
        see_as(app, viewer)
        responses = await asyncio.gather(*(response(method, probe) for method, probe in requests))
        for (method, probe), (status, text) in zip(requests, responses, strict=True):
            above = level in probe.levels
            seen = not above or is_shown(level, visibility, viewer, probe.named)
            exists = not above or is_shown(level, visibility, viewer, probe.exists or probe.named)
            expected = probe.status if exists else probe.missing
            if status != expected or (probe.marker in text) != seen or (not exists and SECRET in text):
                wrong.append(
                    f"{name}: {method} {probe.path} {probe.body or ''}: status {status} for {expected}, "
                    f"{probe.marker!r} in it: {probe.marker in text} for {seen}"
                )
    assert not wrong, "\n".join(wrong)


async def test_public_items_beside_private_ones_stay_readable(
    client: httpx.AsyncClient, app: FastAPI, hidden_url: str, inference: FakeInferenceServer
) -> None:
    await change(hidden_url, "source", "private", OWNER.account_id)
    inference.model, inference.sources = "small", ("1-res", "2-res", "3-res")
    see_as(app, NOBODY)
    for path in ("/", "/small", "/small/res", "/small/1-res", "/small/1-res/5", "/small/steer?feature=1-res/5"):
        assert (await client.get(path)).status_code == 200
    response = await client.post("/api/explanation/search-all", json=SEARCH)
    assert {result["modelId"] for result in response.json()["results"]} == {"small"}


@pytest.mark.parametrize(
    ("owned", "private"), [("release", "source_set"), ("release", "source"), ("source_set", "source")]
)
async def test_an_item_without_an_owner_inherits_one(
    client: httpx.AsyncClient, app: FastAPI, hidden_url: str, owned: Level, private: Level
) -> None:
    await change(hidden_url, owned, "public", OWNER.account_id)
    connection = await asyncpg.connect(hidden_url)
    name, condition = TABLES[private].split(" ", 1)
    await connection.execute(f"UPDATE {name} SET visibility = 'private' {condition}")  # noqa: S608 (constants)
    statuses = {}
    for visitor_name, viewer in VIEWERS.items():
        see_as(app, viewer)
        statuses[visitor_name] = (await client.get("/hidden/1-hid/5")).status_code
    assert statuses == {"owner": 200, "other": 404, "nobody": 404}
    # its own owner takes precedence
    await connection.execute(f"UPDATE {name} SET owner_id = 3 {condition}")  # noqa: S608 (constants)
    for visitor_name, viewer in VIEWERS.items():
        see_as(app, viewer)
        statuses[visitor_name] = (await client.get("/hidden/1-hid/5")).status_code
    assert statuses == {"owner": 404, "other": 200, "nobody": 404}
    await connection.close()


@pytest.mark.parametrize("level", LEVELS)
async def test_an_owner_does_not_read_private_items_of_another(
    client: httpx.AsyncClient, app: FastAPI, hidden_url: str, level: Level
) -> None:
    await change(hidden_url, level, "private", OTHER.account_id)
    connection = await asyncpg.connect(hidden_url)
    for other_table, table in TABLES.items():
        name, condition = table.split(" ", 1)
        if other_table != level:
            await connection.execute(f"UPDATE {name} SET owner_id = 2 {condition}")  # noqa: S608 (constants)
    await connection.close()
    see_as(app, OWNER)
    assert (await client.get("/hidden/1-hid/5")).status_code == 404
    see_as(app, LOCAL_OWNER)
    assert (await client.get("/hidden/1-hid/5")).status_code == 200


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("0.0.0.0", 404)])
async def test_without_credentials_only_a_visitor_on_loopback_is_the_owner(
    hidden_url: str, started: Start, host: str, status: int
) -> None:
    await change(hidden_url, "model", "private", None)
    async with started(hidden_url, host=host) as client:
        assert (await client.get("/hidden/1-hid/5")).status_code == status


@dataclass(frozen=True)
class Proof:
    """The credentials that a request sends, and the viewer that they identify."""

    viewer: Viewer
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def proofs(hidden_url: str) -> dict[str, Proof]:
    """A session and keys of the accounts 1 (owner of the server), 2 and 3, by name."""
    settings = make_settings(hidden_url)
    database = Database(hidden_url, settings)
    proofs = {"nobody": Proof(NOBODY), "key of another system": Proof(NOBODY, {"X-Api-Key": "sk-other"})}
    try:
        for name, account in (("server owner", 1), ("owner", 2), ("other", 3)):
            token = (await service.create_link(database, settings, account)).partition("#")[2]
            session = await service.sign_in(database, settings, token, "a browser")
            all_rights = LOCAL_OWNER if account == 1 else Viewer(account)
            proofs[f"session of {name}"] = Proof(all_rights, {"Cookie": f"memicos_session={session.token}"})
            for scope in SCOPES:
                _, key = await service.create_api_key(database, settings, account, name, [scope], None)
                viewer = all_rights if scope == "admin" else Viewer(account)
                proofs[f"{scope} key of {name}"] = Proof(viewer, {"X-Api-Key": key})
    finally:
        await database.close()
    return proofs


SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
READS = (
    Probe("/hidden/1-hid/5", SOURCE),
    Probe("/api/feature/hidden/1-hid/5", SOURCE),
    Probe("/search-explanations?q=animal+island", NONE, missing=200),
    Probe("/", NONE, 'href="/hidden"', 200),
)


@pytest.mark.parametrize("visibility", ["public", "unlisted", "private"])
@pytest.mark.parametrize("level", LEVELS)
async def test_visibility_matrix_by_session_and_key_beyond_loopback(
    client: httpx.AsyncClient,
    hidden_url: str,
    started: Start,
    proofs: dict[str, Proof],
    level: Level,
    visibility: str,
) -> None:
    await change(hidden_url, level, visibility, OWNER.account_id)
    wrong = []
    async with started(hidden_url, host="0.0.0.0", search_page=50) as beyond:
        for name, proof in proofs.items():
            for probe in READS:
                seen = proof.viewer.admin or is_shown(level, visibility, proof.viewer, probe.named)
                response = await beyond.get(probe.path, headers=proof.headers)
                expected = probe.status if seen else probe.missing
                if response.status_code != expected or (probe.marker in response.text) != seen:
                    wrong.append(
                        f"{name}: {probe.path}: status {response.status_code} for {expected}, seen: {not seen}"
                    )
    assert not wrong, "\n".join(wrong)


async def test_only_the_owner_of_the_server_uses_pages_and_api_of_data(
    hidden_url: str, started: Start, proofs: dict[str, Proof], tmp_path: Path
) -> None:
    """Neither owners of hidden items, nor keys of the server's owner without the scope admin."""
    await change(hidden_url, "model", "private", OWNER.account_id)
    requests = owner_probes(str(tmp_path), permitted=False) | REDIRECT
    wrong = []
    async with started(hidden_url, host="0.0.0.0", import_roots=str(tmp_path / "other")) as beyond:
        for name, proof in proofs.items():
            for (method, _), probe in requests.items():
                # what a browser adds to a form
                headers = {**proof.headers, "Origin": "http://localhost"}
                beyond.headers.update(headers)
                status, text = await ask(beyond, method, probe)
                for header in headers:
                    del beyond.headers[header]
                if proof.viewer.admin:
                    right = status == probe.status and probe.marker in text
                else:
                    refusal = 401 if name == "key of another system" else 403
                    right = status == refusal and not any(
                        secret in text for secret in (probe.marker, SECRET, "1-hid", str(tmp_path))
                    )
                if not right:
                    wrong.append(f"{name}: {method} {probe.path}: status {status}, {probe.marker!r}: {text[-300:]}")
    assert not wrong, "\n".join(wrong)
