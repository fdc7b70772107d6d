"""Streams of steering: whole responses or deltas, errors within a stream, and clients that disconnect."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
import yaml
from memicos_testing.fake_inference_server import END, FakeInferenceServer
from memicos_testing.json_bodies.event_stream import events
from memicos_testing.json_bodies.steer_bodies import TURNS, chat, completion, numbered_words
from memicos_webapp.steering import event_stream
from pydantic import BaseModel
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

BOTH = [("/api/steer", completion()), ("/api/steer-chat", chat())]
OTHER = [{"role": "user", "content": "Other"}]
DOCUMENT = yaml.safe_load((Path(__file__).parents[4] / "schemas/openapi/webapp.yaml").read_text())


async def named_events(url: str, path: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Name and JSON of every event."""
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.post(path, json={**body, "stream": True})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return events(response.text)


async def frames(url: str, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The responses of a stream that has no other events."""
    received = await named_events(url, path, body)
    assert {name for name, _ in received} == {"message"}
    return [frame for _, frame in received]


@pytest.mark.parametrize("path", ["/api/steer", "/api/steer/"])
async def test_every_event_is_the_whole_response_so_far(url: str, inference: FakeInferenceServer, path: str) -> None:
    received = await frames(url, path, completion())
    assert [frame["STEERED"] for frame in received] == [numbered_words("steered", n) for n in (1, 2, 3, 4, 4)]
    assert [frame["tokens"]["DEFAULT"] for frame in received] == [1, 2, 3, 4, 4]
    assert ["shareUrl" in frame for frame in received] == [False] * 4 + [True]
    assert received[-1]["shareUrl"].startswith(f"{url}/small/steer?feature=1-res%2F5%4020.5")


@pytest.mark.parametrize(("options", "counts"), [({}, [0, 0, 0, 0, 4]), ({"frame_logprobs": True}, [1, 2, 3, 4, 4])])
async def test_log_probabilities_are_in_the_last_event_by_default(
    url: str, inference: FakeInferenceServer, options: dict[str, Any], counts: list[int]
) -> None:
    received = await frames(url, "/api/steer", completion(**options))
    for name in ("steeredLogProbs", "defaultLogProbs"):
        assert [len(frame.get(name, [])) for frame in received] == counts
    received = await frames(url, "/api/steer-chat", chat(**options))
    for name in ("STEERED", "DEFAULT"):
        assert [len(frame[name].get("logprobs", [])) for frame in received] == counts


async def test_bytes_of_a_stream_with_log_probabilities_grow_with_its_tokens(
    url: str, inference: FakeInferenceServer
) -> None:
    """Bytes grow linearly in deltas, and quadratically with log-probabilities in every whole response."""
    sizes: dict[str, list[int]] = {}
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for kind, options in (("delta", {"delta": True}), ("whole", {}), ("all", {"frame_logprobs": True})):
            for tokens in (32, 64, 128):
                body = completion(n_tokens=tokens, stream=True, **options)
                sizes.setdefault(kind, []).append(len((await client.post("/api/steer", json=body)).content))
    assert all(after < 2.2 * before for before, after in itertools.pairwise(sizes["delta"])), sizes
    assert sizes["all"][-1] > 5 * sizes["whole"][-1] > 5 * 3 * sizes["delta"][-1], sizes


def joined(deltas: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each output joined from its deltas."""
    outputs: dict[str, dict[str, Any]] = {}
    for output_type, part in ((kind, part) for delta in deltas for kind, part in delta.items()):
        output = outputs.setdefault(output_type, {"text": "", "tokens": 0, "logprobs": []})
        output["text"] += part["text"]
        output["tokens"] += part["tokens"]
        output["logprobs"] += part.get("logprobs", [])
    return outputs


async def test_deltas_are_parts_of_the_completion_and_the_response_follows(
    url: str, client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    received = await named_events(url, "/api/steer", completion(delta=True))
    assert [name for name, _ in received] == ["delta"] * 4 + ["message"]
    *deltas, response = [data for _, data in received]
    assert [delta["STEERED"]["text"] for delta in deltas] == [f" steered{n}" for n in range(4)]
    logprobs = [{"token": f" default{n}", "logprob": -0.5, "topLogprobs": [{"token": " other", "logprob": -2.5}]}
                for n in range(4)]  # fmt: skip
    assert joined(deltas)["DEFAULT"] == {"text": numbered_words("default", 4), "tokens": 4, "logprobs": logprobs}
    full_response = (await client.post("/api/steer", json=completion())).json()
    share_url = response.pop("shareUrl")
    assert share_url == full_response.pop("shareUrl").replace("http://localhost", url)
    assert response == {name: value for name, value in full_response.items() if value is not None}


@pytest.mark.parametrize("changes", [{}, {"steeredChatMessages": OTHER}, {"features": []}])
async def test_deltas_of_a_chat(
    url: str, client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any]
) -> None:
    *received, (name, response) = await named_events(url, "/api/steer-chat", chat(delta=True, **changes))
    assert name == "message" and {name for name, _ in received} == {"delta"}
    outputs = joined([data for _, data in received])
    assert outputs.keys() == ({"DEFAULT"} if changes == {"features": []} else {"STEERED", "DEFAULT"})
    for output_type, output in outputs.items():
        assert output["text"] == response[output_type]["chatTemplate"][-1]["content"]
        assert output["text"] == numbered_words(output_type.lower(), 4).strip()
        assert output["logprobs"] == response[output_type]["logprobs"] and output["tokens"] == 4


async def test_the_raw_text_of_a_chat_has_the_prompt_and_special_tokens_in_every_event(
    url: str, inference: FakeInferenceServer
) -> None:
    prompt = "".join(f"<{turn['role']}>{turn['content']}" for turn in TURNS)
    received = await frames(url, "/api/steer-chat", chat())
    raw = [prompt + numbered_words("steered", n).strip() for n in (1, 2, 3, 4)]
    assert [frame["STEERED"]["raw"] for frame in received] == [*raw[:3], raw[3] + END, raw[3] + END]
    received = await frames(url, "/api/steer-chat", chat(steeredChatMessages=OTHER))
    assert received[-1]["STEERED"]["raw"] == "<user>Other" + numbered_words("steered", 4).strip() + END
    for frame in received:
        assert all(frame[kind]["raw"].startswith(start)
                   for kind, start in (("STEERED", "<user>Other"), ("DEFAULT", prompt)) if kind in frame)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta": True}, "delta is an option of streams"),
        ({"frame_logprobs": True}, "frame_logprobs is an option of streams of whole answers"),
        ({"stream": True, "delta": True, "frame_logprobs": True}, "frame_logprobs is an option"),
    ],
)
async def test_options_that_contradict_each_other(
    client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any], message: str
) -> None:
    for path, body in (("/api/steer", completion(**changes)), ("/api/steer-chat", chat(**changes))):
        response = await client.post(path, json=body)
        assert response.status_code == 422 and message in response.json()["error"]
    assert inference.seen == []


