"""Datasets of texts shorter than a context, padded and packed: imported into PostgreSQL and shown on pages."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from memicos_pipeline.generate import generate
from memicos_testing.models.short_texts import (
    BOS,
    EOS,
    PAD,
    SIZE,
    contexts_by_collection,
    encoded_texts,
    expected_contexts,
    short_texts_config,
)  # fmt: skip
from memicos_testing.models.small_model import small_model, small_sae, write_extras
from memicos_webapp.app import create_app
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load
from memicos_webapp.settings import Settings
from transformers import AutoTokenizer

SOURCE, WIDTH = "1-res", 16
PAGE = f"/glass/{SOURCE}"


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with temporary() as url:
        yield url


@pytest.fixture(scope="module", params=["pad", "pack"])
async def imported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server_url: str
) -> AsyncIterator[tuple[httpx.AsyncClient, Path, list[list[int]]]]:
    """A client of a webapp with the dataset, the folder of the model, and the token ids of every context."""
    folder = tmp_path_factory.mktemp(request.param)
    small_model(folder / "model")
    write_extras(small_sae(folder / "saes" / SOURCE, 1, WIDTH, seed=1), [0], None)
    expected = expected_contexts(encoded_texts(folder), request.param)
    config = short_texts_config(folder, SOURCE, request.param, contexts_by_collection(expected))
    await asyncio.to_thread(generate, config, lambda line: None)
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {request.param}")
    await connection.close()
    database = server_url.replace("/postgres?", f"/{request.param}?")
    await migrate(database)
    await load(config.out, database)
    own: Any = {"database_url": database, "embed_every_seconds": 0}
    app = create_app(Settings(_env_file=None, **own))  # pyright: ignore[reportCallIssue]
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), http as client:
        yield client, folder, [[BOS, *ids] for _, ids in expected]


async def features(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return [(await client.get(f"/api/feature{PAGE}/{index}")).raise_for_status().json() for index in range(WIDTH)]


async def test_examples_are_the_texts_without_padding(
    imported: tuple[httpx.AsyncClient, Path, list[list[int]]],
) -> None:
    client, folder, contexts = imported
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    examples = [example for feature in await features(client) for example in feature["activations"]]
    assert len(examples) > 50
    for example in examples:
        ids = example["tokenIds"]
        assert ids in contexts and PAD not in ids
        assert len(ids) == len(example["tokens"]) == len(example["values"])
        text = tokenizer.decode(ids[1:], clean_up_tokenization_spaces=False)
        assert "".join(example["tokens"][1:]).strip() == text.strip()
        assert example["values"][0] == 0 and max(example["values"]) == pytest.approx(example["maxValue"])
    is_padded = any(len(ids) < SIZE for ids in contexts)
    assert any(len(example["tokenIds"]) < SIZE for example in examples) == is_padded
    # the end of a text within a context is a token of the model's text
    assert any(EOS in example["tokenIds"] for example in examples) != is_padded


async def test_counts_are_of_the_texts_tokens(imported: tuple[httpx.AsyncClient, Path, list[list[int]]]) -> None:
    client, _, contexts = imported
    counted = sum(len(ids) - 1 for ids in contexts)
    alive = [feature for feature in await features(client) if feature["activations"]]
    assert len(alive) > WIDTH / 2
    for feature in alive:
        active = feature["frac_nonzero"] * counted
        assert active == pytest.approx(round(active), abs=1e-3) and round(active) >= 1
        # of a feature that fires at few tokens, all are among the examples
        positions = {
            (tuple(example["tokenIds"]), i)
            for example in feature["activations"]
            for i, value in enumerate(example["values"])
            if value > 0
        }
        assert len(positions) <= round(active)
        page = (await client.get(f"{PAGE}/{feature['index']}")).raise_for_status().text
        assert f" of {counted:,} tokens)" in page and f"{round(active):,} of {counted:,} tokens" in page


async def test_pages_show_whole_texts_without_padding(
    imported: tuple[httpx.AsyncClient, Path, list[list[int]]],
) -> None:
    client, folder, contexts = imported
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    texts = {tokenizer.decode(ids[1:], clean_up_tokenization_spaces=False).strip() for ids in contexts}
    feature = next(feature for feature in await features(client) if len(feature["activations"]) > 5)
    html = (await client.get(f"{PAGE}/{feature['index']}/examples")).raise_for_status().text
    shown = [
        unescape(re.sub("<[^>]*>", "", text))
        for text in re.findall(r'<div class="text"[^>]*>(.*?)</div>', html, re.DOTALL)
    ]
    assert shown and all(text.replace("␣", " ").strip() in texts for text in shown)
    assert tokenizer.pad_token == "<pad>" and not any("<pad>" in text for text in shown)
    source = (await client.get(PAGE)).raise_for_status().text
    assert "<pad>" not in unescape(source)
