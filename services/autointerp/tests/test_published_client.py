"""The published client, neuronpedia-autointerp-client 1.0.1, unchanged: every method, and every field that it reads."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.planted_feature import SEA, TEXTS
from memicos_testing.servers import Serve
from memicos_testing.word_list_model import WordListModel
from neuronpedia_autointerp_client.api.default_api import DefaultApi
from neuronpedia_autointerp_client.api_client import ApiClient
from neuronpedia_autointerp_client.configuration import Configuration
from neuronpedia_autointerp_client.exceptions import ServiceException, UnauthorizedException
from neuronpedia_autointerp_client.models.explain_default_post_request import ExplainDefaultPostRequest
from neuronpedia_autointerp_client.models.np_activation import NPActivation
from neuronpedia_autointerp_client.models.np_score_fuzz_detection_type import NPScoreFuzzDetectionType
from neuronpedia_autointerp_client.models.score_embedding_post_request import ScoreEmbeddingPostRequest
from neuronpedia_autointerp_client.models.score_fuzz_detection_post_request import ScoreFuzzDetectionPostRequest

CHOSEN = [*TEXTS[:12], *TEXTS[50:62]]
ACTIVATIONS = [NPActivation(tokens=list(text.tokens), values=list(text.values)) for text in CHOSEN]
KEY = {"openrouter_key": "sk-or-mine", "model": "vendor/model"}
"""The client knows no other key: it goes to AUTOINTERP_OPENROUTER_URL."""
VARIANTS = ("", "_with_http_info", "_without_preload_content")


def _judged(kind: NPScoreFuzzDetectionType) -> ScoreFuzzDetectionPostRequest:
    return ScoreFuzzDetectionPostRequest(activations=ACTIVATIONS, explanation=" ".join(SEA), type=kind, **KEY)


REQUESTS: dict[str, list[Any]] = {
    "explain_default_post": [ExplainDefaultPostRequest(activations=ACTIVATIONS[:3], **KEY)],
    "score_embedding_post": [ScoreEmbeddingPostRequest(activations=ACTIVATIONS, explanation=" ".join(SEA))],
    "score_fuzz_detection_post": [_judged(kind) for kind in NPScoreFuzzDetectionType],
}


def calls() -> list[tuple[str, str, Any]]:
    """Each method in each of its variants, with each of its requests."""
    methods = {name for name in dir(DefaultApi) if not name.startswith("_")}
    named = {name + variant for name in REQUESTS for variant in VARIANTS}
    assert methods == named, methods ^ named
    return [(name, variant, body) for name, bodies in REQUESTS.items() for variant in VARIANTS for body in bodies]


def call(url: str, run: Callable[[DefaultApi], Any], secret: str = "cat") -> Any:
    with ApiClient(Configuration(host=f"{url}/v1")) as client:
        client.set_default_header("X-SECRET-KEY", secret)
        return run(DefaultApi(client))


async def test_every_method_and_field(serve: Serve, provider: LlmProvider) -> None:
    url = await serve(openrouter_url=provider.base_url, secret="cat")
    provider.answer = lambda received: (
        WordListModel()(received)
        if received.body["messages"][-1]["content"].startswith("Description:")
        else Reply(content="EXPLANATION: the sea")
    )
    for name, variant, body in calls():
        found = await asyncio.to_thread(call, url, lambda api, n=name, v=variant, b=body: getattr(api, n + v)(b))
        if variant == "_without_preload_content":
            assert found.status == 200, (name, found.data)
            content = json.loads(found.data)
        elif variant:
            assert found.status_code == 200 and found.headers["content-type"] == "application/json"
            content = found.data.to_dict()
        else:
            content = found.to_dict()
        if name == "explain_default_post":
            assert content["explanation"] == "the sea"
            continue
        assert content["score"] >= 0.9 and len(content["breakdown"]) == len(CHOSEN)
        for text, row in zip(CHOSEN, content["breakdown"], strict=True):
            if name == "score_embedding_post":
                assert (row["text"], row["distance"]) == (text.text, 1 if text.active else -1)
                assert -1 <= row["similarity"] <= 1
            else:
                assert (row["str_tokens"], row["activations"]) == (list(text.tokens), list(text.values))
                assert (row["distance"], row["ground_truth"]) == (1 if text.active else -1, text.active)
                assert (row["prediction"], row["correct"]) == (text.active, True)
                assert row["probability"] == float(text.active)
                assert row["highlighted"] is (body.type is NPScoreFuzzDetectionType.FUZZ)
    assert {request.headers["authorization"] for request in provider.requests} == {"Bearer sk-or-mine"}
    assert {request.body["model"] for request in provider.requests} == {"vendor/model"}


@pytest.mark.parametrize("name", REQUESTS)
async def test_failures_are_exceptions_of_the_client(name: str, serve: Serve, provider: LlmProvider) -> None:
    url = await serve(openrouter_url=provider.base_url, secret="cat")
    body = REQUESTS[name][0]
    with pytest.raises(UnauthorizedException):
        await asyncio.to_thread(call, url, lambda api: getattr(api, name)(body), "dog")
    assert provider.requests == []
    if name == "score_embedding_post":
        return
    provider.default = Reply(status=402)
    with pytest.raises(ServiceException) as caught:
        await asyncio.to_thread(call, url, lambda api: getattr(api, name)(body))
    assert caught.value.status == 502 and json.loads(caught.value.body or "")["cause"] == "payment_required"