async def test_inference_is_always_asked_for_deltas(
    url: str, client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    for options in ({}, {"stream": True}, {"stream": True, "delta": True}):
        await client.post("/api/steer", json=completion(**options))
        await client.post("/api/steer-chat", json=chat(**options))
    sent = [body for path in ("completion", "completion-chat") for body in inference.bodies(f"/v1/steer/{path}")]
    assert len(sent) == 6 and all(body["stream_deltas"] for body in sent)


@pytest.mark.parametrize(("path", "body"), BOTH)
@pytest.mark.parametrize("options", [{}, {"delta": True}])
async def test_a_contract_tester_accepts_the_events_and_no_others(
    url: str, inference: FakeInferenceServer, path: str, body: dict[str, Any], options: dict[str, Any]
) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path]["POST"]
    checks: list[CheckFunction] = [content_type_conformance, response_schema_conformance]
    case = operation.Case(body={**body, **options, "stream": True})
    for error_after in (None, 2):
        inference.error_after = error_after
        response = await asyncio.to_thread(case.call, base_url=url)
        assert ("event: error" in response.text) == (error_after is not None)
        case.validate_response(response, checks=checks)
        schemas = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]["x-events"]
        for name, data in events(response.text):
            jsonschema_rs.validate(schemas[name] | {"components": DOCUMENT["components"]}, data)
    # an event of an unknown name is refused
    content = b"event: surprise\ndata: {}\n\n"
    response = Response(200, response.headers, content, response.request, elapsed=0, verify=False)
    with pytest.raises(FailureGroup, match="SSE event violates schema"):
        case.validate_response(response, checks=checks)


async def test_a_chat_streams_both_columns(url: str, inference: FakeInferenceServer) -> None:
    received = await frames(url, "/api/steer-chat", chat())
    assert [frame["STEERED"]["chatTemplate"][-1]["content"] for frame in received] == [
        numbered_words("steered", n).strip() for n in (1, 2, 3, 4, 4)
    ]
    assert received[-1]["settings"]["n_tokens"] == 4
    # two conversations arrive in any order; each event has everything generated so far
    received = await frames(url, "/api/steer-chat", chat(steeredChatMessages=OTHER))
    counts = [(frame["tokens"].get("STEERED", 0), frame["tokens"].get("DEFAULT", 0)) for frame in received]
    assert counts[-1] == (4, 4) and all(a <= b for a, b in itertools.pairwise(counts))
    assert all(sum(after) - sum(before) <= 1 for before, after in itertools.pairwise(counts))


ENDS: list[tuple[dict[str, Any], int, str]] = [
    (
        {"error_after": 2},
        503,
        "Inference stopped before the response was complete: No memory is left; ask for fewer tokens.",
    ),
    ({"error_after": 2, "stream_error": {"error": "Steer less.", "cause": "invalid_request"}}, 400, "Steer less."),
    ({"error_after": 2, "stream_error": {"error": "x", "cause": "internal"}}, 502, "The inference server failed: x"),
    ({"break_after": 2}, 502, "was interrupted; run it again"),
    ({"end_after": 2}, 502, "was interrupted; run it again"),
]
"""What the double does, the status where it was not streamed, words."""


