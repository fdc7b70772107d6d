"""The field's published client (`neuronpedia`) works unchanged for every call that has a route."""

import asyncio
from collections.abc import Iterator

import neuronpedia
import pytest
import requests
from memicos_testing.fake_inference_server import FEATURES, FakeInferenceServer, tokens_of, value_of
from memicos_testing.fake_inference_server.bodies import projection_of
from neuronpedia.np_feature import SteerFeature
from neuronpedia.np_vector import NPVector
from neuronpedia.requests import steer_request
from neuronpedia.requests.activation_request import ActivationRequest
from neuronpedia.requests.base_request import NPRequest
from neuronpedia.requests.feature_request import FeatureRequest
from neuronpedia.requests.sae_feature_request import SAEFeatureRequest
from neuronpedia.requests.source_activation_request import SourceActivationRequest
from neuronpedia.requests.topk_by_token_request import TopKByTokenRequest

TEXT = "the whale rose from the sea"


@pytest.fixture(autouse=True)
def _published(url: str, inference: FakeInferenceServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # its own switch, USE_LOCALHOST, has a fixed port
    monkeypatch.setattr(NPRequest, "BASE_URL", f"{url}/api")
    with neuronpedia.api_key("none is needed"):
        yield


async def test_features() -> None:
    feature = await asyncio.to_thread(FeatureRequest().get, "small", "2-res", 5)
    assert (feature.modelId, feature.source, int(feature.index)) == ("small", "2-res", 5)
    assert feature.explanations and feature.explanations[0].text == "the word 'whale' and what follows it"
    assert feature.explanations[0].method == "token-statistics"
    assert feature.activations and len(feature.activations) > 10
    assert {activation.source for activation in feature.activations} == {"2-res"}
    raw = await asyncio.to_thread(SAEFeatureRequest().get, "small", "2-res", "5")
    assert '"frac_nonzero"' in raw.jsonData


async def test_activations_of_a_text_and_of_several() -> None:
    expected = [value_of("2-res", 5, token) for token in tokens_of(TEXT)]
    single_text = await asyncio.to_thread(ActivationRequest().compute_activation_for_text, "small", "2-res", "5", TEXT)
    assert (single_text.tokens, single_text.values) == (tokens_of(TEXT), expected)
    two = await asyncio.to_thread(
        ActivationRequest().compute_activation_for_texts, "small", "2-res", "5", ["a b", TEXT]
    )
    assert [result.tokens for result in two] == [tokens_of("a b"), tokens_of(TEXT)]
    assert two[1].values == expected


async def test_features_of_a_text() -> None:
    request = SourceActivationRequest()
    top_features = await asyncio.to_thread(request.compute_top_features_for_text, "small", ["1-res", "3-res"], TEXT)
    tokens = tokens_of(TEXT)[1:]
    strongest = max(
        ((source, index) for source in ("1-res", "3-res") for index in range(FEATURES)),
        key=lambda item: max(value_of(*item, token) for token in tokens),
    )
    assert len(top_features) == 20
    assert max(top_features[0].values[1:]) == max(value_of(*strongest, token) for token in tokens)
    assert {feature.source for feature in top_features} == {"1-res", "3-res"}
    batch = await asyncio.to_thread(request.compute_top_features_for_texts, "small", "1-res", ["a b", TEXT])
    assert [item[0].tokens for item in batch] == [tokens_of("a b"), tokens_of(TEXT)]


async def test_features_at_each_token() -> None:
    request = TopKByTokenRequest()
    rows = await asyncio.to_thread(request.compute_top_features_by_token_for_text, "small", "1-res", TEXT, 3)
    assert [row.token for row in rows] == tokens_of(TEXT)[1:]
    for row in rows:
        values = sorted((value_of("1-res", index, row.token) for index in range(FEATURES)), reverse=True)
        assert [feature.activationValue for feature in row.topFeatures] == [value for value in values[:3] if value]
    batch = await asyncio.to_thread(request.compute_top_features_by_token_for_texts, "small", "1-res", [TEXT, "a b"])
    assert [len(feature) for feature in batch] == [6, 2]


FEATURE = SteerFeature(modelId="small", source="1-res", index=5, strength=20)


async def test_steering() -> None:
    response = await asyncio.to_thread(
        steer_request.SteerCompletionRequest().steer_features, "small", [FEATURE], "Once", n_tokens=2
    )
    assert isinstance(response, dict)
    assert (response["STEERED"], response["DEFAULT"]) == (" steered0 steered1", " default0 default1")
    turns = [{"role": "user", "content": "Hello"}]
    response = await asyncio.to_thread(
        steer_request.SteerChatRequest().steer_features, "small", [FEATURE], turns, turns, n_tokens=2
    )
    assert isinstance(response, dict)
    assert response["STEERED"]["chatTemplate"] == [*turns, {"role": "assistant", "content": "steered0 steered1"}]


async def test_unknown_names_raise_errors() -> None:
    with pytest.raises(requests.exceptions.HTTPError, match="404"):
        await asyncio.to_thread(FeatureRequest().get, "small", "2-res", 64)
    with pytest.raises(requests.exceptions.HTTPError, match="1 to 4 are taken at once"):
        await asyncio.to_thread(ActivationRequest().compute_activation_for_texts, "small", "2-res", "5", ["a"] * 5)


async def test_vectors() -> None:
    vector = await asyncio.to_thread(NPVector.new, "sea", "small", 2, "hook_resid_pre", [0.1] * 16, 4)
    assert (vector.source, vector.hook_name) == ("2-vectors-resid-pre", "blocks.2.hook_resid_pre")
    assert await asyncio.to_thread(NPVector.get, "small", vector.source, vector.index) == vector
    assert vector in await asyncio.to_thread(NPVector.get_owned)
    activation = await asyncio.to_thread(vector.compute_activation_for_text, TEXT)
    assert activation.values == [projection_of([0.1] * 16, token) for token in tokens_of(TEXT)]
    await asyncio.to_thread(vector.upload_activations, [activation])
    steered = await asyncio.to_thread(vector.steer_completion, "Once upon a time")
    assert steered["STEERED"] and steered["DEFAULT"]  # pyright: ignore[reportIndexIssue] (it says Response)
    await asyncio.to_thread(vector.delete)
    assert vector not in await asyncio.to_thread(NPVector.get_owned)
