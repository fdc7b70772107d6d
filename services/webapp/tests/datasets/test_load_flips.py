"""An import that replaces a load during a request: the response is of one load, the new one, without an error."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from memicos_dataset.manifest import Manifest
from memicos_embeddings.embedder import MINILM
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_webapp.accounts.identity import LOCAL_OWNER
from memicos_webapp.app import create_app
from memicos_webapp.catalog.models import Source
from memicos_webapp.datasets.service import load
from memicos_webapp.features import service as features
from memicos_webapp.inference.service import Inference
from memicos_webapp.settings import Settings
from sqlalchemy import update

TEXT = "the whale rose from the sea"


@pytest.fixture
async def app(own_url: str, served_inference: Any, inference: FakeInferenceServer) -> AsyncIterator[FastAPI]:
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        database_url=own_url,
        inference_url=served_inference.url,
        embed_every_seconds=0,
        search_page=20,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def new_dataset(tmp_path: Path, write_dataset: Callable[..., Manifest]) -> Path:
    """The same sources with other texts and activations, and fewer features."""
    write_dataset(tmp_path, features=48, seed=9)
    return tmp_path


def after_import(call: Callable[..., Awaitable[Any]], folder: Path, url: str) -> Callable[..., Awaitable[Any]]:
    """Replaces `call`: before its first run the dataset in `folder` is imported."""
    imported = False

    async def importing(*arguments: Any) -> Any:
        nonlocal imported
        if not imported:
            imported = True
            assert (await load(folder, url)).loaded
        return await call(*arguments)

    return importing


def rows(folder: Path, source: str) -> dict[int, dict[str, Any]]:
    table = pq.read_table(folder / source / "features-00000.parquet").to_pylist()
    return {row["index"]: row for row in table}


def texts(folder: Path) -> list[list[str]]:
    """The contexts' tokens as the database has them."""
    vocabulary = pq.read_table(folder / "corpus" / "vocabulary.parquet")["token"].to_pylist()
    contexts = pq.read_table(folder / "corpus" / "contexts.parquet")["token_ids"].to_pylist()
    return [[vocabulary[i].replace("\0", "␀") for i in ids] for ids in contexts]


def check_neurons(neurons: list[dict[str, Any]], folder: Path) -> None:
    """Check that every feature and its strongest example are those of the dataset in `folder`."""
    contexts = texts(folder)
    assert neurons
    for neuron in neurons:
        row = rows(folder, neuron["layer"])[int(neuron["index"])]
        assert neuron["maxActApprox"] == pytest.approx(row["max_activation"])
        assert neuron["frac_nonzero"] == pytest.approx(row["density"])
        if row["example_contexts"]:
            assert neuron["activations"][0]["tokens"] == contexts[row["example_contexts"][0]]


async def test_search_by_meaning(
    app: FastAPI, client: httpx.AsyncClient, own_url: str, new_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = app.state.embedders
    monkeypatch.setattr(registry, "query_vector", after_import(registry.query_vector, new_dataset, own_url))
    # the import happens while the query's vector is computed, which sources without an embedder do not need
    async with app.state.database.transaction() as session:
        await session.execute(update(Source).values(active_embedder=MINILM))
    response = await client.post("/api/explanation/search-all", json={"query": "whale ship sea"})
    assert response.status_code == 200, response.text
    check_neurons([result["neuron"] for result in response.json()["results"]], new_dataset)


@pytest.mark.parametrize("rank", ["raw", "share"])
async def test_search_by_own_text(
    client: httpx.AsyncClient,
    own_url: str,
    new_dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    rank: str,
) -> None:
    for name in ("all", "active_features"):
        monkeypatch.setattr(Inference, name, after_import(getattr(Inference, name), new_dataset, own_url))
    body = {"modelId": "small", "sourceSet": "res", "text": TEXT, "densityThreshold": 0.05, "rank": rank}
    response = await client.post("/api/search-all", json=body)
    assert response.status_code == 200, response.text
    neurons = [result["neuron"] for result in response.json()["result"]]
    check_neurons(neurons, new_dataset)
    assert all(result["frac_nonzero"] <= 0.05 for result in neurons)


async def test_search_token_by_token(
    client: httpx.AsyncClient, own_url: str, new_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = after_import(Inference.topk_by_token, new_dataset, own_url)
    monkeypatch.setattr(Inference, "topk_by_token", call)
    body = {"modelId": "small", "source": "1-res", "text": TEXT, "densityThreshold": 0.05}
    response = await client.post("/api/search-topk-by-token", json=body)
    assert response.status_code == 200, response.text
    check_neurons(
        [feature["feature"] for row in response.json()["results"] for feature in row["topFeatures"]], new_dataset
    )


async def test_a_page_shows_one_load(app: FastAPI, own_url: str, small_dataset: Path, new_dataset: Path) -> None:
    async with app.state.database.snapshot() as session:
        source, row = await features.get(session, LOCAL_OWNER, "small", "1-res", 5)
        await load(new_dataset, own_url)
        detail = await features.find(session, LOCAL_OWNER, "small", "1-res", 5)
    assert detail.source.load_id == source.load_id and detail.row == row
    contexts = texts(small_dataset)
    assert {number: context.tokens for number, context in detail.contexts.items()} == {
        number: contexts[number] for number in row.example_contexts
    }
