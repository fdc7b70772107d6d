"""The generated client calls every method of the service, without and with asyncio, with the same results."""

import asyncio
from typing import Any

from memicos_autointerp_client import Client
from memicos_autointerp_client.api.explain import explain_default
from memicos_autointerp_client.api.health import health
from memicos_autointerp_client.api.score import score_embedding, score_explanation, score_fuzz_detection, score_output
from memicos_autointerp_client.models import (
    ExplainRequest,
    ScoreEmbeddingRequest,
    ScoreExplanationRequest,
    ScoreFuzzDetectionRequest,
    ScoreOutputRequest,
)
from memicos_testing.llm_provider import LlmProvider, Received, Reply
from memicos_testing.planted_feature import SEA, TEXTS
from memicos_testing.servers import Serve
from memicos_testing.word_list_model import WordListModel

ACTIVATIONS = [{"tokens": list(text.tokens), "values": list(text.values)} for text in (*TEXTS[:6], *TEXTS[50:56])]
SCORED = {"activations": ACTIVATIONS, "explanation": " ".join(SEA)}
SIDES = {"raised": ["ships", "the sea", "a sail", "a whale", "anchors"], "others": ["law", "bread", "tea", "ink", "is"]}
CALLS: list[tuple[Any, Any]] = [
    (explain_default, ExplainRequest.from_dict({"activations": ACTIVATIONS[:6]})),
    (score_embedding, ScoreEmbeddingRequest.from_dict(SCORED)),
    (score_fuzz_detection, ScoreFuzzDetectionRequest.from_dict({**SCORED, "type": "FUZZ"})),
    (score_fuzz_detection, ScoreFuzzDetectionRequest.from_dict({**SCORED, "type": "DETECTION"})),
    (score_explanation, ScoreExplanationRequest.from_dict({**SCORED, "method": "recall_alt"})),
    (score_output, ScoreOutputRequest.from_dict({**SIDES, "explanation": "ships and the sea", "kind": "TEXTS"})),
]


def answer(received: Received) -> Reply:
    described = "Description: " in received.body["messages"][-1]["content"]
    return WordListModel()(received) if described else Reply()


async def test_every_method_without_and_with_asyncio(serve: Serve, provider: LlmProvider) -> None:
    provider.answer = answer
    url = await serve()

    def blocking() -> list[Any]:
        with Client(url) as client:
            return [health.sync(client=client), *(api.sync(client=client, body=body) for api, body in CALLS)]

    found = await asyncio.to_thread(blocking)
    async with Client(url) as client:
        again = [await health.asyncio(client=client)]
        again += [await api.asyncio(client=client, body=body) for api, body in CALLS]
    assert [one.to_dict() for one in found] == [one.to_dict() for one in again]
    assert found[0] is not None and found[1].explanation == "the sea"
    assert [one.score >= 0.9 for one in found[3:6]] == [True] * 3
    assert all(0.5 < one.score <= 1 for one in (found[2], found[6]))
