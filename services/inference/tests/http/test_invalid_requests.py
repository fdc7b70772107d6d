"""Refused requests: status, cause, and a message with the remedy."""

import json
from typing import Any

import httpx
import pytest
from memicos_testing.json_bodies.inference_bodies import BODIES, FEATURE, VECTOR
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

LONG = "Alice sat. " * 60
ONE = "activation/single"
ALL = "activation/all"
TOPK = "activation/topk-by-token"
BATCHES = ("activation/single-batch", "activation/all-batch", "activation/topk-by-token-batch", "activation/source")
RAW = "activation/raw"
TEMPLATE = "apply-chat-template"
VECTOR_OF = "util/sae-vector"
NEAR = "util/sae-topk-by-decoder-cossim"
STEER = "steer/completion"
CHAT = "steer/completion-chat"
MESSAGES = [{"role": "user", "content": "Hello"}]
GONE = object()
"""In place of a value: the field is left out."""

REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("tokenize", {"model": "gpt2-small"}, 400, f"Unsupported model 'gpt2-small': this server runs {NAME}"),
    ("tokenize", {"text": LONG}, 400, "Text too long: "),
    ("tokenize", {"text": 3}, 422, "text: "),
    ("tokenize", {"text": "\ud800"}, 400, "text: "),
    ("tokenize", {"model": "\ud800"}, 400, "model: "),
    ("tokenize", {"text": GONE}, 422, "text: Field required"),
    (ONE, {"model": "other"}, 400, "Unsupported model"),
    (ONE, {"source": "9-small"}, 400, "Unknown source '9-small': this server has 1-small, 2-small"),
    (ONE, {"source": ""}, 400, "Unknown source ''"),
    (ONE, {"index": 96}, 400, "has features 0 to 95; there is no 96"),
    (ONE, {"index": "96"}, 400, "has features 0 to 95"),
    (ONE, {"index": 10**40}, 400, "has features 0 to 95"),
    (ONE, {"index": -1}, 422, "index: "),
    (ONE, {"index": "x"}, 422, "index: "),
    (ONE, {"index": 1.5}, 422, "index: "),
    (ONE, {"index": True}, 422, "index: "),
    (ONE, {"index": [1]}, 422, "index: "),
    (ONE, {"index": GONE}, 400, "source goes with index"),
    (ONE, {"source": GONE}, 400, "source goes with index"),
    (ONE, {"source": GONE, "index": GONE}, 400, "exactly one of layer/index or vector must be provided"),
    (ONE, {"vector": [1.0] * 128, "hook": "blocks.1.hook_resid_post"}, 400, "exactly one of layer/index or vector"),
    (ONE, {"source": GONE, "index": GONE, "vector": [1.0] * 128}, 400, "vector with hook"),
    (ONE, {"source": GONE, "index": GONE, "vector": [1.0], "hook": "blocks.1.hook_resid_post"}, 400, "has 1 numbers"),
    (ONE, {"source": GONE, "index": GONE, "vector": [], "hook": "blocks.1.hook_resid_post"}, 400, "has 0 numbers"),
    (ONE, {"source": GONE, "index": GONE, "vector": [1.0] * 128, "hook": "blocks.9.hook_resid_post"}, 400, "0 to 3"),
    (ONE, {"source": GONE, "index": GONE, "vector": [1.0] * 128, "hook": "blocks.x"}, 400, "Unknown hook 'blocks.x'"),
    (
        ONE,
        {"source": GONE, "index": GONE, "vector": [1.0] * 128, "hook": "blocks.\uff11.hook_resid_post"},
        400,
        "Unknown hook 'blocks.\uff11",
    ),
    (ONE, {"source": GONE, "index": GONE, "vector": [1e300] * 128, "hook": "blocks.1.hook_resid_post"}, 400, "finite"),
    (ONE, {"source": GONE, "index": GONE, "vector": ["a"], "hook": "blocks.1.hook_resid_post"}, 422, "vector.0: "),
    (ONE, {"prompt": LONG}, 400, "tokens, max is 100"),
    *[
        (path, change, status, message)
        for path in (ONE, ALL, TOPK)
        for change, status, message in [
            ({"prompt": None}, 400, "Exactly one of prompt and messages is required; the request has neither"),
            ({"prompt": GONE}, 400, "Exactly one of prompt and messages is required; the request has neither"),
            ({"messages": MESSAGES}, 400, "Exactly one of prompt and messages is required; the request has both"),
            ({"prompt": GONE, "messages": MESSAGES}, 400, "has no chat template, so it takes no messages"),
            ({"prompt": GONE, "messages": []}, 422, "messages: "),
            ({"prompt": GONE, "messages": [MESSAGES]}, 422, "messages.0: "),
            ({"prompt": 3}, 422, "prompt: "),
            ({"prepend_bos": "perhaps"}, 422, "prepend_bos: "),
        ]
    ],
    (ALL, {"source_set": "res-jb"}, 400, "Invalid source set 'res-jb': this server has small, top"),
    (ALL, {"selected_sources": ["2-top"]}, 400, "Unknown source '2-top' in source set 'small'"),
    (ALL, {"selected_sources": "2-small"}, 422, "selected_sources: "),
    (ALL, {"num_results": 0}, 422, "num_results: "),
    (ALL, {"num_results": -5}, 422, "num_results: "),
    (ALL, {"num_results": 1001}, 400, "num_results is 1001; at most 1000"),
    (ALL, {"num_results": 10**30}, 400, "at most 1000"),
    (ALL, {"sort_by_token_indexes": [40]}, 400, "the prompt has positions 0 to "),
    (ALL, {"sort_by_token_indexes": [-1]}, 400, "the prompt has positions 0 to "),
    (ALL, {"feature_filter": [1]}, 400, "only be used with a single source; 3 are selected"),
    (ALL, {"feature_filter": [96], "selected_sources": ["1-small"]}, 400, "has features 0 to 95"),
    (ALL, {"feature_filter": [-1], "selected_sources": ["1-small"]}, 400, "has features 0 to 95"),
    (ALL, {"prompt": LONG}, 400, "Text too long"),
    (ALL, {"ignore_bos": "perhaps"}, 422, "ignore_bos: "),
    (TOPK, {"top_k": 0}, 422, "top_k: "),
    (TOPK, {"top_k": 101}, 400, "top_k is 101; at most 100"),
    (TOPK, {"source": "2"}, 400, "Unknown source '2'"),
    (TOPK, {"source": GONE}, 422, "source: Field required"),
    (TOPK, {"prompt": LONG}, 400, "Text too long"),
    *[
        (path, change, status, message)
        for path in (*BATCHES, RAW)
        for change, status, message in [
            ({"model": "other"}, 400, "Unsupported model"),
            ({"prompts": []}, 400, "At least one prompt is required"),
            ({"prompts": ["a"] * 65}, 400, "Batch size 65 exceeds maximum of 64 (INFERENCE_MAX_PROMPTS)"),
            ({"prompts": ["a", LONG]}, 400, "tokens, max is 100 (prompts.1)"),
            ({"prompts": [LONG]}, 400, "tokens, max is 100"),
            ({"prompts": ["Alice sat. " * 20, *["a"] * 63]}, 400, "at most 4096 run together (INFERENCE_BATCH_TOKENS)"),
            ({"prompts": "Alice sat"}, 422, "prompts: "),
            ({"prompts": ["a", 3]}, 422, "prompts.1: "),
            ({"prompts": ["a", "\ud800"]}, 400, "prompts.1: "),
            ({"prompts": GONE}, 400, "Exactly one of prompts and messages is required; the request has neither"),
            ({"messages": [MESSAGES]}, 400, "Exactly one of prompts and messages is required; the request has both"),
            ({"prompts": GONE, "messages": [MESSAGES]}, 400, "has no chat template, so it takes no messages"),
            ({"prompts": GONE, "messages": [[]]}, 422, "messages.0: "),
            ({"prompts": GONE, "messages": []}, 400, "At least one prompt is required"),
            ({"prompts": GONE, "messages": [MESSAGES] * 65}, 400, "exceeds maximum of 64 (INFERENCE_MAX_PROMPTS)"),
        ]
    ],
    (BATCHES[0], {"index": 96}, 400, "has features 0 to 95; there is no 96"),
    (BATCHES[0], {"source": GONE, "index": GONE}, 400, "exactly one of layer/index or vector must be provided"),
    (BATCHES[1], {"num_results": 1001}, 400, "at most 1000 are returned (INFERENCE_MAX_NUM_RESULTS)"),
    (BATCHES[1], {"sort_by_token_indexes": [20]}, 400, "the shortest prompt has positions 0 to "),
    (BATCHES[2], {"top_k": 101}, 400, "at most 100 are returned (INFERENCE_MAX_TOP_K)"),
    (BATCHES[3], {"source": "7-small"}, 400, "Unknown source '7-small'"),
    (RAW, {"layers": [4]}, 400, "There is no layer 4: the model has layers 0 to 3"),
    (RAW, {"layers": [-1]}, 400, "There is no layer -1"),
    (RAW, {"layers": []}, 422, "layers: "),
    (RAW, {"layers": ["a"]}, 422, "layers.0: "),
    (RAW, {"hook_point": "mlp"}, 422, "hook_point: "),
    (RAW, {"type": "mean"}, 422, "type: "),
    (RAW, {"hooks": ["hook_embed"]}, 400, "Name layers or hooks, not both"),
    (RAW, {"layers": GONE, "hooks": []}, 422, "hooks: "),
    (RAW, {"layers": GONE, "hooks": ["hook_embed"] * 65}, 400, "65 hooks; at most 64 are captured"),
    (RAW, {"layers": GONE, "hooks": ["blocks.9.hook_mlp_out"]}, 400, "layers 0 to 3"),
    (RAW, {"layers": GONE, "hooks": ["nonsense"]}, 400, "Unknown hook 'nonsense'"),
    (RAW, {"layers": GONE, "hooks": ["blocks.1.attn.hook_pattern"]}, 400, "one vector per position"),
    (TEMPLATE, {"model": "other"}, 400, "Unsupported model"),
    (TEMPLATE, {"messages": []}, 422, "messages: "),
    (TEMPLATE, {"messages": "Hello"}, 422, "messages: "),
    (TEMPLATE, {"messages": [{"role": "", "content": "x"}]}, 422, "messages.0.role: "),
    (TEMPLATE, {"messages": [{"role": "user"}]}, 422, "messages.0.content: Field required"),
    (TEMPLATE, {"messages": [{"role": "user", "content": "\ud800"}]}, 400, "messages.0.content: "),
    (TEMPLATE, {"messages": [{"role": "user", "content": LONG}]}, 400, "tokens, max is 100"),
    (TEMPLATE, {"messages": [{"role": "user", "content": ""}] * 101}, 400, "more than the 100 tokens"),
    (TEMPLATE, {"chat_template_kwargs": {"thinking": True}}, 400, "has no chat template. ChatML is used instead"),
    (TEMPLATE, {"chat_template_kwargs": 3}, 422, "chat_template_kwargs: "),
    (VECTOR_OF, {"model": "other"}, 400, "Unsupported model"),
    (VECTOR_OF, {"source": "7-small"}, 400, "Unknown source '7-small'"),
    (VECTOR_OF, {"index": 96}, 400, "has features 0 to 95; there is no 96"),
    (VECTOR_OF, {"index": -1}, 422, "index: "),
    (VECTOR_OF, {"which": "both"}, 422, "which: "),
    (NEAR, {"model": "other"}, 400, "Unsupported model"),
    (NEAR, {"source": "7-small"}, 400, "Unknown source '7-small'"),
    (NEAR, {"feature": GONE}, 400, "exactly one of feature or vector must be provided"),
    (NEAR, {"vector": [1.0] * 128}, 400, "exactly one of feature or vector must be provided"),
    (NEAR, {"feature": {"model": "other", "source": "1-small", "index": 3}}, 400, "Unsupported model 'other'"),
    (NEAR, {"feature": {"model": NAME, "source": "7-small", "index": 3}}, 400, "Unknown source '7-small'"),
    (NEAR, {"feature": {"model": NAME, "source": "1-small", "index": 96}}, 400, "has features 0 to 95"),
    (NEAR, {"feature": {"model": NAME, "source": "1-small", "index": -1}}, 422, "feature.index: "),
    (NEAR, {"feature": {"model": NAME, "source": "1-small"}}, 422, "feature.index: Field required"),
    (NEAR, {"feature": GONE, "vector": [0.0] * 128}, 400, "zero or not finite"),
    (NEAR, {"feature": GONE, "vector": []}, 400, "has 0 numbers; those of source 2-small have 128"),
    (NEAR, {"feature": GONE, "vector": ["a"]}, 422, "vector.0: "),
    (NEAR, {"num_results": 0}, 422, "num_results: "),
    (NEAR, {"num_results": 1001}, 400, "num_results is 1001; at most 1000 are returned (INFERENCE_MAX_NUM_RESULTS)"),
    (NEAR, {"num_results": GONE}, 422, "num_results: Field required"),
    (STEER, {"prompt": ""}, 422, "prompt: "),
    (STEER, {"prompt": LONG}, 400, "Text too long"),
    (STEER, {"features": GONE}, 400, "exactly one of features or vectors must be provided"),
    (STEER, {"vectors": [VECTOR]}, 400, "exactly one of features or vectors must be provided"),
    (STEER, {"features": []}, 400, "STEERED needs a feature or a vector"),
    (STEER, {"features": GONE, "vectors": []}, 400, "STEERED needs a feature or a vector"),
    (STEER, {"features": [FEATURE] * 65}, 400, "65 directions; at most 64"),
    (STEER, {"features": [FEATURE | {"model": "other"}]}, 400, "Unsupported model 'other'"),
    (STEER, {"features": [FEATURE | {"source": "7-small"}]}, 400, "Unknown source '7-small'"),
    (STEER, {"features": [FEATURE | {"index": 96}]}, 400, "has features 0 to 95"),
    (STEER, {"features": [FEATURE | {"steering_vector": [1.0]}]}, 400, "send other directions as `vectors`"),
    (STEER, {"features": GONE, "vectors": [VECTOR | {"steering_vector": [1.0]}]}, 400, "has 1 numbers"),
    (STEER, {"features": GONE, "vectors": [VECTOR | {"steering_vector": [0.0] * 128}], "normalize_steering": True},
     400, "is zero and has no direction"),
    (STEER, {"features": GONE, "vectors": [VECTOR | {"hook": "blocks.2.attn.hook_q"}]}, 400, "cannot be steered"),
    (STEER, {"features": GONE, "vectors": [VECTOR | {"hook": "blocks.2.mlp.hook_post"}]}, 400, "have 341"),
    (STEER, {"features": GONE, "vectors": [VECTOR | {"steering_vector": [0.0] * 128}],
             "steer_method": "PROJECTION_CAP"}, 400, "is zero and has no direction"),
    (STEER, {"features": GONE, "vectors": [VECTOR | {"steering_vector": [0.0] * 128}],
             "steer_method": "ORTHOGONAL_DECOMP"}, 400, "is zero and has no direction"),
    (STEER, {"steer_method": "PROJECTION_CAP", "strength_multiplier": 1e300}, 400, "finite"),
    (STEER, {"features": GONE, "vectors": [VECTOR | {"hook": "blocks.4.hook_resid_post"}]}, 400, "layers 0 to 3"),
    (STEER, {"types": []}, 422, "types: "),
    (STEER, {"types": ["STEERED", "STEERED"]}, 422, "types: "),
    (STEER, {"types": ["OTHER"]}, 422, "types.0: "),
    (STEER, {"steer_method": "ADDITIVE"}, 422, "steer_method: "),
    (STEER, {"n_completion_tokens": 0}, 422, "n_completion_tokens: "),
    (STEER, {"n_completion_tokens": 5000}, 400, "n_completion_tokens is 5000; at most 1024"),
    (STEER, {"n_completion_tokens": 1024}, 400, "the model's context is 128"),
    (STEER, {"temperature": -1}, 422, "temperature: "),
    (STEER, {"strength_multiplier": 1e300, "features": [FEATURE | {"strength": 1e300}]}, 400, "finite"),
    (STEER, {"features": [FEATURE | {"strength": 1e39}]}, 400, "finite"),
    (STEER, {"n_logprobs": 11}, 422, "n_logprobs: "),
    (STEER, {"seed": 2**70}, 422, "seed: "),
    (CHAT, {"prompt": [{"role": "user", "content": "\udfff"}]}, 400, "prompt.0.content: "),
    (CHAT, {"prompt": []}, 422, "prompt: "),
    (CHAT, {"prompt": "Hello"}, 422, "prompt: "),
    (CHAT, {"prompt": [{"role": "", "content": "x"}]}, 422, "prompt.0.role: "),
    (CHAT, {"prompt": [{"role": "user", "content": LONG}]}, 400, "Text too long"),
    (CHAT, {"continue_final_message": True}, 400, "continues a message of the assistant; the last one is of 'user'"),
    (CHAT, {"continue_final_message": True, "prompt": [{"role": "assistant", "content": " "}]}, 400, "is empty"),
    (CHAT, {"is_assistant_axis": True}, 400, "is_assistant_axis"),
    (CHAT, {"features": GONE}, 400, "exactly one of features or vectors"),
]  # fmt: skip


