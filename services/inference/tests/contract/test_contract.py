"""Every operation of the contract: our client calls it both ways, answers fit the schema, each field does something.

What fields do exactly stands in the other tests.
"""

import asyncio
import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from memicos_inference_client import Client, models
from memicos_inference_client.models import ErrorBody
from memicos_testing.json_bodies.inference_bodies import BODIES, FEATURE, VECTOR
from memicos_testing.json_bodies.openapi_schema import misfits, resolved
from memicos_testing.models.small_model import NAME

ROOT = Path(__file__).parents[4]
DOCUMENT = yaml.safe_load((ROOT / "schemas" / "openapi" / "inference-server.yaml").read_text())
OPERATIONS = {
    (method, path): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if not path.startswith("/v1/admin/")  # what they do depends on what was done before: test_admin.py
}
POSTS = {path.removeprefix("/v1/"): operation for (method, path), operation in OPERATIONS.items() if method == "post"}


@dataclass(frozen=True)
class Change:
    """Of a request's field. `effect` on the answer: it "differs", is the "same", or its status.

    `also` is in both requests that are compared, the one with the field and the one without.
    """

    value: Any
    effect: str | int = "differs"
    also: dict[str, Any] = field(default_factory=dict)


OTHER_MODEL = Change("another", 400)
PROMPT = Change("The King was late")
PROMPTS = Change(["The King was late"])
TURNS = [{"role": "user", "content": "Bye"}]
# glassllm has no template, so that conversations are refused
CHAT_OPTIONS = {
    "add_generation_prompt": Change(False, "same"),
    "chat_template_kwargs": Change({"thinking": True}, "same"),
    "prepend_bos": Change(False),
}
ONE_PROMPT = {"prompt": PROMPT, "messages": Change(TURNS, 400)} | CHAT_OPTIONS
SEVERAL_PROMPTS = {"prompts": PROMPTS, "messages": Change([TURNS], 400)} | CHAT_OPTIONS
AT_HOOK = {"source": None, "index": None, "vector": [1.0] * 128, "hook": "blocks.1.hook_resid_post"}
DIRECTION = {
    "model": OTHER_MODEL,
    "source": Change("1-small"),
    "index": Change(17),
    "vector": Change([0.5] * 128, also=AT_HOOK),
    "hook": Change("blocks.0.hook_resid_post", also=AT_HOOK),
    "ignore_bos": Change(True, also={"source": "2-top", "index": 73}),
}
SET = {
    "model": OTHER_MODEL,
    "source_set": Change("top"),
    "selected_sources": Change(["3-small"]),
    "sort_by_token_indexes": Change([1]),
    "ignore_bos": Change(False, also={"source_set": "top", "num_results": 90}),
    "num_results": Change(2),
    "feature_filter": Change([3], also={"selected_sources": ["1-small"]}),
}
TOP = {"model": OTHER_MODEL, "source": Change("2-top"), "top_k": Change(1), "ignore_bos": Change(False)}
LOGPROBS = {"n_logprobs": 3}
AT_RANDOM = {"temperature": 1.5, "n_completion_tokens": 12}
ONE_VECTOR = {"features": None, "vectors": [VECTOR], **LOGPROBS}
STEER = {
    "model": OTHER_MODEL,
    "steer_method": Change("ORTHOGONAL_DECOMP", also=LOGPROBS),
    "normalize_steering": Change(True, also=ONE_VECTOR),
    "types": Change(["DEFAULT"]),
    "features": Change([FEATURE | {"index": 4}], also=LOGPROBS),
    "vectors": Change([VECTOR | {"strength": 3}], also=ONE_VECTOR),
    "n_completion_tokens": Change(5),
    "temperature": Change(9.0, also={"n_completion_tokens": 6}),
    "strength_multiplier": Change(2.0, also=LOGPROBS),
    "freq_penalty": Change(20.0, also={"temperature": 0.1, "n_completion_tokens": 20}),
    "seed": Change(17, also=AT_RANDOM),
    "stream": Change(True, "same"),
    "stream_deltas": Change(True, "same", also={"stream": True}),
    "n_logprobs": Change(2),
}
FIELDS: dict[str, dict[str, Change]] = {
    "tokenize": {"model": OTHER_MODEL, "text": Change("The King"), "prepend_bos": Change(False)},
    "apply-chat-template": {
        "model": OTHER_MODEL,
        "messages": Change([{"role": "user", "content": "Bye"}]),
        "add_generation_prompt": Change(False),
        "chat_template_kwargs": Change({"thinking": True}, 400),  # glassllm has no template
    },
    "activation/single": DIRECTION | ONE_PROMPT,
    "activation/single-batch": DIRECTION | SEVERAL_PROMPTS,
    "activation/all": SET | ONE_PROMPT,
    "activation/all-batch": SET | SEVERAL_PROMPTS,
    "activation/topk-by-token": TOP | ONE_PROMPT,
    "activation/topk-by-token-batch": TOP | SEVERAL_PROMPTS,
    "activation/source": SEVERAL_PROMPTS
    | {
        "model": OTHER_MODEL,
        "source": Change("2-top"),
        "ignore_bos": Change(False),
    },
    "activation/raw": SEVERAL_PROMPTS
    | {
        "model": OTHER_MODEL,
        "layers": Change([2]),
        "hook_point": Change("residual_stream", "same"),
        "hooks": Change(["blocks.1.hook_mlp_out"], also={"layers": None}),
        "type": Change("all_tokens"),
    },
    "util/sae-vector": {
        "model": OTHER_MODEL,
        "source": Change("1-small"),
        "index": Change(4),
        "which": Change("decoder"),
    },
    "util/sae-topk-by-decoder-cossim": {
        "feature": Change({"model": NAME, "source": "1-small", "index": 4}),
        "vector": Change([1.0] * 127 + [2.0], also={"feature": None, "vector": [1.0] * 128}),
        "model": OTHER_MODEL,
        "source": Change("1-small"),
        "num_results": Change(2),
    },
    "steer/completion": STEER | {"prompt": PROMPT},
    "steer/completion-chat": STEER
    | {
        "prompt": Change([{"role": "user", "content": "Bye"}]),
        "steer_special_tokens": Change(False, also=LOGPROBS),
        "continue_final_message": Change(True, also={"prompt": [*TURNS, {"role": "assistant", "content": "Well"}]}),
        "is_assistant_axis": Change(True, 400),
    },
}


