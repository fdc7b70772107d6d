"""Streams of steering: each event is the answer so far, what ends one early is said, and leaving ends the work."""

import asyncio
import itertools
from typing import Any

import httpx
import pytest
from memicos_testing.event_stream import events
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.steer_bodies import chat, completion, words
from memicos_webapp.steering import stream
from memicos_webapp.steering.schemas import Answer

BOTH = [("/api/steer", completion()), ("/api/steer-chat", chat())]


async def named(url: str, path: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Name and JSON of every event."""
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post(path, json={**body, "stream": True})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events(answer.text)


async def frames(url: str, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of a stream that has nothing else."""
    found = await named(url, path, body)
    assert {name for name, _ in found} == {"message"}
    return [frame for _, frame in found]


@pytest.mark.parametrize("path", ["/api/steer", "/api/steer/"])
async def test_every_event_is_the_whole_answer_so_far(url: str, inference: FakeInferenceServer, path: str) -> None:
    found = await frames(url, path, completion())
    assert [frame["STEERED"] for frame in found] == [words("steered", n) for n in (1, 2, 3, 4, 4)]
    assert [frame["tokens"]["DEFAULT"] for frame in found] == [1, 2, 3, 4, 4]
    assert [len(frame["steeredLogProbs"]) for frame in found] == [1, 2, 3, 4, 4]
    assert ["shareUrl" in frame for frame in found] == [False] * 4 + [True]
    assert found[-1]["shareUrl"].startswith(f"{url}/small/steer?feature=1-res%2F5%4020.5")


async def test_a_chat_streams_both_columns(url: str, inference: FakeInferenceServer) -> None:
    found = await frames(url, "/api/steer-chat", chat())
    assert [frame["STEERED"]["chatTemplate"][-1]["content"] for frame in found] == [
        words("steered", n).strip() for n in (1, 2, 3, 4, 4)
    ]
    assert found[-1]["settings"]["n_tokens"] == 4
    # two conversations come as they come; each event still has all that is known
    other = chat(steeredChatMessages=[{"role": "user", "content": "Other"}])
    found = await frames(url, "/api/steer-chat", other)
    counts = [(frame["tokens"].get("STEERED", 0), frame["tokens"].get("DEFAULT", 0)) for frame in found]
    assert counts[-1] == (4, 4) and all(a <= b for a, b in itertools.pairwise(counts))
    assert all(sum(after) - sum(before) <= 1 for before, after in itertools.pairwise(counts))


ENDS: list[tuple[dict[str, Any], int, str]] = [
    ({"error_after": 2}, 503, "Inference stopped in the middle: No memory is left; ask for fewer tokens."),
    ({"error_after": 2, "stream_error": {"error": "Steer less.", "cause": "invalid_request"}}, 400, "Steer less."),
    ({"error_after": 2, "stream_error": {"error": "x", "cause": "internal"}}, 502, "The inference server failed: x"),
    ({"break_after": 2}, 502, "broke off; run it again"),
    ({"end_after": 2}, 502, "broke off; run it again"),
]
"""What the double does, the status where it was not streamed, words."""


@pytest.mark.parametrize(("path", "body"), BOTH)
@pytest.mark.parametrize(("how", "status", "message"), ENDS)
async def test_what_ends_a_stream_early_is_an_event_of_its_own(
    url: str,
    client: httpx.AsyncClient,
    inference: FakeInferenceServer,
    path: str,
    body: dict[str, Any],
    how: dict[str, Any],
    status: int,
    message: str,
) -> None:
    vars(inference).update(how)
    *before, (name, error) = await named(url, path, body)
    assert name == "error" and error.keys() == {"error", "message"} and error["error"] == error["message"]
    assert message in error["error"]
    assert [name for name, _ in before] == ["message"] * 2 and before[-1][1]["tokens"]["STEERED"] == 2
    assert all("shareUrl" not in frame for _, frame in before)
    # half an answer is no answer where it was not streamed
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()) == (status, error)


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_a_fault_of_ours_in_the_middle_is_logged_and_said(
    url: str,
    inference: FakeInferenceServer,
    path: str,
    body: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, calls = stream._event, itertools.count()

    def event(answer: Answer) -> str:
        if next(calls) == 2:
            raise RuntimeError("a fault of ours")
        return real(answer)

    monkeypatch.setattr(stream, "_event", event)
    name, error = (await named(url, path, body))[-1]
    assert name == "error" and error["error"].startswith("Something failed on our side. It has been logged as ")
    assert any(record.exc_info and "a fault of ours" in str(record.exc_info[1]) for record in caplog.records)


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_what_is_wrong_before_the_first_event_is_no_stream(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, body: dict[str, Any]
) -> None:
    inference.token_limit = 1
    answer = await client.post(path, json={**body, "stream": True})
    assert answer.status_code == 400 and "max is 1" in answer.json()["error"]
    inference.reset()
    inference.break_after = 0
    answer = await client.post(path, json={**body, "stream": True})
    assert answer.status_code == 502 and "broke off" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/steer", completion(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200, steeredChatMessages=[{"role": "user", "content": "Other"}])),
    ],
)
async def test_leaving_ends_the_work(url: str, inference: FakeInferenceServer, path: str, body: dict[str, Any]) -> None:
    inference.delay = 0.02
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("POST", path, json={**body, "stream": True}) as answer,
    ):
        async for line in answer.aiter_lines():
            if line:
                break
    expected = len(inference.seen)
    async with asyncio.timeout(5):
        while inference.streams_closed < expected:  # noqa: ASYNC110 (the double has no event for it)
            await asyncio.sleep(0.02)
    assert inference.frames_sent < 150
