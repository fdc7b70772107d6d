"""`memicos upload` against servers that are none of memicos, or are hostile: one line, no key, bounded memory, time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from memicos_dataset.folder import Folder
from memicos_dataset.upload import server as upload_server
from memicos_dataset.upload.client import UploadOptions, follow, upload
from memicos_dataset.upload.errors import UploadError
from memicos_dataset.upload.files import dataset_files
from memicos_dataset.upload.server import Server, new_session
from memicos_testing.webapp.small_dataset import write_dataset

KEY = "memicos_0123456789abcdef"
UPLOAD_ID = "0" * 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "data"
    write_dataset(folder, layers=(1,))
    return folder


@asynccontextmanager
async def answering(answer: bytes, pause: float = 0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends these bytes, with a pause between two; its address, and the heads of its requests."""
    requests: list[bytes] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            for part in [answer[i : i + 1] for i in range(len(answer))] if pause else [answer]:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        except (ConnectionError, asyncio.IncompleteReadError):
            # the client may end the connection before it has read all
            return
        finally:
            writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", requests


def response(body: bytes | Any, status: int = 200, headers: str = "") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode("latin-1") + content


async def send(dataset: Path, url: str) -> str:
    """The message with which an upload fails."""
    async with new_session(url, KEY) as session:
        with pytest.raises(UploadError) as failure:
            await upload(Folder.of(dataset), Server(url, session, 0), UploadOptions(), lambda p: None)
    message = str(failure.value)
    assert message.isprintable() and KEY not in message
    return message


def state(**changes: Any) -> Callable[[Path], dict[str, Any]]:
    def make(dataset: Path) -> dict[str, Any]:
        files = [{"parts": 1, "received": []} for _ in dataset_files(Folder.of(dataset))]
        return {"uploadId": UPLOAD_ID, "partBytes": 8_000_000, "job": None, "files": files, **changes}

    return make


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" * 200_000 + b"]" * 200_000, "is no JSON object"),
        (b"[1]", "is no JSON object"),
        (b"<html>", "is no JSON object"),
        ({}, "has no upload id"),
        (state(uploadId="../../other?x="), "has no upload id"),
        (state(uploadId=5), "has no upload id"),
        (state(partBytes=0), "has no size of parts"),
        (state(partBytes=10**12), "has no size of parts"),
        (state(partBytes="8"), "has no size of parts"),
        (state(files=[]), "does not list the announced files"),
        (state(files=5), "does not list the announced files"),
        (state(job={"id": "7"}), "has no import job"),
        (state(job=[]), "has no import job"),
    ],
)
async def test_a_server_that_is_none_of_memicos_is_named(dataset: Path, body: Any, reason: str) -> None:
    async with answering(response(body(dataset) if callable(body) else body)) as (url, _):
        assert f"{url} is no server of memicos: its answer to /api/dataset-upload/new {reason}" in await send(
            dataset, url
        )


@pytest.mark.parametrize("received", [[None], [{}], [{"received": 5}], [{"received": ["0"]}]])
async def test_wrong_lists_of_parts_are_named(dataset: Path, received: list[Any]) -> None:
    files = received * len(dataset_files(Folder.of(dataset)))
    async with answering(response(state(files=files)(dataset))) as (url, _):
        assert "has no lists of parts" in await send(dataset, url)


async def test_a_wrong_state_of_an_import_is_named() -> None:
    async with answering(response({"job": {"id": 1}})) as (url, _), new_session(url, KEY) as session:
        with pytest.raises(UploadError, match="has no import job"):
            await follow(Server(url, session, 0), {"uploadId": UPLOAD_ID}, lambda job: None)


async def test_a_large_answer_is_not_read_to_its_end(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_server, "ANSWER_BYTES", 100_000)
    async with answering(response(b" " * 100_001)) as (url, _):
        assert "has more than 100,000 bytes" in await send(dataset, url)
    # compressed answers are not requested, and not decompressed
    async with answering(response(b"\x1f\x8b\x08", headers="Content-Encoding: gzip\r\n")) as (url, requests):
        assert "is no JSON object" in await send(dataset, url)
        assert b"accept-encoding: identity" in requests[0].lower()


async def test_an_answer_of_which_bytes_drip_in_is_none(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_server, "ANSWER_SECONDS", 0.5)
    started = time.monotonic()
    async with answering(response(b" " * 1000), pause=0.02) as (url, _):
        assert "did not answer" in await send(dataset, url)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("message", "part"),
    [
        (f"the key {KEY} is unknown", "answered 403: the key [the key] is unknown"),
        ("\x1b[31mred\x1b]0;title\x07\nline two\u202e", "answered 403: ?[31mred?]0;title? line two?"),
        ("half \ud800", "answered 403: half ?"),
        ("x" * 10_000, "x" * 1000 + "…"),
    ],
)
async def test_words_of_the_server_are_printed_safely(dataset: Path, message: str, part: str) -> None:
    async with answering(response({"error": message}, 403)) as (url, _):
        assert part in await send(dataset, url)


async def test_the_key_goes_to_no_other_server(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(response({})) as (other, others):
        async with answering(response(b"", 307, f"Location: {other}/\x1b[31m\r\n")) as (url, requests):
            assert f"{url} redirects to {other}/?[31m: give that address to --to" in await send(dataset, url)
            assert KEY.encode() in requests[0]
        # a proxy would get it without encryption
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other)
        monkeypatch.delenv("no_proxy", raising=False)
        async with answering(response({"error": "no"}, 403)) as (url, requests):
            assert "answered 403: no" in await send(dataset, url)
            assert len(requests) == 1
        assert others == []


async def test_a_server_without_tls_at_an_https_address(dataset: Path) -> None:
    async with await asyncio.start_server(lambda _, writer: writer.write(b"no TLS\n"), "127.0.0.1", 0) as listener:
        url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        assert url in await send(dataset, url)


async def test_an_address_with_a_path_is_named(dataset: Path) -> None:
    page = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
    async with answering(page) as (url, _):
        assert "is no server of memicos: its answer to /api/dataset-upload/new has status 404" in await send(
            dataset, url
        )
