"""Several prompts over HTTP, by our client: each gets its result alone, and `source` equals numpy's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_inference_client import Client
from memicos_inference_client.api.activation import (
    activation_all_batch,
    activation_single_batch,
    activation_source,
    activation_topk_by_token_batch,
)
from memicos_inference_client.models import (
    AllBatchRequest,
    AllBatchResponse,
    SingleBatchRequest,
    SingleBatchResponse,
    SourceRequest,
    SourceResponse,
    TopkBatchRequest,
    TopkBatchResponse,
)
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME, SAMPLE
from memicos_testing.servers import Serve

Tokenize = Callable[[str], list[int]]

PROMPTS = [SAMPLE[:150], "Alice", SAMPLE[200:260]]
CLOSE = 1e-4


def alike(actual: Any, expected: Any) -> None:
    """Responses of the same form, with numbers within 1e-4."""
    assert type(actual) is type(expected), (actual, expected)
    if isinstance(actual, dict):
        assert actual.keys() == expected.keys()
        for name in actual:
            alike(actual[name], expected[name])
    elif isinstance(actual, list):
        assert len(actual) == len(expected)
        for actual_item, expected_item in zip(actual, expected, strict=True):
            alike(actual_item, expected_item)
    else:
        assert actual == (pytest.approx(expected, rel=CLOSE, abs=CLOSE) if isinstance(actual, float) else expected)


async def single_results(url: str, path: str, values: dict[str, Any]) -> list[Any]:
    """Responses of the single endpoint for each of PROMPTS."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        responses = [await http.post(f"/v1/activation/{path}", json=values | {"prompt": text}) for text in PROMPTS]
    assert [response.status_code for response in responses] == [200] * len(PROMPTS)
    return [response.json() for response in responses]


@pytest.mark.parametrize(
    "values",
    [
        {"source": "2-small", "index": 17},
        {"source": "3-small", "index": "5", "ignore_bos": True},
        {"source": "2-top", "index": 40},
        {"vector": [0.1] * 128, "hook": "blocks.1.hook_resid_post"},
        {"vector": [0.1] * 128, "hook": "blocks.1.hook_mlp_out"},
    ],
)
async def test_single_batch(url: str, client: Client, values: dict[str, Any]) -> None:
    body = SingleBatchRequest.from_dict({"model": NAME, "prompts": PROMPTS} | values)
    response = await activation_single_batch.asyncio(client=client, body=body)
    assert isinstance(response, SingleBatchResponse), response
    alike(
        [result.to_dict() for result in response.results], await single_results(url, "single", {"model": NAME} | values)
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"selected_sources": ["1-small", "3-small"], "ignore_bos": False, "num_results": 60},
        {"sort_by_token_indexes": [0, 1], "ignore_bos": False, "num_results": 3},
        {"selected_sources": ["2-small"], "feature_filter": [3, 50]},
    ],
)
async def test_all_batch(url: str, client: Client, values: dict[str, Any]) -> None:
    values = {"model": NAME, "source_set": "small"} | values
    response = await activation_all_batch.asyncio(
        client=client, body=AllBatchRequest.from_dict(values | {"prompts": PROMPTS})
    )
    assert isinstance(response, AllBatchResponse), response
    alike([result.to_dict() for result in response.results], await single_results(url, "all", values))


@pytest.mark.parametrize("values", [{"source": "3-small"}, {"source": "2-top", "top_k": 2, "ignore_bos": False}])
async def test_topk_by_token_batch(url: str, client: Client, values: dict[str, Any]) -> None:
    body = TopkBatchRequest.from_dict({"model": NAME, "prompts": PROMPTS} | values)
    response = await activation_topk_by_token_batch.asyncio(client=client, body=body)
    assert isinstance(response, TopkBatchResponse), response
    alike(
        [result.to_dict() for result in response.results],
        await single_results(url, "topk-by-token", {"model": NAME} | values),
    )


@pytest.mark.parametrize(("source", "cut"), [("2-small", None), ("3-small", 42.0)])
@pytest.mark.parametrize("ignore_bos", [True, False])
async def test_source_is_every_value_above_0(
    client: Client, hf: Any, tokenize: Tokenize, sources_folder: Path, source: str, cut: float | None, ignore_bos: bool
) -> None:
    body = SourceRequest(prompts=PROMPTS, model=NAME, source=source, ignore_bos=ignore_bos)
    response = await activation_source.asyncio(client=client, body=body)
    assert isinstance(response, SourceResponse), response
    layer = int(source[0])
    for text, result in zip(PROMPTS, response.results, strict=True):
        hidden = plain_model.residuals(hf, tokenize(text), [layer])[layer]
        values, near_threshold = plain_model.encode(sources_folder / source, hidden)
        counted = plain_model.counted(hidden, [0], cut)
        assert result.ignored_positions == np.flatnonzero(~counted).tolist()
        assert result.token_ids == tokenize(text) and result.tokens_is_special == [True] + [False] * (len(hidden) - 1)
        assert "".join(result.tokens[1:]) == text
        dense = np.zeros_like(values)
        for index, pairs in result.active_features.additional_properties.items():
            for position, value in pairs:
                assert isinstance(position, int) and value > 0
                dense[position, int(index)] = value
        expected = values * counted[:, None] if ignore_bos else values
        off = np.abs(dense - expected) > 1e-3 * np.maximum(1, expected)
        assert not (off & ~near_threshold).any() and (dense > 0).any()


async def test_64_prompts_under_the_budget_and_one_over_it(serve: Serve) -> None:
    url = await serve(batch_tokens=64 * 4, sae_sets=("small",))
    values: dict[str, Any] = {"model": NAME, "source": "1-small", "index": 3}
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        short = await http.post("/v1/activation/single-batch", json=values | {"prompts": ["Alice"] * 64})
        assert short.status_code == 200 and len(short.json()["results"]) == 64
        long = await http.post("/v1/activation/single-batch", json=values | {"prompts": [PROMPTS[0]] * 10})
        n = len((await http.post("/v1/activation/single", json=values | {"prompt": PROMPTS[0]})).json()["tokens"])
        assert f"10 prompts, the longest of {n} tokens, are {10 * n} tokens" in long.json()["error"]
        assert "at most 256 run together (INFERENCE_BATCH_TOKENS)" in long.json()["error"] and long.status_code == 400
        # a single prompt is not padded
        single_prompt = await http.post("/v1/activation/single-batch", json=values | {"prompts": [PROMPTS[0]]})
        assert single_prompt.status_code == 200
