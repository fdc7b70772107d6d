"""A model whose tokenizer has no BOS, with sources trained with one: every endpoint."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_testing.json_bodies.inference_bodies import BODIES
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME, SAMPLE, without_bos
from memicos_testing.servers import Serve

TEXT = SAMPLE[:100]


@pytest.fixture
async def http(serve: Serve, model_folder: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    url = await serve(custom_hf_model_id=str(without_bos(model_folder, tmp_path)))
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        yield http


async def test_every_endpoint_responds_and_the_first_token_counts(
    http: httpx.AsyncClient, hf: Any, tokenize: Callable[[str], list[int]], sources_folder: Path
) -> None:
    for path, body in BODIES.items():
        response = await http.post(path, json=body)
        assert response.status_code == 200, (path, response.text)
        assert "<bos>" not in response.text, path
    ids = tokenize(TEXT)[1:]

    async def ask(path: str, **body: Any) -> Any:
        return (await http.post(path, json={"model": NAME} | body)).json()

    assert await ask("tokenize", text=TEXT, prepend_bos=True) | {"token_strings": [], "tokens_is_special": []} == {
        "tokens": ids, "prepend_bos": False, "token_strings": [], "tokens_is_special": [],
    }  # fmt: skip
    values, near_threshold = plain_model.encode(sources_folder / "2-small", plain_model.residuals(hf, ids, [2])[2])
    index = int(np.argmax(np.where(near_threshold, 0, values)[0]))  # the strongest on the first token
    single = await ask("activation/single", prompt=TEXT, source="2-small", index=index, ignore_bos=True)
    assert single["token_ids"] == ids and single["ignored_positions"] == []
    assert single["activation"]["values"] == pytest.approx(values[:, index], abs=1e-3)
    assert single["activation"]["max_value_index"] == int(np.argmax(values[:, index]))
    best = await ask("activation/all-batch", prompts=[TEXT, "Alice"], source_set="small", num_results=1000)
    second = best["results"][0]["sources"][1]
    assert (second["source"], second["ignored_positions"], second["recipe"]["ignored_positions"]) == ("2-small", [], [])
    assert {
        activation["index"] for activation in best["results"][0]["activations"] if activation["source"] == "2-small"
    } >= {index}
    rows = (await ask("activation/topk-by-token", prompt=TEXT, source="2-small"))["results"]
    assert [row["token_position"] for row in rows] == list(range(len(ids)))
    sparse = (await ask("activation/source", prompts=[TEXT], source="2-small"))["results"][0]["activeFeatures"]
    assert sparse[str(index)][0][0] == 0
    raw = await ask("activation/raw", prompts=[TEXT], layers=[2], type="all_tokens", prepend_bos=True)
    assert raw["results"][0]["token_ids"] == ids


async def test_an_empty_prompt_has_no_position(http: httpx.AsyncClient) -> None:
    for path in ("activation/single", "activation/all", "activation/topk-by-token"):
        response = await http.post(path, json=BODIES[path] | {"prompt": ""})
        assert response.status_code == 400 and "The prompt is empty" in response.json()["error"]
    for path in ("activation/source", "activation/all-batch", "activation/raw"):
        response = await http.post(path, json=BODIES[path] | {"prompts": ["Alice", ""]})
        assert response.status_code == 400 and "no tokens (prompts.1)" in response.json()["error"]
