"""Activations over HTTP, by our client, against plain transformers and numpy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_inference_client import Client
from memicos_inference_client.api.activation import activation_all, activation_single, activation_topk_by_token
from memicos_inference_client.api.tokenize import tokenize as tokenize_route
from memicos_inference_client.models import (
    AllRequest,
    AllResponse,
    SingleRequest,
    SingleResponse,
    TokenizeRequest,
    TokenizeResponse,
    TopkRequest,
    TopkResponse,
)
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME, SAMPLE
from memicos_testing.servers import Serve

Tokenize = Callable[[str], list[int]]

TEXT = SAMPLE[:150]


@pytest.fixture(scope="module")
def encoded(hf: Any, tokenize: Tokenize, sources_folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """By source: values (T, F) on TEXT, whether they are too near a threshold, and counted positions (T,)."""
    hidden = plain_model.residuals(hf, tokenize(TEXT), [1, 2, 3])
    expected_values = {}
    for name in ("1-small", "2-small", "3-small", "2-top"):
        residual = hidden[int(name[0])]
        cut = 42.0 if name == "3-small" else None
        expected_values[name] = (
            *plain_model.encode(sources_folder / name, residual),
            plain_model.counted(residual, [0], cut),
        )
    return expected_values


def assert_close(values: Any, expected: np.ndarray, near_threshold: np.ndarray | None = None) -> None:
    actual = np.asarray(values)
    off = np.abs(actual - expected) > 1e-3 * np.maximum(1, np.abs(expected))
    assert not (off if near_threshold is None else off & ~near_threshold).any()


async def single(client: Client, **values: Any) -> SingleResponse:
    body = SingleRequest.from_dict({"model": NAME, "prompt": TEXT} | values)
    response = await activation_single.asyncio(client=client, body=body)
    assert isinstance(response, SingleResponse), response
    return response


async def strongest(client: Client, **values: Any) -> AllResponse:
    body = AllRequest.from_dict({"model": NAME, "prompt": TEXT, "source_set": "small"} | values)
    response = await activation_all.asyncio(client=client, body=body)
    assert isinstance(response, AllResponse), response
    return response


@pytest.mark.parametrize("source", ["1-small", "3-small", "2-top"])
async def test_single_is_the_feature_at_every_position(
    client: Client, encoded: Any, tokenize: Tokenize, source: str
) -> None:
    values, near_threshold, counted = encoded[source]
    for index in (0, 17, 95):
        response = await single(client, source=source, index=str(index))
        assert_close(response.activation.values, values[:, index], near_threshold[:, index])
        assert response.activation.max_value_index == np.argmax(response.activation.values)
        assert response.activation.max_value == max(response.activation.values)
        assert response.token_ids == tokenize(TEXT)
        assert response.tokens[0] == "<bos>" and response.tokens_is_special == [True] + [False] * (
            len(response.tokens) - 1
        )
        assert "".join(response.tokens[1:]) == TEXT
        assert response.ignored_positions == np.flatnonzero(~counted).tolist()

        without_bos = await single(client, source=source, index=index, ignore_bos=True)
        assert without_bos.activation.values == response.activation.values
        counted_values = np.where(counted, np.asarray(response.activation.values), -np.inf)
        assert (
            without_bos.activation.max_value_index == np.argmax(counted_values)
            and without_bos.activation.max_value == counted_values.max()
        )


async def test_the_norm_cut_leaves_out_more_than_bos(encoded: Any) -> None:
    assert 1 < (~encoded["3-small"][2]).sum() < len(encoded["3-small"][2]) / 2


async def test_single_of_a_vector_has_no_bos(client: Client, hf: Any, tokenize: Tokenize) -> None:
    ids = tokenize(TEXT)[1:]
    vector = np.random.default_rng(3).normal(size=128)
    stream = ("blocks.2.hook_resid_post", "blocks.3.hook_resid_pre")
    for hook, canonical in zip((*stream, "model.layers.2", "model.layers.3.input"), stream * 2, strict=True):
        response = await single(client, vector=vector.tolist(), hook=hook)
        assert response.recipe.hook_name == canonical
        assert_close(response.activation.values, plain_model.residuals(hf, ids, [2])[2] @ vector)
        assert response.token_ids == ids and response.ignored_positions == []
        assert response.activation.max_value_index == np.argmax(response.activation.values)


async def test_single_of_a_vector_at_another_hook(client: Client, hf: Any, tokenize: Tokenize) -> None:
    import torch

    ids, actual = tokenize(TEXT)[1:], []
    handle = hf.model.layers[1].mlp.register_forward_hook(lambda _module, _args, output: actual.append(output))
    with torch.inference_mode():
        hf(torch.tensor([ids]))
    handle.remove()
    response = await single(client, vector=[0.1] * 128, hook="blocks.1.hook_mlp_out")
    assert_close(response.activation.values, actual[0][0].double().numpy().sum(-1) * 0.1)


@pytest.mark.parametrize("ignore_bos", [True, False])
async def test_all_ranks_every_source_by_its_maximum(client: Client, encoded: Any, ignore_bos: bool) -> None:
    expected = []
    for source in ("1-small", "2-small", "3-small"):
        values, _, counted = encoded[source]
        counted_values = values if not ignore_bos else np.where(counted[:, None], values, 0)
        expected += [(peak, source, index) for index, peak in enumerate(counted_values.max(0)) if peak > 0]
    expected.sort(key=lambda entry: -entry[0])
    response = await strongest(client, num_results=40, ignore_bos=ignore_bos)
    assert len(response.activations) == 40
    assert_close(
        [activation.max_value for activation in response.activations], np.array([peak for peak, _, _ in expected[:40]])
    )
    for activation in response.activations:
        values, near_threshold, counted = encoded[activation.source]
        assert_close(activation.values, values[:, activation.index], near_threshold[:, activation.index])
        counted_values = (
            np.asarray(activation.values) if not ignore_bos else np.where(counted, activation.values, -np.inf)
        )
        assert activation.max_value == counted_values.max() and activation.max_value_index == np.argmax(counted_values)
        assert activation.sum_values is None
    assert [(source.source, source.ignored_positions) for source in response.sources] == [
        (source, np.flatnonzero(~encoded[source][2]).tolist()) for source in ("1-small", "2-small", "3-small")
    ]


async def test_all_returns_25_by_default(client: Client) -> None:
    assert len((await strongest(client)).activations) == 25
    assert len((await strongest(client, num_results=None)).activations) == 25
    everything = await strongest(client, num_results=1000)
    assert (
        25 < len(everything.activations) < 3 * 96
        and min(activation.max_value for activation in everything.activations) > 0
    )


async def test_all_ranks_by_the_sum_at_chosen_positions(client: Client, encoded: Any) -> None:
    values, near_threshold, _ = encoded["2-small"]
    chosen = [4, 9, 11]
    response = await strongest(
        client, selected_sources=["2-small"], sort_by_token_indexes=[*chosen, 4], num_results=1000
    )
    sums = [activation.sum_values for activation in response.activations]
    assert sums == sorted(sums, key=lambda value: -(value or 0)) and sums[0] and sums[0] > 0
    for activation in response.activations:
        if not near_threshold[chosen, activation.index].any():
            assert_close([activation.sum_values], values[chosen, activation.index].sum()[None])


async def test_all_of_chosen_features_includes_those_that_do_not_fire(client: Client, encoded: Any) -> None:
    values, near_threshold, _ = encoded["1-small"]
    silent = int(np.flatnonzero(values[1:].max(0) == 0)[0])
    expected_indices = sorted({silent, 3, 50})
    response = await strongest(client, selected_sources=["1-small"], feature_filter=[50, 3, silent, 3])
    assert sorted(activation.index for activation in response.activations) == expected_indices
    for activation in response.activations:
        assert_close(activation.values, values[:, activation.index], near_threshold[:, activation.index])
    assert {activation.index: activation.max_value for activation in response.activations}[silent] == 0


async def test_all_counts_firing_features_by_layer(client: Client, encoded: Any) -> None:
    response = await strongest(client, selected_sources=["1-small", "3-small"])
    counts = np.asarray(response.counts)
    assert counts.shape == (4, len(response.tokens)) and not counts[[0, 2]].any()
    for layer, source in ((1, "1-small"), (3, "3-small")):
        values, near_threshold, _ = encoded[source]
        assert (np.abs(counts[layer] - (values > 0).sum(1)) <= near_threshold.sum(1)).all()


async def test_topk_is_the_strongest_features_of_each_token(client: Client, encoded: Any, tokenize: Tokenize) -> None:
    for source in ("2-small", "3-small", "2-top"):
        values, near_threshold, counted = encoded[source]
        for ignore_bos in (True, False):
            body = TopkRequest.from_dict(
                {"model": NAME, "prompt": TEXT, "source": source, "top_k": 6, "ignore_bos": ignore_bos}
            )
            response = await activation_topk_by_token.asyncio(client=client, body=body)
            assert isinstance(response, TopkResponse), response
            positions = np.flatnonzero(counted) if ignore_bos else np.arange(len(values))
            assert [result.token_position for result in response.results] == positions.tolist()
            for result in response.results:
                row = values[result.token_position]
                assert result.token == response.tokens[result.token_position]
                values_of_token = [top.activation_value for top in result.top_features]
                assert values_of_token == sorted(values_of_token, reverse=True) and len(
                    {top.feature_index for top in result.top_features}
                ) == len(values_of_token)
                if not near_threshold[result.token_position].any():
                    best = np.sort(row[row > 0])[::-1][:6]
                    assert len(values_of_token) == len(best)
                    assert_close(values_of_token, best)
                    assert_close(values_of_token, row[[top.feature_index for top in result.top_features]])
            assert response.token_ids == tokenize(TEXT)


async def test_tokenize_prepends_bos_as_in_training_unless_the_request_sets_it(
    client: Client, tokenize: Tokenize
) -> None:
    for requested, bos in ((None, True), (True, True), (False, False)):
        body = TokenizeRequest(model=NAME, text=TEXT, prepend_bos=requested)
        response = await tokenize_route.asyncio(client=client, body=body)
        assert isinstance(response, TokenizeResponse)
        assert response.tokens == (tokenize(TEXT) if bos else tokenize(TEXT)[1:])
        assert response.prepend_bos is bos
        assert "".join(response.token_strings[bos:]) == TEXT
        assert response.tokens_is_special == [True] * bos + [False] * (len(response.tokens) - bos)


async def test_the_sync_client_reads_the_same(url: str, client: Client) -> None:
    import asyncio

    body = SingleRequest.from_dict({"model": NAME, "prompt": TEXT, "source": "1-small", "index": 3})
    with Client(url) as sync_client:
        response = await asyncio.to_thread(activation_single.sync, client=sync_client, body=body)
    assert isinstance(response, SingleResponse)
    assert response == await activation_single.asyncio(client=client, body=body)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sort_by_token_indexes": [99]}, "Cannot sort by position 99"),
        ({"feature_filter": [96]}, "Source 1-small has features 0 to 95; there is no 96"),
        ({"feature_filter": list(range(96)), "num_results": 96}, "The response would have"),
    ],
)
async def test_an_invalid_ranking_is_refused_before_the_model_runs(
    serve: Serve, change: dict[str, Any], message: str
) -> None:
    url = await serve(max_values=50, sae_sets=("small",), selftest_seconds=0)
    body = {"model": NAME, "prompt": "Alice sat", "source_set": "small", "selected_sources": ["1-small"]}
    async with httpx.AsyncClient(base_url=url) as http:
        refused = await http.post("/v1/activation/all", json=body | change)
        assert refused.status_code == 400 and message in refused.json()["error"], refused.text
        metrics = (await http.get("/metrics")).text
        assert 'memicos_inference_tokens_in_total{kind="capture"} 0.0' in metrics
