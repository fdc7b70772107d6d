"""Steering's JSON: requests to inference, responses, refusals."""

import json
from typing import Any

import httpx
import pytest
from memicos_testing.fake_inference_server import END, FakeInferenceServer
from memicos_testing.json_bodies.steer_bodies import FEATURE, TURNS, chat, completion, numbered_words


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_completion_is_returned_without_its_prompt(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    response = await post(client, "/api/steer", completion())
    assert (response["STEERED"], response["DEFAULT"]) == (numbered_words("steered", 4), numbered_words("default", 4))
    assert response["tokens"] == {"STEERED": 4, "DEFAULT": 4}
    assert response["steeredLogProbs"][0] == {
        "token": " steered0",
        "logprob": -0.5,
        "topLogprobs": [{"token": " other", "logprob": -2.5}],
    }
    assert len(response["defaultLogProbs"]) == 4
    assert response["id"] is None and response["limit"] is None and "error" not in response


async def test_requests_to_inference(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    body = completion(
        features=[FEATURE, {"modelId": "small", "source": "3-res", "index": "7", "strength": -3}],
        temperature=0,
        seed=7,
        freq_penalty=2,
        strength_multiplier=1.5,
        steer_method="ORTHOGONAL_DECOMP",
        n_logprobs=0,
    )
    response = await post(client, "/api/steer", body)
    assert response["steeredLogProbs"] is None
    (sent,) = inference.bodies("/v1/steer/completion")
    assert sent["features"] == [
        {"model": "small", "source": "1-res", "index": 5, "strength": 20.5},
        {"model": "small", "source": "3-res", "index": 7, "strength": -3},
    ]
    expected = {
        "prompt": "Once", "model": "small", "types": ["STEERED", "DEFAULT"], "n_completion_tokens": 4,
        "temperature": 0, "seed": 7, "freq_penalty": 2, "strength_multiplier": 1.5, "n_logprobs": 0, "stream": True,
        "steer_method": "ORTHOGONAL_DECOMP",
    }  # fmt: skip
    assert {name: sent[name] for name in expected} == expected


async def test_a_chat_is_returned_with_both_conversations(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    response = await post(client, "/api/steer-chat", chat(steer_special_tokens=False, seed=3))
    for kind in ("STEERED", "DEFAULT"):
        text = numbered_words(kind.lower(), 4).strip()
        assert response[kind]["chatTemplate"] == [*TURNS, {"role": "assistant", "content": text}]
        assert response[kind]["raw"].endswith(text + END) and len(response[kind]["logprobs"]) == 4
    assert response["settings"] == {
        "temperature": 0.5, "n_tokens": 4, "freq_penalty": 1.0, "seed": 3, "strength_multiplier": 1.0,
        "steer_special_tokens": False, "steer_method": "SIMPLE_ADDITIVE",
    }  # fmt: skip
    # two equal conversations are one batch
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert sent["types"] == ["STEERED", "DEFAULT"] and sent["steer_special_tokens"] is False


async def test_conversations_that_differ_are_two_requests(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    other_messages = [{"role": "user", "content": "Good evening"}]
    response = await post(client, "/api/steer-chat", chat(steeredChatMessages=other_messages))
    assert (
        response["STEERED"]["chatTemplate"][0] == other_messages[0] and response["DEFAULT"]["chatTemplate"][:2] == TURNS
    )
    sent = {tuple(request["types"]): request for request in inference.bodies("/v1/steer/completion-chat")}
    assert sent["STEERED",]["prompt"] == other_messages and sent["DEFAULT",]["prompt"] == TURNS
    assert sent["DEFAULT",]["features"] == []
    assert response["tokens"] == {"STEERED": 4, "DEFAULT": 4}


async def test_without_features_a_chat_is_default_only(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    response = await post(client, "/api/steer-chat", chat(features=[]))
    assert response["STEERED"] is None and response["DEFAULT"]["chatTemplate"][-1]["content"] == "default0 default1 " \
        "default2 default3"  # fmt: skip
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert sent["types"] == ["DEFAULT"] and sent["features"] == []


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"modelId": "nope"}, 404, "There is no model 'nope'; available: small."),
        ({"features": [{**FEATURE, "modelId": "other"}]}, 400, "other/1-res/5 does not belong to "),
        ({"features": [{**FEATURE, "layer": "9-res"}]}, 404, "small has no source '9-res'"),
        ({"features": [{**FEATURE, "index": 64}]}, 404, "small/1-res has no feature 64; it has 0 to 63."),
        ({"features": [{**FEATURE, "index": 2**40}]}, 422, "features.0.index"),
        ({"features": [{**FEATURE, "index": -1}]}, 422, "features.0.index"),
        ({"features": [{**FEATURE, "strength": 1e5}]}, 400, "allowed is -10000 to 10000"),
        ({"features": [{**FEATURE, "strength": "much"}]}, 422, "features.0.strength"),
        ({"features": [{**FEATURE, "layer": "1-vectors-resid-pre"}]}, 404, "small has no vector 1-vectors-resid-pre/"),
        ({"features": [FEATURE] * 17}, 400, "17 features were sent; at most 16 are allowed."),
        ({"features": "all"}, 422, "features"),
        ({"n_tokens": 257}, 400, "n_tokens is 257, at most 256 are allowed."),
        ({"n_tokens": 0}, 422, "n_tokens"),
        ({"temperature": 2.1}, 422, "temperature"),
        ({"temperature": None}, 422, "temperature"),
        ({"seed": 10**9}, 422, "seed"),
        ({"strength_multiplier": 11}, 422, "strength_multiplier"),
        ({"steer_method": "PROJECTION_CAP"}, 422, "steer_method must be 'SIMPLE_ADDITIVE' or 'ORTHOGONAL_DECOMP'."),
        ({"n_logprobs": 11}, 422, "n_logprobs"),
        ({"stream": "perhaps"}, 422, "stream"),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any], status: int, message: str
) -> None:
    for path, body in (("/api/steer", completion(**changes)), ("/api/steer-chat", chat(**changes))):
        response = await client.post(path, json=body)
        assert response.status_code == status and message in response.json()["error"], response.text
    assert inference.seen == []


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/steer", completion(prompt=""), "prompt must not be empty."),
        ("/api/steer", completion(features=[]), "features must not be empty."),
        ("/api/steer-chat", chat(defaultChatMessages=[]), "defaultChatMessages"),
        ("/api/steer-chat", chat(steeredChatMessages=[{"role": "pirate", "content": "a"}]), "role"),
        ("/api/steer-chat", chat(steeredChatMessages=[{"role": "user"}]), "steeredChatMessages.0.content is missing."),
    ],
)
async def test_bad_prompts(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, body: dict[str, Any], message: str
) -> None:
    response = await client.post(path, json=body)
    assert response.status_code == 422 and message in response.json()["error"]


async def test_numbers_that_are_not_finite_are_refused_by_steering(client: httpx.AsyncClient) -> None:
    body = json.dumps(completion()).replace("20.5", "Infinity")
    response = await client.post("/api/steer", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422 and "finite number" in response.json()["error"]