def schema_of(path: str) -> dict[str, Any]:
    return resolved(POSTS[path]["requestBody"]["content"]["application/json"]["schema"], DOCUMENT)


def test_the_tables_have_every_operation_and_every_field() -> None:
    assert BODIES.keys() == FIELDS.keys() == POSTS.keys()
    for path, changes in FIELDS.items():
        assert changes.keys() == schema_of(path)["properties"].keys(), path


async def test_capabilities_list_every_operation(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        capabilities = (await http.get("/v1/capabilities")).json()
    assert sorted(path.removeprefix("/v1/") for path in capabilities["endpoints"]) == sorted([*POSTS, "admin/sources"])


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_our_client_both_ways(url: str, client: Client, method: str, path: str) -> None:
    operation = OPERATIONS[method, path]
    module = importlib.import_module(f"memicos_inference_client.api.{operation['tags'][0]}.{operation['operationId']}")
    values: dict[str, Any] = {"client": client}
    if method == "post":
        name = path.removeprefix("/v1/")
        values["body"] = getattr(models, schema_of(name)["title"]).from_dict(BODIES[name])
    response = await module.asyncio(**values)
    assert response is not None and not isinstance(response, ErrorBody), response
    with Client(url) as sync_client:
        blocking = await asyncio.to_thread(module.sync_detailed, **values | {"client": sync_client})
    assert blocking.status_code == 200 and blocking.parsed == response
    assert (await module.asyncio_detailed(**values)).parsed == response
    content = operation["responses"]["200"]["content"]
    assert list(misfits(response.to_dict(), content["application/json"]["schema"], DOCUMENT)) == []
    if "text/event-stream" in content:
        frames = [frame async for frame in module.astream(**values)]
        with Client(url) as sync_client:
            sync_frames = await asyncio.to_thread(lambda: list(module.stream(**values | {"client": sync_client})))
        assert frames[-1] == sync_frames[-1] == response
        deltas = [frame async for frame in module.astream_deltas(**values)]
        assert deltas[-1] == response and all(isinstance(frame, models.SteerDelta) for frame in deltas[:-1])


@pytest.mark.parametrize("path", FIELDS)
async def test_every_field_has_an_effect(url: str, path: str) -> None:
    properties = schema_of(path)["properties"]
    answer_schema = POSTS[path]["responses"]["200"]["content"]["application/json"]["schema"]
    operation_names: dict[str, str] = {}

    async def good(http: httpx.AsyncClient, body: dict[str, Any]) -> str:
        """The JSON of the answer, of a stream its last."""
        content = json.dumps(body)
        if content not in operation_names:
            response = await http.post(f"/v1/{path}", json=body)
            assert response.status_code == 200, response.text
            operation_names[content] = response.text.strip().rpartition("data: ")[2]
            assert list(misfits(json.loads(operation_names[content]), answer_schema, DOCUMENT)) == []
        return operation_names[content]

    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        for name, change in FIELDS[path].items():
            base = BODIES[path] | {key: value for key, value in change.also.items() if key in properties}
            changed = base | {name: change.value}
            if isinstance(change.effect, int):
                assert (await http.post(f"/v1/{path}", json=changed)).status_code == change.effect, name
            else:
                unchanged = await good(http, base) == await good(http, changed)
                assert unchanged == (change.effect == "same"), name
