"""The whole contract by property: no request gives a 500, and every answer is what the contract says it is.

Schemathesis makes requests that fit the contract and requests that don't. Names that a random string never hits
(model, sources, hooks) are put in for most of them, so that they get past the door. A short run with fixed draws here;
`make fuzz` runs long with draws of its own.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memicos_testing.json_bodies.event_stream import events
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve
from schemathesis import Case
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

CONTRACT = yaml.safe_load((Path(__file__).parents[4] / "schemas/openapi/inference-server.yaml").read_text())
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Requests per operation and mode of a long run; unset: the short one."""
SHORT = 12
D_MODEL = 128
SECRET = "open sesame"

schema = schemathesis.openapi.from_dict(CONTRACT)
OPERATIONS: dict[str, Any] = {}
for schema_operation in schema.get_all_operations():
    assert isinstance(schema_operation, Ok)
    OPERATIONS[schema_operation.ok().label] = schema_operation.ok()
WITH_BODY = {label: operation for label, operation in OPERATIONS.items() if operation.body}

FEATURE = st.fixed_dictionaries(
    {"model": st.just(NAME), "source": st.sampled_from(["1-small", "3-small", "2-top"]), "index": st.integers(0, 95)}
)
CHAT = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.text("when Alice", max_size=12)}
    ),
    min_size=1,
    max_size=2,
)
STRENGTH = st.floats(-50, 50, width=16)
VECTOR = st.lists(st.floats(-2, 2, width=16), min_size=D_MODEL, max_size=D_MODEL)
HOOK = st.sampled_from(["blocks.0.hook_resid_pre", "blocks.2.hook_resid_post"])
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "model": st.just(NAME),
    "source": st.sampled_from(["1-small", "2-small", "3-small", "2-top"]),
    "source_set": st.sampled_from(["small", "top"]),
    "selected_sources": st.lists(st.sampled_from(["1-small", "2-top", "3-small"]), max_size=3),
    "feature_filter": st.none(),
    "hook": HOOK,
    "vector": VECTOR,
    "index": st.integers(0, 100),
    "feature": FEATURE,
    "features": st.lists(st.builds(lambda item, c: item | {"strength": c}, FEATURE, STRENGTH), max_size=3),
    "vectors": st.lists(
        st.fixed_dictionaries({"steering_vector": VECTOR, "hook": HOOK, "strength": STRENGTH}), min_size=1, max_size=2
    ),
    "prompt": st.text(max_size=40),
    "prompts": st.lists(st.text(max_size=40), min_size=1, max_size=3),
    "text": st.text(max_size=40),
    "messages": CHAT,
    "chat_template_kwargs": st.just({}),
    "n_completion_tokens": st.integers(1, 3),
    "num_results": st.integers(1, 20),
    "top_k": st.integers(1, 20),
    "sort_by_token_indexes": st.lists(st.integers(0, 6), max_size=3),
    "is_assistant_axis": st.just(False),
    "spec": st.sampled_from(["neurons", "top"]),
    "source_id": st.sampled_from(["1-small", "3-small", "2-top", "0"]),
}
"""What this server knows, by field."""

Groups = tuple[tuple[str, ...], ...]
FEATURE_OR_VECTOR: Groups = (("source", "index"), ("vector", "hook"))
FEATURES_OR_VECTORS: Groups = (("features",), ("vectors",))
# this model has no chat template, so that messages are refused
ONE_PROMPT: Groups = (("prompt",), ("prompt",), ("messages",))
PROMPTS: Groups = (("prompts",), ("prompts",), ("messages",))
EITHER: dict[str, tuple[Groups, ...]] = {
    "POST /v1/activation/single": (FEATURE_OR_VECTOR, ONE_PROMPT),
    "POST /v1/activation/single-batch": (FEATURE_OR_VECTOR, PROMPTS),
    "POST /v1/activation/all": (ONE_PROMPT,),
    "POST /v1/activation/all-batch": (PROMPTS,),
    "POST /v1/activation/topk-by-token": (ONE_PROMPT,),
    "POST /v1/activation/topk-by-token-batch": (PROMPTS,),
    "POST /v1/activation/source": (PROMPTS,),
    "POST /v1/activation/raw": (PROMPTS,),
    "POST /v1/steer/completion": (FEATURES_OR_VECTORS,),
    "POST /v1/steer/completion-chat": (FEATURES_OR_VECTORS,),
    "POST /v1/util/sae-topk-by-decoder-cossim": ((("feature",), ("vector",)),),
}
"""Fields of which a request has the one group or the other, which the contract says in words only."""


