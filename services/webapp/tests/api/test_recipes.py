"""All activations in pages and API have the recipe by which they were computed."""

import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import httpx
import pyarrow.parquet as pq
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start
from memicos_testing.webapp.html_page import Page

TEXT = "the whale rose, and the captain's ship sank"
MESSAGES = [{"role": "user", "content": "the whale's\nsea"}, {"role": "assistant", "content": "今 “ship”"}]
CHAT = {"input": "chat", **{name: [message[name] for message in MESSAGES] for name in ("role", "content")}}
DATASET = {
    "model": "small",
    "weights": "random weights",
    "dtype": "float32",
    "weight_processing": "none",
    "prepend_bos": True,
    "hook_name": "blocks.2.hook_resid_post",
    "context_size": 32,
    "ignored_positions": [0],
    "norm_cut": 434.9,
    "sae": {
        "weights": "2-res",
        "architecture": "jumprelu",
        "dtype": "float32",
        "normalize_activations": "none",
        "norm_scaling_factor": None,
        "unit_directions": True,
    },
}
FIRST = DATASET | {"hook_name": "blocks.1.hook_resid_post", "sae": DATASET["sae"] | {"weights": "1-res"}}


async def posted(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post(f"/api/{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_examples_have_the_datasets_recipe_and_token_ids(client: httpx.AsyncClient, small_dataset: Path) -> None:
    contexts = pq.read_table(small_dataset / "corpus" / "contexts.parquet")["token_ids"].to_pylist()
    body = (await client.get("/api/feature/small/2-res/5")).json()
    assert body["source"]["recipe"] == DATASET
    for activation in body["activations"]:
        assert activation["tokenIds"] == contexts[int(activation["dataIndex"])] and len(activation["tokenIds"]) == len(
            activation["values"]
        )


async def test_a_tested_text_has_the_recipe_of_inference(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    feature = {"modelId": "small", "layer": "2-res", "index": 5}
    result = await posted(client, "activation/new", {"feature": feature, "customText": TEXT})
    assert result["recipe"] == inference.recipe("2-res") != DATASET
    assert result["tokenIds"] == list(range(len(result["tokens"]))) and result["ignoredPositions"] == [0]


async def test_searches_have_both(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    result = await posted(
        client,
        "search-all",
        {"modelId": "small", "sourceSet": "res", "text": TEXT, "selectedLayers": ["1-res", "2-res"]},
    )
    assert result["recipes"] == {name: inference.recipe(name) for name in ("1-res", "2-res")}
    assert result["exampleRecipes"] == {"1-res": FIRST, "2-res": DATASET}
    result = await posted(client, "search-topk-by-token", {"modelId": "small", "source": "2-res", "text": TEXT})
    assert (result["recipe"], result["exampleRecipe"]) == (inference.recipe("2-res"), DATASET)
    result = await posted(client, "explanation/search", {"modelId": "small", "layers": ["2-res"], "query": "whale"})
    assert result["results"] and result["exampleRecipes"] == {"small/2-res": DATASET}


async def test_the_sae_facts_of_a_manifest_are_shown(own_url: str, started: Start) -> None:
    sae_facts = DATASET["sae"] | {"normalize_activations": "layer_norm", "unit_directions": False}
    connection = await asyncpg.connect(own_url)
    await connection.execute("UPDATE load SET recipe = recipe || $1::jsonb", json.dumps({"sae": sae_facts}))
    await connection.close()
    async with started(own_url) as client:
        body = (await client.get("/api/feature/small/2-res/5")).json()
        page = (await client.get("/small/2-res/5")).text
    assert body["source"]["recipe"]["sae"] == sae_facts
    assert "activations normalised (layer norm)" in page


def command_in(page: str, name: str) -> list[str]:
    """The command in the field with this id, split as a shell does."""
    ((_, command),) = Page(page).find("textarea", id=name)
    return shlex.split(command)


async def test_pages_give_the_command(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    address = "http://localhost/small/2-res/5"
    page = (await client.get("/small/2-res/5")).text
    assert command_in(page, "recompute-examples") == ["memicos", "recompute", address]
    response = await client.post("/small/2-res/5/test", data={"text": TEXT})
    assert command_in(response.text, "recompute-text") == ["memicos", "recompute", address, "--text", TEXT]
    chat = await client.post("/small/2-res/5/test", data=CHAT)
    *start, option, text = command_in(chat.text, "recompute-text")
    assert (start, option, json.loads(text)) == (["memicos", "recompute", address], "--messages", MESSAGES)
    assert "Computed now, by arithmetic: BOS added, 32-token windows, position 0 left out, bfloat16." in response.text
    query = {"modelId": "small", "sourceSet": "res", "q": TEXT, "source": "2-res", "hideDense": "false"}
    for path in ("/search/results", "/search-topk-by-token/results"):
        response = await client.get(f"{path}?{urlencode(query)}")
        *start, program, option, text = command_in(response.text, "recompute-strongest")
        assert (start, option, text) == (["memicos", "recompute"], "--text", TEXT)
        assert program.startswith("http://localhost/small/")
        chat = {name: value for name, value in query.items() if name != "q"} | CHAT
        *start, program, option, text = command_in(
            (await client.get(f"{path}?{urlencode(chat, doseq=True)}")).text, "recompute-strongest"
        )
        assert (start, option, json.loads(text)) == (["memicos", "recompute"], "--messages", MESSAGES)
        assert "2-res: BOS added, 32-token windows, position 0 left out, bfloat16." in response.text


@pytest.mark.parametrize("path", ["/small/2-res/5?embed=true", "/small/2-res", "/small/res"])
async def test_pages_without_it_have_the_recipe_in_words(client: httpx.AsyncClient, path: str) -> None:
    recipe_text = (
        "BOS added, 32-token windows, position 0 and outlier tokens (residual norm above 434.9) left out, float32"
    )
    assert recipe_text in (await client.get(path)).text
