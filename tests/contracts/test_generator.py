"""The generator on a small service: JSON and events from one route, and the documents that it refuses."""

import asyncio
import importlib
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import contracts
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from memicos_testing.servers import running
from pydantic import BaseModel

REFERENCES = {"message": "Answer", "piece": "Piece", "error": "ErrorBody"}
NAMED = {name: {"$ref": f"#/components/schemas/{schema}"} for name, schema in REFERENCES.items()}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "x-events": NAMED}}}
}
SEPARATORS = "a\u2028b\u2029c\x85d\x0be"
"""What `str.splitlines` splits on and server-sent events do not."""


class Ask(BaseModel):
    prompt: str
    stream: bool = False
    stream_pieces: bool = False


class Answer(BaseModel):
    text: str


class ByIndex(BaseModel):
    index: int


class Piece(BaseModel):
    letter: str


class ErrorBody(BaseModel):
    error: str
    cause: str | None = None


def create_app() -> FastAPI:
    app = FastAPI(title="small", version="1", generate_unique_id_function=lambda route: route.name)
    app.state.left = asyncio.Event()
    router = APIRouter(tags=["talk"], responses={400: {"model": ErrorBody}})

    @router.post("/talk", response_model=Answer, responses=EVENTS, summary="Talk")
    async def talk(body: Ask) -> Any:
        if body.prompt == "bad":
            return JSONResponse({"error": "no such word"}, 400)
        if body.prompt == "busy":
            return JSONResponse({"error": "try later", "cause": "queue"}, 503, {"Retry-After": "7"})
        if body.prompt == "proxy":
            return PlainTextResponse("<html>Bad Gateway</html>", 502)
        if body.prompt == "empty":
            return Response(status_code=204)
        if not body.stream:
            return Answer(text=body.prompt)

        async def frames() -> AsyncIterator[str]:
            try:
                if body.prompt == "silent":
                    return
                for letter in body.prompt if body.stream_pieces else "":
                    yield f"event: piece\ndata: {Piece(letter=letter).model_dump_json()}\n\n"
                if body.prompt == "half":
                    return
                if body.prompt == "failing":
                    yield f"event: error\ndata: {ErrorBody(error='no more', cause='tired').model_dump_json()}\n\n"
                    return
                for number in range(3):
                    yield f"data: {Answer(text=f'{body.prompt}{number}').model_dump_json()}\n\n"
                if body.prompt == "endless":
                    await asyncio.sleep(60)
            finally:
                app.state.left.set()

        return StreamingResponse(frames(), media_type="text/event-stream")

    @router.get("/piece")
    async def piece() -> Piece:
        """FastAPI documents the bodies of responses, not those of events only."""
        return Piece(letter="a")

    @router.get("/item/{index}", responses={404: {"model": ErrorBody}})
    async def item(index: str) -> Answer:
        return JSONResponse({"error": f"no item {index}"}, 404) if index == "9" else Answer(text=index)  # type: ignore

    @router.post("/by-index")
    async def by_index(body: ByIndex) -> Answer:
        return Answer(text=str(body.index + 1))

    app.include_router(router)
    return app


@dataclass(frozen=True)
class Small(contracts.Service):
    folder: Path

    @property
    def yaml(self) -> Path:
        return self.folder / self.document

    @property
    def client(self) -> Path:
        return self.folder / self.package


