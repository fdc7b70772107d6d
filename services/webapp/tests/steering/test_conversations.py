"""Conversations and BOS of API requests that run a prompt: what inference gets, and what the answers say."""

from typing import Any

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer, tokens_of, value_of

MESSAGES = [{"role": "user", "content": "the whale rose"}, {"role": "assistant", "content": "from the sea"}]
# the fake server's template: each turn after its role, then the opening of the assistant's turn
RENDERED = "user: the whale rose assistant: from the sea assistant:"
TEXT = "the whale rose"
FEATURE = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}}
REQUESTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "/api/activation/new": ("customText", FEATURE, "/v1/activation/single"),
    "/api/search-all": ("text", {"modelId": "small", "sourceSet": "res"}, "/v1/activation/all"),
    "/api/search-topk-by-token": (
        "text",
        {"modelId": "small", "source": "1-res", "densityThreshold": 0},
        "/v1/activation/topk-by-token",
    ),
}
"""By path: the text's field, other fields, and the path at inference."""


async def run(client: httpx.AsyncClient, path: str, **changes: Any) -> dict[str, Any]:
    response = await client.post(path, json=REQUESTS[path][1] | changes)
    assert response.status_code == 200, response.text
    return response.json()


def tokens_in(path: str, answer: dict[str, Any]) -> list[str]:
    return [row["token"] for row in answer["results"]] if "topk" in path else answer["tokens"]


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_conversation_in_place_of_a_text(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    answer = await run(client, path, messages=MESSAGES, ignoreBos=False)
    assert tokens_in(path, answer) == tokens_of(RENDERED) and answer["prependedBos"] is True
    unopened = await run(client, path, messages=MESSAGES, ignoreBos=False, addGenerationPrompt=False)
    assert tokens_in(path, unopened) == tokens_of(RENDERED.removesuffix(" assistant:"))
    first, second = inference.bodies(REQUESTS[path][2])
    assert first["messages"] == second["messages"] == MESSAGES and "prompt" not in first
    assert "prepend_bos" not in first and second["add_generation_prompt"] is False


async def test_a_conversation_ranked_by_share(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    answer = await run(client, "/api/search-all", messages=MESSAGES, rank="share")
    assert answer["tokens"] == tokens_of(RENDERED) and answer["result"]
    assert all(sent["messages"] == [MESSAGES] for sent in inference.bodies("/v1/activation/source"))


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("bos", [None, True, False])
async def test_bos_of_a_text(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, bos: bool | None
) -> None:
    field = REQUESTS[path][0]
    answer = await run(client, path, **{field: TEXT, "prependBos": bos, "ignoreBos": True})
    (sent,) = inference.bodies(REQUESTS[path][2])
    assert sent.get("prepend_bos") == bos and sent["prompt"] == TEXT
    assert answer["prependedBos"] is (bos is not False)
    tokens = tokens_of(TEXT)[1 if bos is False or "topk" in path else 0 :]
    assert tokens_in(path, answer) == tokens
    if "values" in answer:
        values = [value_of("1-res", 5, token) for token in tokens]
        # without BOS the first token takes part in the maximum
        assert answer["values"] == values and answer["maxValue"] == max(values[0 if bos is False else 1 :])
        assert answer["ignoredPositions"] == ([] if bos is False else [0])


@pytest.mark.parametrize("path", REQUESTS)
async def test_refused_requests(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    field, body, _ = REQUESTS[path]

    async def refused(status: int, **changes: Any) -> str:
        response = await client.post(path, json=body | changes)
        assert response.status_code == status, response.text
        return response.json()["message"]

    exactly_one = f"Exactly one of {field} and messages is required; the request has "
    assert await refused(400) == f"{exactly_one}neither."
    assert await refused(400, **{field: TEXT, "messages": MESSAGES}) == f"{exactly_one}both."
    assert await refused(422, messages=[]) == "messages must not be empty."
    assert "messages.0.role must be" in await refused(422, messages=[{"role": "robot", "content": "x"}])
    assert "prependBos" in await refused(422, **{field: TEXT, "prependBos": "perhaps"})
    inference.chat_template = False
    assert "has no chat template" in await refused(400, messages=MESSAGES)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_steered_chat_continues_the_last_message(
    client: httpx.AsyncClient, inference: FakeInferenceServer, stream: bool
) -> None:
    body = {
        "modelId": "small",
        "features": [{"modelId": "small", "layer": "1-res", "index": 5, "strength": 4}],
        "n_tokens": 2,
        "defaultChatMessages": MESSAGES,
        "steeredChatMessages": MESSAGES,
        "continue_final_message": True,
        "stream": stream,
    }
    response = await client.post("/api/steer-chat", json=body)
    assert response.status_code == 200, response.text
    answer = httpx.Response(200, text=response.text.strip().rpartition("data: ")[2]).json()
    for kind in ("STEERED", "DEFAULT"):
        text = f"{kind.lower()}0 {kind.lower()}1"
        assert answer[kind]["chatTemplate"] == [
            MESSAGES[0],
            {"role": "assistant", "content": f"from the sea{text}"},
        ]
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert sent["continue_final_message"] is True and sent["prompt"] == MESSAGES


async def test_line_separators_are_escaped(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    """In plain JSON and in errors, so that no client's line splitting breaks them."""
    text = "a\u2028b\u2029c\x85d\x0be\x0cf"
    response = await client.post("/api/activation/new", json=FEATURE | {"customText": text})
    assert len(response.text.splitlines()) == 1 and "".join(response.json()["tokens"][1:]) == text
    refused = await client.get("/api/a\u2028b\x85")
    assert refused.status_code == 404 and len(refused.text.splitlines()) == 1
    assert "/api/a\u2028b\x85" in refused.json()["message"]