@st.composite
def at_home(draw: st.DrawFn, operation: Any) -> Case:
    """A valid request; most have names that this server knows in place of random ones."""
    case: Case = draw(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    if isinstance(case.body, dict) and draw(st.integers(0, 3)):
        case.body = {key: _known_value(draw, key, value) for key, value in case.body.items()}
        for groups in EITHER.get(operation.label, ()):
            chosen_group = draw(st.sampled_from(groups))
            case.body = {key: value for key, value in case.body.items() if key not in sum(groups, ())}
            for key in chosen_group:
                conversations = key == "messages" and groups == PROMPTS
                strategy: st.SearchStrategy[Any] = (
                    st.lists(CHAT, min_size=1, max_size=2) if conversations else KNOWN[key]
                )
                case.body[key] = draw(strategy)
    if case.path_parameters and draw(st.integers(0, 3)):
        case.path_parameters = {key: _known_value(draw, key, value) for key, value in case.path_parameters.items()}
    return case


def _known_value(draw: st.DrawFn, key: str, value: Any) -> Any:
    if key == "prompt" and isinstance(value, list):
        return draw(CHAT)
    return draw(KNOWN[key]) if key in KNOWN else value


def _check_events(case: Case, text: str) -> None:
    """Each event has the schema of its name; the last one is a whole response or an error."""
    responses = CONTRACT["paths"][case.path][case.method.lower()]["responses"]["200"]["content"]
    schemas = responses["text/event-stream"]["x-events"]
    parsed_events = events(text)
    for name, data in parsed_events:
        jsonschema_rs.validate(schemas[name] | {"components": CONTRACT["components"]}, data)
    assert parsed_events[-1][0] in ("message", "error")


def _run(cases: st.SearchStrategy[Case], url: str) -> Counter[int]:
    """Send requests and check the responses; return the number of responses by status."""
    seen: Counter[int] = Counter()

    @settings(
        max_examples=EXAMPLES or SHORT,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(cases)
    def send(case: Case) -> None:
        response = case.call(base_url=url, timeout=60, headers={"X-SECRET-KEY": SECRET})
        seen[response.status_code] += 1
        streamed = response.headers.get("content-type", [""])[0].startswith("text/event-stream")
        case.validate_response(response, checks=CHECKS)
        if streamed:
            _check_events(case, response.text)

    send()
    return seen


@pytest.fixture
async def place(operation: Any, url: str, serve: Serve) -> str:
    """Sources are added and removed while no other request runs."""
    return await serve(secret=SECRET) if "/admin/" in operation.path else url


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_valid_requests(operation: Any, place: str) -> None:
    seen = await asyncio.to_thread(_run, at_home(operation), place)
    assert seen[200], f"nothing got past the door: {seen}"


@pytest.mark.parametrize("operation", WITH_BODY.values(), ids=WITH_BODY)
async def test_invalid_requests(operation: Any, place: str) -> None:
    cases = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    seen = await asyncio.to_thread(_run, cases, place)
    assert not seen[200], seen


@pytest.mark.parametrize("path", ["/v1/steer/completion", "/v1/steer/completion-chat"])
@pytest.mark.parametrize("deltas", [False, True])
async def test_a_contract_tester_accepts_the_events_and_no_others(url: str, path: str, deltas: bool) -> None:
    prompt: Any = "Alice" if path.endswith("completion") else [{"role": "user", "content": "Alice"}]
    body = {"model": NAME, "prompt": prompt, "types": ["DEFAULT"], "features": [], "n_completion_tokens": 4}
    body |= {"temperature": 0, "seed": 1, "stream": True, "stream_deltas": deltas}
    case = schema[path]["POST"].Case(body=body)
    checks: list[CheckFunction] = [content_type_conformance, response_schema_conformance]
    response = await asyncio.to_thread(case.call, base_url=url, timeout=60)
    assert ("event: delta" in response.text) == deltas
    case.validate_response(response, checks=checks)
    for content in (b"event: surprise\ndata: {}\n\n", b'data: {"outputs": 3}\n\n'):
        damaged = Response(200, response.headers, content, response.request, elapsed=0, verify=False)
        with pytest.raises(FailureGroup, match="SSE event violates schema"):
            case.validate_response(damaged, checks=checks)
