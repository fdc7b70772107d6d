"""The generated client of the API reads every answer, streams included."""

import memicos_client
import pytest
from memicos_client import Client, errors
from memicos_client.api.activation import new_activation
from memicos_client.api.explanation import search_explanations_model
from memicos_client.api.feature import get_feature
from memicos_client.api.search import search_all, search_topk_by_token
from memicos_client.api.steer import steer, steer_chat
from memicos_client.models import (
    Activation,
    ChatMessage,
    ExplanationSearchResult,
    FeatureBody,
    FeatureId,
    NewActivation,
    SearchAllRequest,
    SearchAllResult,
    SearchModelBody,
    SteerAnswer,
    SteerChatAnswer,
    SteerChatRequest,
    SteerFeature,
    SteerRequest,
    TopkRequest,
    TopkResult,
)
from memicos_client.sse import StreamError
from memicos_testing.fake_inference_server import FakeInferenceServer, tokens_of

TEXT = "the whale rose"
FEATURE = SteerFeature(model_id="small", layer="1-res", index=5, strength=20)


@pytest.fixture
def client(url: str, inference: FakeInferenceServer) -> Client:
    return Client(url)


async def test_answers_are_models(client: Client) -> None:
    feature = await get_feature.asyncio("small", "1-res", "5", client=client)
    assert isinstance(feature, FeatureBody) and feature.index == "5" and feature.activations
    own = NewActivation(custom_text=TEXT, feature=FeatureId(model_id="small", layer="1-res", index=5))
    activation = await new_activation.asyncio(client=client, body=own)
    assert isinstance(activation, Activation) and activation.tokens == tokens_of(TEXT)
    strongest = SearchAllRequest(model_id="small", source_set="res", text=TEXT)
    strongest_features = await search_all.asyncio(client=client, body=strongest)
    assert isinstance(strongest_features, SearchAllResult) and strongest_features.result[0].neuron
    by_token = TopkRequest(model_id="small", source="1-res", text=TEXT)
    rows = await search_topk_by_token.asyncio(client=client, body=by_token)
    assert isinstance(rows, TopkResult) and [row.token for row in rows.results] == tokens_of(TEXT)[1:]
    by_meaning = await search_explanations_model.asyncio(
        client=client, body=SearchModelBody(query="whale", model_id="small")
    )
    assert isinstance(by_meaning, ExplanationSearchResult) and by_meaning.results[0].index == "5"


async def test_both_kinds_of_steering_stream(client: Client) -> None:
    body = SteerRequest(model_id="small", prompt="Once", features=[FEATURE], n_tokens=3)
    response = await steer.asyncio(client=client, body=body)
    assert isinstance(response, SteerAnswer) and response.steered == " steered0 steered1 steered2"
    frames = [frame async for frame in steer.astream(client=client, body=body)]
    assert [frame.default for frame in frames][-1] == " default0 default1 default2" and len(frames) == 4
    turns = [ChatMessage(role="user", content="Hello")]
    chat = SteerChatRequest(
        model_id="small", default_chat_messages=turns, steered_chat_messages=turns, features=[FEATURE], n_tokens=2
    )
    last = [frame async for frame in steer_chat.astream(client=client, body=chat)][-1]
    assert isinstance(last, SteerChatAnswer) and last.steered
    assert last.steered.chat_template[-1].content == "steered0 steered1"


async def test_errors_are_raised_with_their_message(client: Client) -> None:
    for index in (64, "64"):
        with pytest.raises(errors.NotFound) as missing:
            await get_feature.asyncio("small", "1-res", index, client=client)
        assert missing.value.status_code == 404 and "has no feature 64" in missing.value.message
    body = SteerRequest(model_id="small", prompt="Once", features=[], n_tokens=3)
    with pytest.raises(errors.BadRequest) as caught:
        async for _ in steer.astream(client=client, body=body):
            pass
    assert caught.value.status_code == 422 and "features" in caught.value.message


async def test_index_is_a_number_or_text(client: Client) -> None:
    # through the package itself, as with `from memicos_client import Client, get_feature, ...`
    feature = await memicos_client.get_feature.asyncio("small", "1-res", 5, client=client)
    assert feature == await get_feature.asyncio("small", "1-res", "5", client=client)
    same_feature = memicos_client.SteerFeature(model_id="small", layer="1-res", index=feature.index, strength=20)
    for features in ([same_feature], [FEATURE]):
        body = memicos_client.SteerRequest(model_id="small", prompt="Once", features=features, n_tokens=3)
        response = await memicos_client.steer.asyncio(client=client, body=body)
        assert response.steered == " steered0 steered1 steered2"


async def test_an_error_event_of_a_stream_is_raised(client: Client, inference: FakeInferenceServer) -> None:
    inference.error_after = 2
    body = SteerRequest(model_id="small", prompt="Once", features=[FEATURE], n_tokens=3)
    with pytest.raises(StreamError, match="No memory is left"):
        async for _ in steer.astream(client=client, body=body):
            pass