def changed(path: str, change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (BODIES[path] | change).items() if value is not GONE}


async def post(url: str, path: str, content: str | bytes, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        return await http.post(f"/v1/{path}", content=content, headers={"Content-Type": "application/json", **headers})


def check(response: httpx.Response, status: int, cause: str, message: str) -> None:
    body = response.json()
    assert set(body) == {"error", "cause"}, body
    assert (response.status_code, body["cause"]) == (status, cause), body
    assert message in body["error"], body
    assert len(body["error"]) < 500


async def test_the_valid_bodies_are_accepted(url: str) -> None:
    for path, body in BODIES.items():
        response = await post(url, path, json.dumps(body))
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(("path", "change", "status", "message"), REFUSED)
async def test_bad_values(url: str, path: str, change: dict[str, Any], status: int, message: str) -> None:
    response = await post(url, path, json.dumps(changed(path, change)))
    check(response, status, "invalid_request", message)
    if path.startswith("steer/"):
        # a stream is refused in the same way, before it begins
        check(
            await post(url, path, json.dumps(changed(path, change | {"stream": True}))),
            status,
            "invalid_request",
            message,
        )


IDS = {"model", "source", "source_set", "hook", "sources", "hooks", "features", "feature", "steer_method", "vectors"}


@pytest.mark.parametrize("path", BODIES)
async def test_an_id_is_not_repeated_at_any_length(url: str, path: str) -> None:
    long = "m" * 500_000
    for field in IDS & BODIES[path].keys():
        value: Any = {**FEATURE, "model": long} if field == "feature" else long
        value = [{**FEATURE, "source": long}] if field == "features" else value
        value = [long] if field in ("sources", "hooks") else value
        response = await post(url, path, json.dumps(changed(path, {field: value})))
        assert response.status_code in (400, 422), (field, response.text[:200])
        check(response, response.status_code, "invalid_request", "")


@pytest.mark.parametrize("path", [STEER, CHAT])
async def test_deltas_need_a_stream(url: str, path: str) -> None:
    response = await post(url, path, json.dumps(changed(path, {"stream_deltas": True})))
    check(response, 422, "invalid_request", "stream_deltas is about a stream: set stream to true as well")


@pytest.mark.parametrize("path", BODIES)
async def test_bodies_that_are_not_json(url: str, path: str) -> None:
    check(await post(url, path, "{"), 400, "invalid_request", "not valid JSON")
    check(await post(url, path, b"\xff\xfe"), 400, "invalid_request", "")
    check(await post(url, path, ""), 422, "invalid_request", "")
    check(await post(url, path, "[]"), 422, "invalid_request", "")
    check(await post(url, path, "null"), 422, "invalid_request", "")
    check(await post(url, path, "[" * 100_000), 400, "invalid_request", "")
    check(await post(url, path, '{"model": ' + "9" * 5000 + "}"), 400, "invalid_request", "")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_numbers_that_are_not_finite(url: str, number: str) -> None:
    for field in ("temperature", "strength_multiplier", "freq_penalty"):
        body = json.dumps(BODIES[STEER] | {field: 7.5}).replace("7.5", number)
        check(await post(url, STEER, body), 422, "invalid_request", f"{field}: ")
    body = json.dumps(
        changed(ONE, {"source": GONE, "index": GONE, "vector": [7.5], "hook": "blocks.1.hook_resid_post"})
    )
    check(await post(url, ONE, body.replace("7.5", number)), 422, "invalid_request", "vector.0: ")


async def test_an_empty_prompt_is_bos_alone(url: str) -> None:
    """For sources trained with BOS there is one position; a vector has none."""
    for path in (ONE, ALL, TOPK):
        response = await post(url, path, json.dumps(changed(path, {"prompt": ""})))
        assert response.status_code == 200 and response.json()["tokens"] == ["<bos>"]
    for path in BATCHES:
        response = await post(url, path, json.dumps(changed(path, {"prompts": ["", "Alice"]})))
        assert response.status_code == 200 and response.json()["results"][0]["tokens"] == ["<bos>"]
    vector = {"source": GONE, "index": GONE, "vector": [1.0] * 128, "hook": "blocks.1.hook_resid_post", "prompt": ""}
    batch = changed(BATCHES[0], vector | {"prompts": ["Alice", ""]})
    check(await post(url, BATCHES[0], json.dumps(batch)), 400, "invalid_request", "has no tokens (prompts.1)")
    check(await post(url, ONE, json.dumps(changed(ONE, vector))), 400, "invalid_request", "The prompt is empty")
    assert (await post(url, "tokenize", json.dumps(changed("tokenize", {"text": ""})))).json()["tokens"] == [2]


async def test_a_response_over_the_limit_of_values_is_refused(serve: Serve) -> None:
    url = await serve(max_values=50, sae_sets=("small",))
    message = "activations; at most 50 are sent (INFERENCE_MAX_VALUES)"
    check(await post(url, ALL, json.dumps(BODIES[ALL])), 400, "invalid_request", message)
    for change in ({"layers": [1]}, {"layers": GONE, "hooks": ["blocks.1.hook_mlp_out"]}):
        raw = json.dumps(changed(RAW, change))
        check(await post(url, RAW, raw), 400, "invalid_request", "would have 256 activations; at most 50")
    source = json.dumps(BODIES["activation/source"] | {"prompts": ["Alice was beginning to get very tired. " * 3]})
    check(await post(url, "activation/source", source), 400, "invalid_request", "more than 50 values above 0")


async def test_paths_and_methods(url: str) -> None:
    check(await post(url, "steer/nothing", "{}"), 404, "not_found", "The path /v1/steer/nothing does not exist")
    async with httpx.AsyncClient(base_url=url) as http:
        check(await http.get("/v1/tokenize"), 405, "not_found", "does not support the method GET")


async def test_every_route_except_health_needs_the_secret(serve: Serve) -> None:
    url = await serve(secret="open sesame", sae_sets=())
    body = json.dumps({"model": NAME, "text": "Alice"})
    for headers in ({}, {"X-SECRET-KEY": "open"}, {"x-secret-key": ""}):
        check(await post(url, "tokenize", body, **headers), 401, "wrong_secret", "X-SECRET-KEY")
    assert (await post(url, "tokenize", body, **{"X-SECRET-KEY": "open sesame"})).status_code == 200
    assert (await post(url, "tokenize", body, **{"x-secret-key": "open sesame"})).status_code == 200
    async with httpx.AsyncClient(base_url=url) as http:
        check(await http.get("/v1/capabilities"), 401, "wrong_secret", "X-SECRET-KEY")
        check(await http.get("/nothing"), 401, "wrong_secret", "X-SECRET-KEY")
        assert (await http.get("/health")).status_code == 200


async def test_large_bodies_are_not_read(serve: Serve) -> None:
    url = await serve(body_bytes=1000, sae_sets=())
    body = json.dumps({"model": NAME, "text": "a" * 2000})
    check(await post(url, "tokenize", body), 413, "too_large", "at most 1000 are taken (INFERENCE_BODY_BYTES)")

    async def pieces():
        for _ in range(50):
            yield b" " * 100

    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.post("/v1/tokenize", content=pieces(), headers={"Content-Type": "application/json"})
    check(response, 413, "too_large", "more than 1000 bytes")
