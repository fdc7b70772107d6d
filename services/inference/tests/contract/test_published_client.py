"""The field's published client, unchanged, against every method of this server."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from memicos_testing.models.small_model import NAME, random_sae
from memicos_testing.servers import Serve
from neuronpedia_inference_client.api.default_api import DefaultApi as Api
from neuronpedia_inference_client.api_client import ApiClient
from neuronpedia_inference_client.configuration import Configuration
from neuronpedia_inference_client.exceptions import ApiException
from neuronpedia_inference_client.models.activation_all_batch_post_request import ActivationAllBatchPostRequest
from neuronpedia_inference_client.models.activation_all_post_request import ActivationAllPostRequest
from neuronpedia_inference_client.models.activation_single_batch_post_request import ActivationSingleBatchPostRequest
from neuronpedia_inference_client.models.activation_single_post_request import ActivationSinglePostRequest
from neuronpedia_inference_client.models.activation_source_post_request import ActivationSourcePostRequest
from neuronpedia_inference_client.models.activation_topk_by_token_batch_post_request import (
    ActivationTopkByTokenBatchPostRequest,
)
from neuronpedia_inference_client.models.activation_topk_by_token_post_request import ActivationTopkByTokenPostRequest
from neuronpedia_inference_client.models.np_feature import NPFeature
from neuronpedia_inference_client.models.np_steer_chat_message import NPSteerChatMessage
from neuronpedia_inference_client.models.np_steer_feature import NPSteerFeature
from neuronpedia_inference_client.models.np_steer_method import NPSteerMethod
from neuronpedia_inference_client.models.np_steer_type import NPSteerType
from neuronpedia_inference_client.models.np_steer_vector import NPSteerVector
from neuronpedia_inference_client.models.steer_completion_chat_post_request import SteerCompletionChatPostRequest
from neuronpedia_inference_client.models.steer_completion_request import SteerCompletionRequest
from neuronpedia_inference_client.models.tokenize_post_request import TokenizePostRequest
from neuronpedia_inference_client.models.util_sae_topk_by_decoder_cossim_post_request import (
    UtilSaeTopkByDecoderCossimPostRequest,
)
from neuronpedia_inference_client.models.util_sae_vector_post_request import UtilSaeVectorPostRequest

PROMPT = "Alice sat on the bank."
PROMPTS = [PROMPT, "The King and Queen of Hearts were seated on their throne.", "Alice"]
FEATURE = NPSteerFeature(model=NAME, source="2-small", index=11, strength=3)
SAMPLING: dict[str, Any] = {
    "model": NAME,
    "steer_method": NPSteerMethod.SIMPLE_ADDITIVE,
    "normalize_steering": False,
    "types": [NPSteerType.STEERED, NPSteerType.DEFAULT],
    "n_completion_tokens": 6,
    "temperature": 0,
    "strength_multiplier": 2,
    "freq_penalty": 2.0,
    "seed": 16.0,
}


@pytest.fixture
def api(url: str) -> Iterator[Api]:
    with ApiClient(Configuration(host=f"{url}/v1")) as client:
        yield Api(client)


async def call(method: Callable[..., Any], body: Any) -> Any:
    # it blocks, and the server runs in this event loop
    return await asyncio.to_thread(method, body)


async def test_activation_single(api: Api) -> None:
    request = ActivationSinglePostRequest(prompt=PROMPT, model=NAME, source="2-small", index="11")
    response = await call(api.activation_single_post, request)
    assert len(response.activation.values) == len(response.tokens) and response.tokens[0] == "<bos>"
    assert response.activation.max_value == max(response.activation.values)
    hook = "blocks.2.hook_resid_post"
    request = ActivationSinglePostRequest(prompt=PROMPT, model=NAME, vector=[0.1] * 128, hook=hook)
    assert len((await call(api.activation_single_post, request)).tokens) == len(response.tokens) - 1


async def test_activation_all(api: Api) -> None:
    request = ActivationAllPostRequest(
        prompt=PROMPT,
        model=NAME,
        source_set="small",
        selected_sources=["1-small", "2-small"],
        sort_by_token_indexes=[],
        ignore_bos=True,
        num_results=7,
    )
    response = await call(api.activation_all_post, request)
    assert len(response.activations) == 7 and len(response.counts) == 3
    best = response.activations[0]
    single = ActivationSinglePostRequest(prompt=PROMPT, model=NAME, source=best.source, index=str(best.index))
    assert (await call(api.activation_single_post, single)).activation.values == pytest.approx(best.values, abs=1e-3)


async def test_activation_topk_by_token(api: Api) -> None:
    request = ActivationTopkByTokenPostRequest(prompt=PROMPT, model=NAME, source="2-small", top_k=3, ignore_bos=True)
    response = await call(api.activation_topk_by_token_post, request)
    assert [result.token_position for result in response.results] == list(range(1, len(response.tokens)))
    assert all(len(result.top_features) <= 3 for result in response.results)


async def test_batches(api: Api) -> None:
    single = ActivationSingleBatchPostRequest(prompts=PROMPTS, model=NAME, source="2-small", index="11")
    for result in (await call(api.activation_single_batch_post, single)).results:
        assert len(result.activation.values) == len(result.tokens) == len(result.tokens_is_special)
        assert result.activation.dfa_values is None
    strongest = ActivationAllBatchPostRequest(
        prompts=PROMPTS,
        model=NAME,
        source_set="small",
        selected_sources=[],
        sort_by_token_indexes=[],
        ignore_bos=True,
        num_results=4,
    )
    assert [len(result.activations) for result in (await call(api.activation_all_batch_post, strongest)).results] == [
        4
    ] * 3
    topk = ActivationTopkByTokenBatchPostRequest(
        prompts=PROMPTS, model=NAME, source="2-small", top_k=2, ignore_bos=True
    )
    for result in (await call(api.activation_topk_by_token_batch_post, topk)).results:
        assert [row.token_position for row in result.results] == list(range(1, len(result.tokens)))


async def test_attribution(serve: Serve, tmp_path: Path) -> None:
    random_sae(tmp_path / "1-heads", "blocks.1.attn.hook_z", 128, 20)
    url = await serve(sae_folder=tmp_path, sae_sets=("heads",))
    with ApiClient(Configuration(host=f"{url}/v1")) as client:
        request = ActivationSinglePostRequest(prompt=PROMPT, model=NAME, source="1-heads", index="11")
        activation = (await call(Api(client).activation_single_post, request)).activation
    assert activation.dfa_target_index == activation.max_value_index and activation.dfa_max_value == max(
        activation.dfa_values
    )
    assert len(activation.dfa_values) == len(activation.values)


async def test_activation_source(api: Api) -> None:
    request = ActivationSourcePostRequest(prompts=PROMPTS, model=NAME, source="2-small")
    response = await call(api.activation_source_post, request)
    single = ActivationSingleBatchPostRequest(prompts=PROMPTS, model=NAME, source="2-small", index="11")
    for result, dense in zip(
        response.results, (await call(api.activation_single_batch_post, single)).results, strict=True
    ):
        values_by_position = {int(position): value for position, value in result.active_features.get("11", [])}
        values = dense.activation.values
        assert values_by_position == pytest.approx(
            {i: value for i, value in enumerate(values) if value > 0 and i > 0}, abs=1e-3
        )
    assert any(result.active_features for result in response.results)


async def test_sae_vector(api: Api) -> None:
    response = await call(api.util_sae_vector_post, UtilSaeVectorPostRequest(model=NAME, source="2-small", index=11))
    assert len(response.vector) == 128 and response.hook_name == "blocks.2.hook_resid_post"


async def test_sae_topk_by_decoder_cossim(api: Api) -> None:
    feature = NPFeature(model=NAME, source="2-small", index=11)
    request = UtilSaeTopkByDecoderCossimPostRequest(feature=feature, model=NAME, source="2-small", num_results=3)
    response = await call(api.util_sae_topk_by_decoder_cossim_post, request)
    neighbours = response.topk_decoder_cossim_features
    assert response.feature == neighbours[0].feature == feature and neighbours[0].cosine_similarity == pytest.approx(1)
    request = UtilSaeTopkByDecoderCossimPostRequest(vector=[1.0] * 128, model=NAME, source="2-small", num_results=3)
    assert len((await call(api.util_sae_topk_by_decoder_cossim_post, request)).topk_decoder_cossim_features) == 3


async def test_tokenize(api: Api) -> None:
    response = await call(api.tokenize_post, TokenizePostRequest(model=NAME, text=PROMPT, prepend_bos=False))
    assert "".join(response.token_strings) == PROMPT and not response.prepend_bos


async def test_steer_completion(api: Api) -> None:
    request = SteerCompletionRequest(prompt=PROMPT, features=[FEATURE], n_logprobs=2, **SAMPLING)
    response = await call(api.steer_completion_post, request)
    assert [output.type for output in response.outputs] == ["STEERED", "DEFAULT"]
    for output in response.outputs:
        assert output.output.startswith(PROMPT) and len(output.output) > len(PROMPT)
        assert len(output.logprobs) == 6 and len(output.logprobs[0].top_logprobs) == 2
    vector = NPSteerVector(steering_vector=[1] * 128, strength=2, hook="blocks.1.hook_resid_pre")
    request = SteerCompletionRequest(prompt=PROMPT, vectors=[vector], **SAMPLING)
    assert len((await call(api.steer_completion_post, request)).outputs) == 2
    capped: dict[str, Any] = SAMPLING | {"steer_method": NPSteerMethod.PROJECTION_CAP}
    request = SteerCompletionRequest(prompt=PROMPT, features=[FEATURE], **capped)
    assert len((await call(api.steer_completion_post, request)).outputs) == 2


async def test_steer_completion_chat(api: Api) -> None:
    request = SteerCompletionChatPostRequest(
        prompt=[NPSteerChatMessage(role="user", content=PROMPT)],
        features=[FEATURE],
        steer_special_tokens=True,
        **SAMPLING,
    )
    response = await call(api.steer_completion_chat_post, request)
    assert [output.type for output in response.outputs] == ["STEERED", "DEFAULT"]
    for output in response.outputs:
        assert output.raw.startswith(response.input.raw)
        assert [turn.role for turn in output.chat_template] == ["user", "assistant"]


async def test_the_client_gets_the_errors(api: Api) -> None:
    request = SteerCompletionRequest(prompt=PROMPT, **SAMPLING)
    with pytest.raises(ApiException) as refused:
        await call(api.steer_completion_post, request)
    assert refused.value.status == 400
    assert "exactly one of features or vectors must be provided" in str(refused.value.body)
    request = TokenizePostRequest(model=NAME, text="Alice. " * 100)
    with pytest.raises(ApiException, match="Text too long: "):
        await call(api.tokenize_post, request)


async def test_the_key_of_the_client_is_our_secret(serve: Serve) -> None:
    url = await serve(secret="open sesame", sae_sets=())
    request = TokenizePostRequest(model=NAME, text=PROMPT)
    for key, status in (("open sesame", 200), ("wrong", 401)):
        configuration = Configuration(host=f"{url}/v1", api_key={"SimpleSecretAuth": key})
        with ApiClient(configuration) as client:
            try:
                await call(Api(client).tokenize_post, request)
                statuses = 200
            except ApiException as error:
                statuses = error.status
        assert statuses == status
