"""Direct feature attribution over HTTP, by our client: for a source at attention heads; null for others."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memicos_inference_client import Client
from memicos_inference_client.api.activation import (
    activation_all,
    activation_all_batch,
    activation_single,
    activation_single_batch,
)
from memicos_inference_client.models import (
    AllBatchRequest,
    AllBatchResponse,
    AllRequest,
    AllResponse,
    SingleBatchRequest,
    SingleBatchResponse,
    SingleRequest,
    SingleResponse,
)
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME, SAMPLE, random_sae
from memicos_testing.servers import Serve

Tokenize = Callable[[str], list[int]]

PROMPTS = [SAMPLE[:120], "Alice"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources of one set, at heads and in the residual stream."""
    folder = tmp_path_factory.mktemp("attention")
    random_sae(folder / "1-mixed", "blocks.1.attn.hook_z", 128, 40)
    random_sae(folder / "2-mixed", "blocks.2.hook_resid_post", 128, 40)
    return folder


@pytest.fixture
async def client(serve: Serve, folder: Path) -> AsyncIterator[Client]:
    async with Client(await serve(sae_folder=folder, sae_sets=("mixed",))) as client:
        yield client


async def test_single_and_its_batch(client: Client, folder: Path, hf: Any, tokenize: Tokenize) -> None:
    values = {"model": NAME, "source": "1-mixed", "index": 7, "ignore_bos": True}
    body = SingleBatchRequest.from_dict(values | {"prompts": PROMPTS})
    batch = await activation_single_batch.asyncio(client=client, body=body)
    assert isinstance(batch, SingleBatchResponse)
    for text, result in zip(PROMPTS, batch.results, strict=True):
        single = await activation_single.asyncio(client=client, body=SingleRequest.from_dict(values | {"prompt": text}))
        assert isinstance(single, SingleResponse)
        pattern, heads_values, _ = plain_model.attention(hf, tokenize(text), 1)
        for activation in (result.activation, single.activation):
            assert activation.dfa_target_index == activation.max_value_index and activation.dfa_values
            expected = plain_model.attributed(folder / "1-mixed", pattern, heads_values, 7, activation.max_value_index)
            assert np.allclose(activation.dfa_values, expected, rtol=1e-3, atol=1e-3)
            assert activation.dfa_max_value == max(activation.dfa_values) and len(activation.dfa_values) == len(
                activation.values
            )


async def test_all_and_its_batch(client: Client, folder: Path, hf: Any, tokenize: Tokenize) -> None:
    values = {"model": NAME, "source_set": "mixed", "num_results": 60}
    body = AllBatchRequest.from_dict(values | {"prompts": PROMPTS})
    batch = await activation_all_batch.asyncio(client=client, body=body)
    assert isinstance(batch, AllBatchResponse)
    for text, result in zip(PROMPTS, batch.results, strict=True):
        single = await activation_all.asyncio(client=client, body=AllRequest.from_dict(values | {"prompt": text}))
        assert isinstance(single, AllResponse)
        pattern, heads_values, _ = plain_model.attention(hf, tokenize(text), 1)
        for activation in (*result.activations, *single.activations):
            if activation.source == "2-mixed":
                assert activation.dfa_values is activation.dfa_max_value is activation.dfa_target_index is None
                continue
            assert activation.dfa_target_index == activation.max_value_index and activation.dfa_values
            expected = plain_model.attributed(
                folder / "1-mixed", pattern, heads_values, activation.index, activation.max_value_index
            )
            assert np.allclose(activation.dfa_values, expected, rtol=1e-3, atol=1e-3)
            assert activation.dfa_max_value == max(activation.dfa_values)
        assert {activation.source for activation in single.activations} == {"1-mixed", "2-mixed"}


async def test_attribution_is_null_for_other_sources(client: Client) -> None:
    for values in ({"source": "2-mixed", "index": 7}, {"vector": [1.0] * 128, "hook": "blocks.1.attn.hook_z"}):
        body = SingleRequest.from_dict({"model": NAME, "prompt": PROMPTS[0]} | values)
        response = await activation_single.asyncio(client=client, body=body)
        assert isinstance(response, SingleResponse)
        assert response.activation.dfa_values is response.activation.dfa_target_index is None
