"""Request ids, and the request log: one line per request, without content of requests or responses."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_engine.generation.decoder import Decoder
from memicos_inference.activation import service
from memicos_inference.app import create_app
from memicos_inference.settings import Settings
from memicos_service import logs
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve, running

WORD = "Zyzzyva"
"""A word of every prompt here."""
CAPTURE = {"model": NAME, "prompt": f"{WORD} sat", "source": "1-small", "index": 3}
WRITE: dict[str, Any] = {
    "model": NAME,
    "prompt": f"{WORD} sat",
    "types": ["DEFAULT"],
    "features": [],
    "n_completion_tokens": 4,
    "temperature": 50,
    "seed": 3,
}


class Log:
    """Log output in both formats, as `python -m memicos_inference` writes it."""

    def __init__(self) -> None:
        self._text, self._json = io.StringIO(), io.StringIO()
        self.handlers = [logs.make_handler("text", self._text), logs.make_handler("json", self._json)]

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._json.getvalue().splitlines()]

    def of_requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["logger"] == "memicos_inference.requests"]

    async def line_of(self, request_id: str) -> dict[str, Any]:
        """The log line of a request whose client has not seen the end."""
        for _ in range(200):
            if request_lines := [line for line in self.of_requests() if line["request_id"] == request_id]:
                return request_lines[0]
            await asyncio.sleep(0.02)
        raise AssertionError(self.text)


@pytest.fixture
def log() -> Iterator[Log]:
    captured_log, root = Log(), logging.getLogger()
    level = root.level
    for handler in captured_log.handlers:
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    # the tests' own client and server log too; the program has no client and silences the server
    names = ("httpx", "uvicorn.access")
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    yield captured_log
    for handler in captured_log.handlers:
        root.removeHandler(handler)
    root.setLevel(level)
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)


async def test_a_request_has_its_id_or_gets_one(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def id_of(sent_id: str | bytes, body: dict[str, Any] = CAPTURE, path: str = "activation/single") -> str:
            response = await http.post(f"/v1/{path}", json=body, headers=[(b"x-request-id", _bytes(sent_id))])
            (response_id,) = response.headers.get_list("x-request-id")
            return response_id

        for sane in ("abc-1", "!", "~" * 128, "a/b=c;d"):
            assert await id_of(sane) == sane
        for bad in ("", "a b", "x" * 129, "\x7f", "ä".encode(), b"a\tb"):
            assert re.fullmatch("[0-9a-f]{32}", await id_of(bad))
        for path, body in (
            ("activation/single", CAPTURE | {"source": "9-none"}),
            ("activation/single", {}),
            ("none", {}),
            ("steer/completion", WRITE | {"stream": True}),
        ):
            assert await id_of("mine", body, path) == "mine"
        generated_ids = {(await http.get("/health")).headers["x-request-id"] for _ in range(3)}
        assert len(generated_ids) == 3


def _bytes(sent_id: str | bytes) -> bytes:
    return sent_id if isinstance(sent_id, bytes) else sent_id.encode()


async def test_each_request_is_logged_without_its_content(url: str, log: Log) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60, headers={"X-Client-ID": f"client {WORD}"}) as http:
        requests: list[tuple[str, dict[str, Any], int]] = [
            ("/v1/activation/single", CAPTURE, 200),
            ("/v1/tokenize", {"model": NAME, "text": WORD}, 200),
            ("/v1/steer/completion", WRITE, 200),
            ("/v1/steer/completion", WRITE | {"stream": True}, 200),
            ("/v1/activation/single", CAPTURE | {"source": WORD}, 400),
            ("/v1/activation/single", CAPTURE | {"prompt": 3 * [WORD], "index": WORD}, 422),
            ("/v1/activation/single", CAPTURE | {"prompt": f"{WORD} " * 500}, 400),
            (f"/{WORD}", {}, 404),
        ]
        for number, (path, body, status) in enumerate(requests):
            response = await http.post(path, json=body, headers={"X-Request-ID": f"r{number}"})
            assert response.status_code == status, response.text
        await http.get("/health")
        await http.get("/metrics")
        leaving = http.stream("POST", "/v1/steer/completion", json=WRITE | {"stream": True, "n_completion_tokens": 60})
        async with leaving as stream:
            async for _ in stream.aiter_lines():
                break
        cancelled_line = await log.line_of(stream.headers["x-request-id"])
    assert WORD.lower() not in log.text.lower()
    lines = log.of_requests()
    assert [line["request_id"] for line in lines[:-1]] == [f"r{number}" for number in range(len(requests))]
    assert [line["status"] for line in lines[:-1]] == [status for _, _, status in requests]
    assert {line["level"] for line in lines} == {"info"} and cancelled_line["status"] == 499
    routes = [path if status != 404 else "other" for path, _, status in requests]
    assert [line["route"] for line in lines[:-1]] == routes
    assert len({line["client"] for line in lines}) == 1
    capture, tokenized, generated, streamed, refused, *_ = lines
    tokens = len(await _tokens(url, CAPTURE["prompt"]))
    assert capture["tokens_in"] == tokens and capture["tokens_out"] == 0 and capture["method"] == "POST"
    assert generated["tokens_in"] == streamed["tokens_in"] == tokens
    assert generated["tokens_out"] == streamed["tokens_out"] == 4 and 0 < cancelled_line["tokens_out"] < 60
    assert 0 <= capture["waited_seconds"] <= capture["seconds"]
    assert "tokens_in" not in tokenized and "waited_seconds" in tokenized
    assert refused["cause"] == "invalid_request" and "cause" not in capture
    # the same in the text format
    line = re.search(r"^INFO memicos_inference\.requests: request (.*request_id=r2)$", log.text, re.M)
    assert line
    pairs = dict(pair.split("=") for pair in line[1].split())
    assert pairs == {key: str(generated[key]) for key in pairs} and pairs.keys() == generated.keys() - {
        "event",
        "level",
        "logger",
        "timestamp",
    }


async def _tokens(url: str, text: Any) -> list[int]:
    async with httpx.AsyncClient(base_url=url) as http:
        return (await http.post("/v1/tokenize", json={"model": NAME, "text": text})).json()["tokens"]


async def test_an_internal_error_is_logged_with_its_request_id(
    url: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        logging.getLogger("some.library").warning("this will not go well")
        raise RuntimeError("the reason")

    monkeypatch.setattr(service, "single", fail)
    monkeypatch.setattr(Decoder, "step", fail)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        plain = await http.post("/v1/activation/single", json=CAPTURE, headers={"X-Request-ID": "plain"})
        stream = {"X-Request-ID": "in-stream"}
        streamed = await http.post("/v1/steer/completion", json=WRITE | {"stream": True}, headers=stream)
    assert plain.status_code == 500 and plain.headers["x-request-id"] == "plain"
    assert plain.json() == {"error": "Internal error. It has been logged as plain.", "cause": "internal"}
    assert json.loads(streamed.text.rpartition("data: ")[2])["error"].endswith("It has been logged as in-stream.")
    of_plain = [line for line in log.lines if line.get("request_id") == "plain"]
    # written in the model's thread, then at the end of the request, then by uvicorn
    assert [line["logger"] for line in of_plain] == ["some.library", "memicos_inference.requests", "uvicorn.error"]
    assert "RuntimeError: the reason" in of_plain[2]["exception"] and "test_request_log.py" in of_plain[2]["exception"]
    assert of_plain[1]["status"] == 500 and of_plain[1]["level"] == "warning" and of_plain[1]["cause"] == "internal"
    of_stream = [line for line in log.lines if line.get("request_id") == "in-stream"]
    assert [line for line in of_stream if "the reason" in line.get("exception", "")]
    assert of_stream[-1]["cause"] == "internal"
    # a traceback shows code, not values
    assert WORD.lower() not in log.text.lower() and "\nRuntimeError: the reason" in log.text


async def test_two_requests_at_once_keep_their_ids(url: str, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    real = service.single

    def single(served: Any, body: Any, tokenized: Any) -> Any:
        logging.getLogger("some.library").warning("index %d begins", body.index)
        result = yield from real(served, body, tokenized)
        logging.getLogger("some.library").warning("index %d ends", body.index)
        return result

    monkeypatch.setattr(service, "single", single)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def ask(index: int) -> None:
            await http.post(
                "/v1/activation/single", json=CAPTURE | {"index": index}, headers={"X-Request-ID": str(index)}
            )

        await asyncio.gather(*map(ask, range(8)))
    library_lines = [line for line in log.lines if line["logger"] == "some.library"]
    assert len(library_lines) == 16 and all(line["event"].split()[1] == line["request_id"] for line in library_lines)


async def test_request_lines_can_be_switched_off(serve: Serve, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await serve(sae_sets=("small",), log_requests=False)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        assert (await http.post("/v1/activation/single", json=CAPTURE)).status_code == 200
        assert (await http.post("/v1/activation/single", json={})).status_code == 422
        assert log.of_requests() == []
        monkeypatch.setattr(service, "single", None)
        assert (await http.post("/v1/activation/single", json=CAPTURE)).status_code == 500
    assert [line["status"] for line in log.of_requests()] == [500]


async def test_a_request_refused_before_routing_is_logged(tmp_path: Path, log: Log) -> None:
    settings = Settings(model_id="some", custom_hf_model_id=str(tmp_path / "none"), secret="open", body_bytes=100)  # pyright: ignore
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/activation/single", json=CAPTURE)
        await http.post("/v1/activation/single", content=b"x" * 200, headers={"X-SECRET-KEY": "open"})
    assert [(line["status"], line["cause"]) for line in log.of_requests()] == [
        (401, "wrong_secret"),
        (413, "too_large"),
    ]


def test_long_messages_are_cut_and_unusual_ones_are_one_json_object(log: Log) -> None:
    logger = logging.getLogger("some.library")
    logger.error("x" * 100_000)
    logger.warning('a "quoted"\nline', extra={"field": "a b\n=", "color_message": "c"})
    long, unusual = log.lines
    assert len(long["event"]) < 21_000 and long["event"].endswith("(100,000 characters)") and "request_id" not in long
    assert unusual["event"] == 'a "quoted"\nline' and unusual["field"] == "a b\n=" and "color_message" not in unusual
    assert 'field="a b\\n="' in log.text
