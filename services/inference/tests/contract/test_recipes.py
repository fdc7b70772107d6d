"""The recipe in every response with activations."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_testing.json_bodies.inference_bodies import BODIES, VECTOR
from memicos_testing.models.foreign_saes import random_weights, write_json, write_openai, write_tensors
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

MODEL = {"model": NAME, "weights": NAME, "dtype": "float32", "weight_processing": "none", "prepend_bos": True}
SMALL = MODEL | {
    "hook_name": "blocks.2.hook_resid_post",
    "context_size": 128,
    "ignored_positions": [0],
    "norm_cut": None,
    "sae": {
        "weights": "2-small",
        "architecture": "jumprelu",
        "dtype": "float32",
        "normalize_activations": "none",
        "norm_scaling_factor": None,
        "unit_directions": True,
    },
}


async def post_case(url: str, path: str, **changes: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        response = await http.post(f"/v1/activation/{path}", json=BODIES[f"activation/{path}"] | changes)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("path", ["single", "topk-by-token", "source"])
async def test_recipe_of_a_source(url: str, path: str) -> None:
    assert (await post_case(url, path))["recipe"] == SMALL


@pytest.mark.parametrize("path", ["single-batch", "topk-by-token-batch"])
async def test_recipes_of_several_prompts(url: str, path: str) -> None:
    assert [result["recipe"] for result in (await post_case(url, path))["results"]] == [SMALL, SMALL]


@pytest.mark.parametrize("path", ["all", "all-batch"])
async def test_recipes_of_several_sources(url: str, path: str) -> None:
    response = await post_case(url, path)
    for item in response.get("results", [response]):
        recipes = {source["source"]: source["recipe"] for source in item["sources"]}
        assert recipes["2-small"] == SMALL
        assert recipes["3-small"] == SMALL | {
            "hook_name": "blocks.3.hook_resid_post",
            "norm_cut": 42.0,
            "sae": SMALL["sae"] | {"weights": "3-small"},
        }


async def test_recipes_of_a_vector_and_of_raw_activations(url: str) -> None:
    body = {"model": NAME, "prompt": "Alice", "vector": VECTOR["steering_vector"], "hook": VECTOR["hook"]}
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        response = (await http.post("/v1/activation/single", json=body)).json()
    # this tokenizer does not prepend BOS by itself
    at = {"hook_name": VECTOR["hook"], "context_size": None, "ignored_positions": [], "norm_cut": None, "sae": None}
    assert response["recipe"] == MODEL | at | {"prepend_bos": False}
    assert (await post_case(url, "raw"))["recipe"] == MODEL
    assert (await post_case(url, "raw", prepend_bos=False))["recipe"] == MODEL | {"prepend_bos": False}


async def test_capabilities_have_the_recipes_of_all_sources(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        recipes = {source["id"]: source["recipe"] for source in (await http.get("/v1/capabilities")).json()["sources"]}
    assert recipes["2-small"] == SMALL
    # lengths of directions are folded into values unless that changes the choice of the k largest
    assert recipes["2-top"]["sae"]["architecture"] == "topk" and not recipes["2-top"]["sae"]["unit_directions"]


async def test_recipes_name_the_preprocessing_of_activations(serve: Serve, tmp_path: Path) -> None:
    write_openai(tmp_path / "a" / "3-own", random_weights(3, 128, 40))
    scaled = write_tensors(
        tmp_path / "b" / "1-scaled", random_weights(1, 128, 40), normalize_activations="expected_average_only_in"
    )
    content = json.loads((scaled / "memicos.json").read_text())
    write_json(scaled / "memicos.json", content | {"norm_scaling_factor": 0.31})
    url = await serve(sae_sets=(f"path:{tmp_path / 'a'}", f"path:{tmp_path / 'b'}", "neurons"))
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        sources = (await http.get("/v1/capabilities")).json()["sources"]
    sae_facts = {source["id"]: source["recipe"]["sae"] for source in sources}
    assert sae_facts["3-own"] | {"weights": ""} == {
        "weights": "",
        "architecture": "topk",
        "dtype": "float32",
        "normalize_activations": "layer_norm",
        "norm_scaling_factor": None,
        "unit_directions": False,
    }
    assert sae_facts["3-own"]["weights"] == "a/3-own"
    scaled = sae_facts["1-scaled"]
    assert (scaled["normalize_activations"], scaled["norm_scaling_factor"]) == ("expected_average_only_in", 0.31)
    assert scaled["unit_directions"]
    assert sae_facts["2"] is None
