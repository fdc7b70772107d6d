"""Raw activations over HTTP, by our client, against plain transformers with independent hooks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memicos_inference_client import Client
from memicos_inference_client.api.activation import activation_raw
from memicos_inference_client.models import RawRequest, RawResponse
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME, SAMPLE
from memicos_testing.servers import Serve

Tokenize = Callable[[str], list[int]]

PROMPTS = [SAMPLE[:120], "Alice", SAMPLE[200:250]]


async def raw(client: Client, **values: Any) -> RawResponse:
    response = await activation_raw.asyncio(client=client, body=RawRequest.from_dict({"prompts": PROMPTS} | values))
    assert isinstance(response, RawResponse), response
    return response


def assert_close(actual: Any, expected: np.ndarray) -> None:
    assert np.shape(actual) == expected.shape and np.allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layers", [None, [3], [2, 0, 2]])
async def test_the_residual_stream(client: Client, hf: Any, tokenize: Tokenize, layers: list[int] | None) -> None:
    layer_options = {} if layers is None else {"layers": layers}
    expected_layers = [0, 1, 2, 3] if layers is None else sorted(set(layers))
    last = await raw(client, **layer_options)
    everywhere = await raw(client, **layer_options, type="all_tokens", model=NAME)
    assert (last.hook_point, last.type_, last.dtype, last.device) == (
        "residual_stream", "final_output_token", "float32", "cpu",
    )  # fmt: skip
    for text, last_layer, all_layers in zip(PROMPTS, last.results, everywhere.results, strict=True):
        ids = tokenize(text)
        expected = plain_model.residuals(hf, ids, expected_layers)
        assert last_layer.token_ids == all_layers.token_ids == ids and "".join(last_layer.token_strings[1:]) == text
        assert (
            [part.layer for part in last_layer.activations]
            == [part.layer for part in all_layers.activations]
            == expected_layers
        )
        for layer, part, parts in zip(expected_layers, last_layer.activations, all_layers.activations, strict=True):
            assert part.hook == parts.hook == f"blocks.{layer}.hook_resid_post"
            assert part.token_indices == [len(ids) - 1] and parts.token_indices == list(range(len(ids)))
            assert_close(parts.values, expected[layer])
            assert_close(part.values, expected[layer][-1:])


async def test_other_hooks(client: Client, hf: Any, tokenize: Tokenize) -> None:
    names = ["blocks.2.mlp.hook_post", "hook_embed", "blocks.0.hook_resid_pre", "blocks.2.mlp.hook_post"]
    captured: list[torch.Tensor] = []
    down = hf.model.layers[2].mlp.down_proj
    for kind in ("all_tokens", "final_output_token"):
        response = await raw(client, hooks=names, type=kind)
        assert response.hook_point is None
        for text, result in zip(PROMPTS, response.results, strict=True):
            ids = tokenize(text)
            handle = down.register_forward_pre_hook(lambda _module, args: captured.append(args[0][0]))
            with torch.inference_mode():
                hf(torch.tensor([ids]))
            handle.remove()
            embedded = hf.model.embed_tokens.weight[ids].detach().numpy()
            assert [(part.layer, part.hook) for part in result.activations] == [
                (2, "blocks.2.mlp.hook_post"), (None, "hook_embed"), (0, "blocks.0.hook_resid_pre"),
            ]  # fmt: skip
            for part, expected in zip(result.activations, (captured[-1].numpy(), embedded, embedded), strict=True):
                assert_close(part.values, expected if kind == "all_tokens" else expected[-1:])


async def test_hooks_by_module_name(client: Client) -> None:
    by_module = {
        "model.layers.2": "blocks.2.hook_resid_post",
        "model.layers.1.input": "blocks.1.hook_resid_pre",
        "model.embed_tokens": "hook_embed",
        "model.layers.2.mlp.down_proj.input": "blocks.2.mlp.hook_post",
    }
    named, usual = await raw(client, hooks=list(by_module)), await raw(client, hooks=list(by_module.values()))
    for row, expected in zip(named.results, usual.results, strict=True):
        for part, same in zip(row.activations, expected.activations, strict=True):
            assert_close(part.values, np.array(same.values))
        hooks = [part.hook for part in row.activations]
        assert hooks == [*list(by_module.values())[:3], "blocks.2.mlp.down_proj.input"]
        assert [part.layer for part in row.activations] == [2, 1, None, 2]
    # one point of the stream under two names is captured once
    (part,) = (await raw(client, hooks=list(next(iter(by_module.items()))))).results[0].activations
    assert part.hook == "blocks.2.hook_resid_post"


async def test_bos_is_prepended_as_in_training_unless_the_request_sets_it(client: Client, tokenize: Tokenize) -> None:
    for prepend_bos, first in ((None, 2), (True, 2), (False, tokenize(PROMPTS[1])[1])):
        response = await raw(client, layers=[1], prepend_bos=prepend_bos)
        assert response.results[1].token_ids[0] == first


async def test_a_wider_dtype_has_exactly_the_values_of_the_model(serve: Serve) -> None:
    async with Client(await serve(model_dtype="bfloat16", sae_sets=())) as client:
        response = await raw(client, layers=[1])
    assert response.dtype == "bfloat16"
    values = torch.tensor(response.results[0].activations[0].values)
    assert torch.equal(values, values.bfloat16().float()) and values.abs().max() > 1