@pytest.mark.parametrize(("path", "body"), BOTH)
@pytest.mark.parametrize(("fault", "status", "message"), ENDS)
async def test_an_error_that_ends_a_stream_early_is_an_event(
    url: str,
    client: httpx.AsyncClient,
    inference: FakeInferenceServer,
    path: str,
    body: dict[str, Any],
    fault: dict[str, Any],
    status: int,
    message: str,
) -> None:
    vars(inference).update(fault)
    *before, (name, error) = await named_events(url, path, body)
    assert name == "error" and error.keys() == {"error", "message"} and error["error"] == error["message"]
    assert message in error["error"]
    assert [name for name, _ in before] == ["message"] * 2 and before[-1][1]["tokens"]["STEERED"] == 2
    assert all("shareUrl" not in frame for _, frame in before)
    # without a stream, an incomplete response is not sent
    response = await client.post(path, json=body)
    assert (response.status_code, response.json()) == (status, error)


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_an_internal_error_within_a_stream_is_logged_and_reported(
    url: str,
    inference: FakeInferenceServer,
    path: str,
    body: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, calls = event_stream._event, itertools.count()

    def event(data: BaseModel, name: str | None = None) -> str:
        if next(calls) == 2:
            raise RuntimeError("a fault of ours")
        return real(data, name)

    monkeypatch.setattr(event_stream, "_event", event)
    name, error = (await named_events(url, path, body))[-1]
    assert name == "error" and error["error"].startswith("Internal error. It has been logged as ")
    assert any(record.exc_info and "a fault of ours" in str(record.exc_info[1]) for record in caplog.records)


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_an_error_before_the_first_event_is_a_plain_response(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, body: dict[str, Any]
) -> None:
    inference.token_limit = 1
    response = await client.post(path, json={**body, "stream": True})
    assert response.status_code == 400 and "max is 1" in response.json()["error"]
    inference.reset()
    inference.break_after = 0
    response = await client.post(path, json={**body, "stream": True})
    assert response.status_code == 502 and "was interrupted" in response.json()["error"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (the fake server has no event for it)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("options", [{}, {"delta": True}])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/steer", completion(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200, steeredChatMessages=OTHER)),
    ],
)
async def test_a_client_that_closes_its_stream_ends_the_work(
    url: str, inference: FakeInferenceServer, path: str, body: dict[str, Any], options: dict[str, Any]
) -> None:
    inference.delay = 0.02
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("POST", path, json={**body, **options, "stream": True}) as response,
    ):
        async for line in response.aiter_lines():
            if line:
                break
    expected = len(inference.seen)
    await until(lambda: inference.streams_closed == expected)
    assert inference.frames_sent < 150


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/steer", completion(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200, steeredChatMessages=OTHER)),
    ],
)
async def test_a_client_that_leaves_before_the_answer_begins_ends_the_work(
    url: str, inference: FakeInferenceServer, path: str, body: dict[str, Any], stream: bool
) -> None:
    # without a stream the response begins at the end; a stream begins with its first event
    inference.delay = 1.5 if stream else 0.02
    async with httpx.AsyncClient(base_url=url) as client:
        call = asyncio.create_task(client.post(path, json={**body, "stream": stream}))
        requests = 2 if "steeredChatMessages" in body and body["steeredChatMessages"] == OTHER else 1
        await until(lambda: len(inference.seen) == requests and (stream or inference.frames_sent > 2))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await until(lambda: inference.streams_closed == requests)
    assert inference.frames_sent < 150


TEXT = "the whale rose"
OWN_TEXT: dict[str, tuple[str, dict[str, Any]]] = {
    "/api/activation/new": (
        "POST",
        {"json": {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": TEXT}},
    ),
    "/api/search-all": ("POST", {"json": {"modelId": "small", "sourceSet": "res", "text": TEXT}}),
    "/api/search-topk-by-token": ("POST", {"json": {"modelId": "small", "source": "1-res", "text": TEXT}}),
    "/small/1-res/5/test": ("POST", {"data": {"text": TEXT}}),
    f"/search/results?q={TEXT}&modelId=small&sourceSet=res": ("GET", {}),
    f"/search-topk-by-token/results?q={TEXT}&modelId=small&sourceSet=res&source=1-res": ("GET", {}),
}


@pytest.mark.parametrize("path", OWN_TEXT)
async def test_a_client_that_leaves_ends_the_run_of_its_own_text(
    url: str, inference: FakeInferenceServer, path: str
) -> None:
    inference.delay = 5
    method, content = OWN_TEXT[path]
    async with httpx.AsyncClient(base_url=url) as client:
        call = asyncio.create_task(client.request(method, path, **content))
        # search by text over a set reads its three sources at the same time
        calls = 3 if path.startswith("/search/results") else 1
        await until(lambda: len(inference.seen) == calls)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await until(lambda: inference.calls_closed == calls)