def service(folder: Path, create: Callable[[], FastAPI]) -> Small:
    module = ModuleType(f"small_service_{folder.name}")
    module.__dict__["create_app"] = create
    sys.modules[module.__name__] = module
    return Small("small", module.__name__, "small.yaml", "small-client", "small_client", folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = service(tmp_path_factory.mktemp("small"), create_app)
    small.yaml.write_text(contracts.as_yaml(contracts.current_document(small)))
    contracts.write_client(small)
    return small


@pytest.fixture(scope="module")
def generated(small: Small) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the generated package."""
    sys.path.insert(0, str(small.folder))
    yield lambda name: importlib.import_module(f"small_client{name}")
    sys.path.remove(str(small.folder))


async def test_one_route_gives_json_functions_and_typed_streams(generated: Callable[[str], ModuleType]) -> None:
    talk, models = generated(".api.talk.talk"), generated(".models")
    app = create_app()
    async with running(app) as url, generated("").Client(url, timeout=httpx.Timeout(10, read=None)) as client:
        ask = models.Ask(prompt=SEPARATORS)
        response = await talk.asyncio(client=client, body=ask)
        assert isinstance(response, models.Answer) and response.text == SEPARATORS

        frames = [frame async for frame in talk.astream(client=client, body=ask)]
        assert all(isinstance(frame, models.Answer) for frame in frames)
        assert [frame.text for frame in frames] == [f"{SEPARATORS}{n}" for n in range(3)]

        def read_blocking() -> list[str]:
            with generated("").Client(url) as blocking:
                return [frame.text for frame in talk.stream(client=blocking, body=ask)]

        assert await asyncio.to_thread(read_blocking) == [frame.text for frame in frames]

        app.state.left.clear()
        async with aclosing(talk.astream(client=client, body=models.Ask(prompt="endless"))) as endless:
            assert (await anext(endless)).text == "endless0"
        await asyncio.wait_for(app.state.left.wait(), 10)


@pytest.mark.parametrize(
    ("prompt", "error_class", "status", "message", "cause", "retry_after"),
    [
        ("bad", "BadRequest", 400, "no such word", None, None),
        ("busy", "Unavailable", 503, "try later", "queue", 7),
        ("proxy", "Unavailable", 502, "<html>Bad Gateway</html>", None, None),
    ],
)
async def test_every_call_raises_typed_errors(
    generated: Callable[[str], ModuleType],
    prompt: str,
    error_class: str,
    status: int,
    message: str,
    cause: str | None,
    retry_after: int | None,
) -> None:
    package = generated("")
    body = package.Ask(prompt=prompt)
    async with running(create_app()) as url, package.Client(url) as client:

        def blocking(function: Callable[..., Any]) -> Any:
            with package.Client(url) as own:
                result = function(client=own, body=body)
                return list(result) if function is package.talk.stream else result

        calls: list[Callable[[], Any]] = [
            lambda: package.talk.asyncio(client=client, body=body),
            lambda: anext(package.talk.astream(client=client, body=body)),
            lambda: asyncio.to_thread(blocking, package.talk.sync),
            lambda: asyncio.to_thread(blocking, package.talk.stream),
        ]
        for call in calls:
            with pytest.raises(package.ApiError) as caught:
                await call()
            error = caught.value
            assert type(error) is getattr(package, error_class) and str(error) == f"{status}: {message}"
            fields = (error.status_code, error.message, error.cause, error.retry_after)
            assert fields == (status, message, cause, retry_after)


async def test_an_undocumented_success_is_raised(generated: Callable[[str], ModuleType]) -> None:
    package = generated("")
    async with running(create_app()) as url, package.Client(url) as client:
        with pytest.raises(package.UnexpectedStatus) as caught:
            await package.talk.asyncio(client=client, body=package.Ask(prompt="empty"))
    assert caught.value.status_code == 204 and not isinstance(caught.value, package.ApiError)


async def test_index_is_a_number_or_text(generated: Callable[[str], ModuleType]) -> None:
    package = generated("")
    assert inspect.signature(package.item.sync).parameters["index"].annotation == int | str
    assert package.ByIndex.__annotations__["index"] == "int | str"
    async with running(create_app()) as url, package.Client(url) as client:
        for index in (7, "7"):
            assert await package.item.asyncio(index, client=client) == package.Answer("7")
            body = package.ByIndex(index)
            assert await package.by_index.asyncio(client=client, body=body) == package.Answer("8")
        with pytest.raises(package.NotFound, match="no item 9"):
            await package.item.asyncio(9, client=client)


def test_default_timeout_fits_a_generation(generated: Callable[[str], ModuleType]) -> None:
    package = generated("")
    for client in (package.Client("http://host"), package.AuthenticatedClient("http://host", token="t")):
        with client:
            timeout = client.get_httpx_client().timeout
        assert (timeout.connect, timeout.read) == (10, 600)


def test_a_changed_stock_template_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("endpoint_module.py.jinja", "client.py.jinja"):
        (tmp_path / name).write_text("something else")
    monkeypatch.setattr(contracts, "STOCK_TEMPLATES", tmp_path)
    with pytest.raises(contracts.ContractError, match="adapt STOCK_"):
        contracts._adapt_stock_templates(tmp_path)


async def test_errors_are_typed_in_both(generated: Callable[[str], ModuleType]) -> None:
    talk, models = generated(".api.talk.talk"), generated(".models")
    bad = models.Ask(prompt="bad")
    async with running(create_app()) as url, generated("").Client(url) as client:
        response = await talk.asyncio_detailed(client=client, body=bad)
        assert response.status_code == 400 and response.parsed == models.ErrorBody("no such word")
        with pytest.raises(generated(".errors").UnexpectedStatus) as caught:
            await anext(talk.astream(client=client, body=bad))
        assert caught.value.status_code == 400
        assert caught.value.content == b'{"error":"no such word"}'


async def test_events_of_other_names_have_functions_of_their_own(generated: Callable[[str], ModuleType]) -> None:
    talk, models = generated(".api.talk.talk"), generated(".models")
    ask = models.Ask(prompt="abc")
    async with running(create_app()) as url, generated("").Client(url) as client:
        frames = [frame async for frame in talk.astream_pieces(client=client, body=ask)]

        def read_blocking() -> list[Any]:
            with generated("").Client(url) as blocking:
                return list(talk.stream_pieces(client=blocking, body=ask))

        assert await asyncio.to_thread(read_blocking) == frames
    assert frames[:3] == [models.Piece(letter=letter) for letter in "abc"]
    assert [frame.text for frame in frames[3:]] == ["abc0", "abc1", "abc2"]


@pytest.mark.parametrize(
    ("prompt", "function", "error", "cause"),
    [
        ("failing", "astream", "no more", "tired"),
        ("failing", "astream_pieces", "no more", "tired"),
        ("half", "astream_pieces", "The stream ended without the whole answer.", "incomplete"),
        ("silent", "astream", "The stream ended without the whole answer.", "incomplete"),
    ],
)
async def test_a_stream_without_an_answer_is_raised(
    generated: Callable[[str], ModuleType], prompt: str, function: str, error: str, cause: str
) -> None:
    talk, models = generated(".api.talk.talk"), generated(".models")
    async with running(create_app()) as url, generated("").Client(url) as client:
        with pytest.raises(generated(".sse").StreamError) as raised:
            async for frame in getattr(talk, function)(client=client, body=models.Ask(prompt=prompt)):
                assert isinstance(frame, models.Piece)
    assert (raised.value.error, raised.value.cause) == (error, cause)


def test_events_are_read_from_any_pieces(generated: Callable[[str], ModuleType]) -> None:
    text = "data: one\r\n\r\n: comment\nevent: x\ndata:two\ndata: lines\n\nid: 3\nevent: error\n\n"
    text += "data: \u2028 kept\r\rdata: unfinished\n"
    expected = [("message", "one"), ("x", "two\nlines"), ("message", "\u2028 kept")]
    for size in (1, 2, 3, 1000):
        pieces = [text[start : start + size].encode() for start in range(0, len(text), size)]
        response = httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, content=pieces)
        assert list(generated(".sse").events(response)) == expected


def test_drift_of_document_or_client_is_found(small: Small) -> None:
    assert contracts.check(small) == []
    document = small.yaml.read_text()
    try:
        small.yaml.write_text(document.replace("prompt:", "question:"))
        lines = contracts.check(small)
        assert "+        prompt:" in lines and "make openapi clients" in lines[-1]
    finally:
        small.yaml.write_text(document)
    model = small.client / "models" / "answer.py"
    text = model.read_text()
    try:
        model.write_text(text + "# edited\n")
        (small.client / "stray.py").write_text("")
        lines = contracts.check(small)
        assert "-# edited" in lines and "make clients" in lines[-1]
        assert "2 files differ: models/answer.py, stray.py" in lines
    finally:
        model.write_text(text)
        (small.client / "stray.py").unlink(missing_ok=True)


def two_alike() -> FastAPI:
    app = FastAPI(generate_unique_id_function=lambda route: route.name)
    for path in ("/a", "/b"):
        app.add_api_route(path, lambda: None, name="same")
    return app


def events_alone() -> FastAPI:
    app = create_app()
    app.openapi()["paths"]["/talk"]["post"]["responses"]["200"]["content"].pop("application/json")
    return app


def nameless_frame() -> FastAPI:
    app = create_app()
    content = app.openapi()["paths"]["/talk"]["post"]["responses"]["200"]["content"]
    content["text/event-stream"] = {"schema": {"type": "object"}}
    return app


def unasked_event() -> FastAPI:
    app = create_app()
    app.openapi()["components"]["schemas"]["Ask"]["properties"].pop("stream_pieces")
    return app


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (two_alike, "used twice: same"),
        (events_alone, "need application/json beside them"),
        (nameless_frame, "x-events names the schema"),
        (unasked_event, "the request has no field stream_pieces"),
    ],
)
def test_schemas_that_the_generator_would_skip_are_refused(
    create: Callable[[], FastAPI], message: str, tmp_path: Path
) -> None:
    with pytest.raises(contracts.ContractError, match=message):
        contracts.current_document(service(tmp_path, create))
