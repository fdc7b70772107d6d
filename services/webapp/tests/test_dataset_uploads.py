"""Uploads of datasets: parts, their checks, one import, limits, and who may upload."""

import asyncio
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import Manifest
from memicos_dataset.upload.client import UploadOptions, follow, upload
from memicos_dataset.upload.errors import RefusedError, UploadError
from memicos_dataset.upload.files import dataset_files
from memicos_dataset.upload.server import ANSWER_SECONDS, COMPLETION_SECONDS, Server, new_session
from memicos_testing.servers import Start, running
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.dataset_imports import JOBS, until
from memicos_webapp.accounts import service as accounts
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.app import create_app
from memicos_webapp.database.engine import Database
from memicos_webapp.dataset_uploads import background, repository, storage
from memicos_webapp.dataset_uploads.rows import FileRow
from memicos_webapp.dataset_uploads.service import Uploads
from memicos_webapp.datasets.service import IMPORT
from memicos_webapp.jobs.worker import work
from memicos_webapp.settings import Settings
from memicos_webapp.stored_sources import delete
from memicos_webapp.stored_sources.selection import select
from sqlalchemy.ext.asyncio import AsyncSession

API = "/api/dataset-upload"
CONTENT = """SELECT source.name, feature.index, feature.max_activation, feature.values FROM feature
             JOIN source ON source.current_load_id = load_id ORDER BY source.name, feature.index"""
PART = 10_000


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    working = asyncio.create_task(work(url, stop, [IMPORT], 5))
    try:
        yield
    finally:
        stop.set()
        await working


@pytest.fixture
def settings(fresh_url: str, tmp_path: Path) -> Settings:
    return make_settings(
        fresh_url, data=tmp_path / "data", upload_part_bytes=PART, upload_free_bytes=0, embed_every_seconds=0,
        cleanup_every_seconds=0, inference_poll_seconds=0, uploads_per_account=2, upload_files=50,
    )  # fmt: skip


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@asynccontextmanager
async def served(app: FastAPI, key: str | None = None) -> AsyncIterator[Server]:
    """The application behind a real server, as `memicos upload` reaches it."""
    async with running(app, lifespan="off") as url, new_session(key) as session:
        yield Server(url, session, 5)


def announced(files: dict[str, bytes], **changes: object) -> dict[str, Any]:
    listed = [
        {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in files.items()
    ]
    return {"name": "parent/mine", "files": listed, **changes}


async def begin(client: httpx.AsyncClient, files: dict[str, bytes], **changes: object) -> dict[str, Any]:
    response = await client.post(f"{API}/new", json=announced(files, **changes))
    assert response.status_code == 200, response.text
    return response.json()


async def put(
    client: httpx.AsyncClient, upload_id: str, file: int, part: int, content: bytes, sha256: str | None = None
) -> httpx.Response:
    headers = {
        "X-Part-SHA256": sha256 or hashlib.sha256(content).hexdigest(),
        "Content-Type": "application/octet-stream",
    }
    return await client.put(f"{API}/part/{upload_id}/{file}/{part}", content=content, headers=headers)


FILES = {"manifest.json": b"{}", "corpus/contexts.parquet": bytes(range(256)) * 100}


async def complete(client: httpx.AsyncClient, upload_id: str) -> httpx.Response:
    return await client.post(f"{API}/complete", json={"uploadId": upload_id})


async def test_an_uploaded_dataset_is_imported_like_a_local_one(
    app: FastAPI, fresh_url: str, small_dataset: Path, loaded_url: str, settings: Settings
) -> None:
    sent: list[int] = []
    async with served(app) as server:
        upload_id, job_id = await upload(
            Folder.of(small_dataset), server, UploadOptions(), lambda p: sent.append(p.sent)
        )
        async with worker(fresh_url):
            job = await follow(server, {"uploadId": upload_id}, lambda job: None)
        assert (job["state"], job["id"], job["rowsDone"]) == ("done", job_id, job["rows"])
        assert await fetch(fresh_url, CONTENT) == await fetch(loaded_url, CONTENT)
        files = dataset_files(Folder.of(small_dataset))
        assert sent[0] == 0 and sent[-1] == sum(file.bytes for file in files) and len(sent) > len(files)
        # the same again is the same upload
        assert await upload(Folder.of(small_dataset), server, UploadOptions(), lambda p: None) == (upload_id, job_id)
        folder = settings.uploads / upload_id / "data" / small_dataset.parent.name / small_dataset.name
        for file in files:
            assert hashlib.sha256((folder / file.path).read_bytes()).hexdigest() == file.sha256
        # what is no longer shown is imported again
        async with connected(fresh_url) as connection:
            await delete.delete(connection, await select(connection, "small/res"), 0)
        again, second_job = await upload(Folder.of(small_dataset), server, UploadOptions(), lambda p: None)
        assert again != upload_id and second_job != job_id
        database: Database = app.state.database
        assert await background.clean(database, settings) == [upload_id]
        assert [folder.name for folder in settings.uploads.iterdir()] == [again]
    assert len(await fetch(fresh_url, JOBS)) == 2


async def test_parts_that_are_there_are_not_sent_again(client: httpx.AsyncClient) -> None:
    state = await begin(client, FILES)
    assert [file["parts"] for file in state["files"]] == [1, 3] and state["partBytes"] == PART
    content = FILES["corpus/contexts.parquet"]
    assert (await put(client, state["uploadId"], 1, 2, content[2 * PART :])).status_code == 200
    again = await begin(client, FILES)
    assert again["uploadId"] == state["uploadId"] and [file["received"] for file in again["files"]] == [[], [2]]
    asked = (await client.post(f"{API}/get", json={"uploadId": state["uploadId"]})).json()
    assert asked == again and asked["state"] == "open" and asked["job"] is None
    # another file: another upload
    assert (await begin(client, {**FILES, "manifest.json": b"[]"}))["uploadId"] != state["uploadId"]


async def test_a_part_with_another_hash_or_size_is_refused(client: httpx.AsyncClient, settings: Settings) -> None:
    upload_id = (await begin(client, FILES))["uploadId"]
    content = FILES["corpus/contexts.parquet"][:PART]
    flipped = bytes([content[0] ^ 1]) + content[1:]
    response = await put(client, upload_id, 1, 0, flipped, hashlib.sha256(content).hexdigest())
    assert response.status_code == 400 and "changed on its way" in response.json()["error"]
    assert (await put(client, upload_id, 1, 0, content[:-1])).status_code == 400
    assert (await put(client, upload_id, 1, 2, content)).status_code == 413
    assert (await put(client, upload_id, 1, 0, content + b"x")).status_code == 413
    for file, part in ((1, 3), (2, 0), (2**31 - 1, 0)):
        assert (await put(client, upload_id, file, part, b"x")).status_code == 404
    assert (await client.put(f"{API}/part/{upload_id}/1/0", content=content)).status_code == 422
    state = (await client.post(f"{API}/get", json={"uploadId": upload_id})).json()
    assert [file["received"] for file in state["files"]] == [[], []]
    assert list((settings.uploads / upload_id / "incoming").iterdir()) == []


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json", None])
async def test_a_part_is_bytes_whatever_its_content_type(client: httpx.AsyncClient, content_type: str | None) -> None:
    """curl --data-binary calls them a form, which was parsed: the response was status 500."""
    content = b'{"token": "\\u0000", "a=b&c'
    upload_id = (await begin(client, {"manifest.json": content}))["uploadId"]
    headers = {"X-Part-SHA256": hashlib.sha256(content).hexdigest()}
    if content_type:
        headers["Content-Type"] = content_type
    response = await client.put(f"{API}/part/{upload_id}/0/0", content=content, headers=headers)
    assert response.status_code == 200, response.text


async def test_missing_parts_and_a_file_that_differs_are_named(client: httpx.AsyncClient, fresh_url: str) -> None:
    files = announced(FILES)
    files["files"][0]["sha256"] = "0" * 64
    upload_id = (await client.post(f"{API}/new", json=files)).json()["uploadId"]
    content = FILES["corpus/contexts.parquet"]
    for part in range(3):
        assert (await put(client, upload_id, 1, part, content[part * PART : (part + 1) * PART])).status_code == 200
    response = await complete(client, upload_id)
    assert response.status_code == 409 and "1 files are missing: manifest.json" in response.json()["error"]
    assert (await put(client, upload_id, 0, 0, b"{}")).status_code == 200
    response = await complete(client, upload_id)
    assert response.status_code == 409 and "manifest.json has another sha256 than announced" in response.json()["error"]
    state = (await client.post(f"{API}/get", json={"uploadId": upload_id})).json()
    assert [file["received"] for file in state["files"]] == [[], [0, 1, 2]] and state["job"] is None
    assert await fetch(fresh_url, "SELECT id FROM job") == []


async def test_parts_that_are_lost_on_the_disk_are_sent_again(client: httpx.AsyncClient, settings: Settings) -> None:
    """The upload said that it has them, and could not be completed."""
    files = {**FILES, "more.jsonl": b"{}\n"}
    upload_id = await send(client, files)
    shutil.rmtree(settings.uploads)
    response = await complete(client, upload_id)
    assert response.status_code == 409 and "Parts of 3 files" in response.json()["error"]
    assert "no longer on the server's disk" in response.json()["error"]
    state = await begin(client, files)
    assert state["uploadId"] == upload_id and [file["received"] for file in state["files"]] == [[], [], []]
    assert await send(client, files) == upload_id
    assert (await complete(client, upload_id)).status_code == 200


async def send(client: httpx.AsyncClient, files: dict[str, bytes]) -> str:
    state = await begin(client, files)
    for number, content in enumerate(files.values()):
        for part in range(state["files"][number]["parts"]):
            response = await put(client, state["uploadId"], number, part, content[part * PART : (part + 1) * PART])
            assert response.status_code == 200
    return state["uploadId"]


async def test_completing_many_times_queues_one_import(client: httpx.AsyncClient, fresh_url: str) -> None:
    upload_id = await send(client, {**FILES, "empty.jsonl": b""})
    answers = await asyncio.gather(*(complete(client, upload_id) for _ in range(8)))
    done = {answer.json()["jobId"] for answer in answers if answer.status_code == 200}
    assert len(done) == 1 and {answer.status_code for answer in answers} <= {200, 409}
    assert (await complete(client, upload_id)).json()["jobId"] in done
    assert (
        len(await fetch(fresh_url, "SELECT id FROM job")) == len(await fetch(fresh_url, "SELECT id FROM pgqueuer")) == 1
    )
    response = await put(client, upload_id, 0, 0, b"{}")
    assert response.status_code == 409 and "is complete" in response.json()["error"]
    response = await client.post(f"{API}/delete", json={"uploadId": upload_id})
    assert response.status_code == 409 and "memicos jobs cancel" in response.json()["error"]


async def test_a_server_that_ends_while_it_completes_goes_on(
    client: httpx.AsyncClient, fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of `complete` may be the last one of a process: the next request completes the upload once."""
    upload_id = await send(client, FILES)
    renames = 0

    def fail(path: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        assert (await complete(client, upload_id)).status_code == 500
    assert renames == 1
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("killed")))
        assert (await complete(client, upload_id)).status_code == 500
    assert await fetch(fresh_url, "SELECT id FROM job") == []
    assert (await complete(client, upload_id)).status_code == 200
    assert len(await fetch(fresh_url, "SELECT id FROM job")) == 1


def test_a_stop_ends_the_assembly_of_files_and_a_later_call_goes_on(tmp_path: Path) -> None:
    file = FileRow(0, "a", 2, hashlib.sha256(b"ab").hexdigest())
    upload = storage.UploadStorage(tmp_path, "parent/mine")
    upload.part(file, 0).parent.mkdir()
    upload.part(file, 0).write_bytes(b"ab")
    stop = threading.Event()
    stop.set()
    with pytest.raises(storage.StoppedError):
        upload.assemble([file], PART, stop)
    assert not (upload.dataset / "a").exists()
    upload.assemble([file], PART, threading.Event())
    assert (upload.dataset / "a").read_bytes() == b"ab"


async def test_a_cancelled_request_stops_its_thread(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shutdown cancels requests, and waits for their threads."""
    begun, ended = threading.Event(), threading.Event()

    def assemble(_: storage.UploadStorage, files: object, part_bytes: int, stop: threading.Event) -> None:
        begun.set()
        if stop.wait(60):
            ended.set()

    monkeypatch.setattr(storage.UploadStorage, "assemble", assemble)
    request = asyncio.create_task(complete(client, await send(client, FILES)))
    assert await asyncio.to_thread(begun.wait, 30)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert await asyncio.to_thread(ended.wait, 30)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "a/./b",
        ".hidden",
        "a\\b",
        "",
        "a/",
        "C:x",
        "a\u202eb",
        "x" * 256,
        "x/" * 250 + "xx",
        "a\n",
    ],
)
async def test_paths_that_leave_the_folder_are_refused(
    client: httpx.AsyncClient, path: str, settings: Settings
) -> None:
    body = announced({path: b"x"})
    assert (await client.post(f"{API}/new", json=body)).status_code in (400, 422)
    body = {**announced(FILES), "name": path or "a/b/c"}
    assert (await client.post(f"{API}/new", json=body)).status_code in (400, 422)
    assert not settings.uploads.exists()


@pytest.mark.parametrize("paths", [("a", "A"), ("a", "a/b"), ("a/b/c", "a/b")])
async def test_paths_that_exclude_one_another_are_refused(client: httpx.AsyncClient, paths: tuple[str, ...]) -> None:
    response = await client.post(f"{API}/new", json=announced(dict.fromkeys(paths, b"x")))
    assert response.status_code == 400 and "file" in response.json()["error"]


async def test_limits(client: httpx.AsyncClient, app: FastAPI, settings: Settings) -> None:
    response = await client.post(f"{API}/new", json=announced({f"f{n}": b"x" for n in range(51)}))
    assert response.status_code == 413 and "MEMICOS_UPLOAD_FILES" in response.json()["error"]
    big = announced(FILES)
    big["files"][0]["bytes"] = 10**12
    response = await client.post(f"{API}/new", json=big)
    assert response.status_code == 413 and "MEMICOS_UPLOAD_BYTES" in response.json()["error"]
    # at the same time, as a count without a lock would let more through
    answers = await asyncio.gather(
        *(client.post(f"{API}/new", json=announced({"manifest.json": bytes([n])})) for n in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409, 409]
    assert "MEMICOS_UPLOADS_PER_ACCOUNT" in next(a.json()["error"] for a in answers if a.status_code == 409)
    first = next(answer.json()["uploadId"] for answer in answers if answer.status_code == 200)
    assert (await client.post(f"{API}/delete", json={"uploadId": first})).status_code == 200
    assert (await client.post(f"{API}/get", json={"uploadId": first})).status_code == 404
    assert (await client.post(f"{API}/new", json=announced(FILES))).status_code == 200


async def test_a_full_disk_is_status_507(started: Start, fresh_url: str, tmp_path: Path) -> None:
    async with started(fresh_url, data=tmp_path, upload_free_bytes=10**18) as client:
        response = await client.post(f"{API}/new", json=announced(FILES))
    assert response.status_code == 507 and "MEMICOS_UPLOAD_FREE_BYTES" in response.json()["error"]


async def test_a_disk_that_becomes_full_is_status_507(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = (await begin(client, FILES))["uploadId"]

    def write(output: Any, digest: Any, block: bytes) -> None:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(block)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_write", write)
        response = await put(client, upload_id, 0, 0, b"{}")
    assert response.status_code == 507 and "disk" in response.json()["error"]
    assert (await put(client, upload_id, 0, 0, b"{}")).status_code == 200


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
async def test_a_folder_that_cannot_be_written_is_status_503_with_the_setting(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    upload_id = (await begin(client, FILES))["uploadId"]

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        responses = [await put(client, upload_id, 0, 0, b"{}")]
        responses.append(await client.post(f"{API}/new", json=announced({"other": b"x"})))
    for file, content in enumerate(FILES.values()):
        for part in range(0, len(content), PART):
            assert (await put(client, upload_id, file, part // PART, content[part : part + PART])).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(storage, "FileLock", refuse)
        responses.append(await complete(client, upload_id))
    for response in responses:
        assert response.status_code == 503
        assert os.strerror(number) in response.text and "MEMICOS_UPLOAD_FOLDER" in response.text
    assert (await complete(client, upload_id)).status_code == 200


async def test_a_folder_that_is_a_file_is_status_503(started: Start, fresh_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with started(fresh_url, upload_folder=tmp_path / "file") as client:
        response = await client.post(f"{API}/new", json=announced(FILES))
    assert response.status_code == 503 and "MEMICOS_UPLOAD_FOLDER" in response.json()["error"]


async def test_completions_leave_threads_to_others(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They took minutes each in the threads that embedding, ranking and other routes use."""
    uploads: Uploads = app.state.uploads
    begun, end = threading.Semaphore(0), threading.Event()

    def assemble(self: storage.UploadStorage, files: object, part_bytes: int, stop: threading.Event) -> None:
        begun.release()
        end.wait(60)

    upload_id = await send(client, FILES)
    monkeypatch.setattr(storage.UploadStorage, "assemble", assemble)
    requests = [asyncio.create_task(complete(client, upload_id)) for _ in range(64)]
    try:
        for _ in range(uploads.settings.upload_completions_at_once):
            assert await asyncio.wait_for(asyncio.to_thread(begun.acquire, timeout=10), 12)
        # more than the default pool has; parts are still received
        await asyncio.wait_for(asyncio.gather(*(asyncio.to_thread(int) for _ in range(64))), 5)
        other = (await begin(client, {"other": b"x"}))["uploadId"]
        assert (await asyncio.wait_for(put(client, other, 0, 0, b"x"), 5)).status_code == 200
        assert not begun.acquire(blocking=False)
    finally:
        end.set()
    assert {response.status_code for response in await asyncio.gather(*requests)} == {200}


async def test_only_a_completion_may_take_long_to_answer(small_dataset: Path) -> None:
    """The server of the test answers after 0.6 s."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.6)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as slow, new_session(None) as session:
        server = Server(f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}", session, 0)
        with pytest.raises(UploadError, match="did not answer"):
            await server.post("/", {}, 0.1)
        assert await server.post("/", {}, 5) == {}
        waits: list[float] = []

        async def post(path: str, body: object, answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
            waits.append(answer_seconds)
            if path == f"{API}/complete":
                return {"jobId": 1}
            received = [{"received": [0], "parts": 1} for _ in dataset_files(Folder.of(small_dataset))]
            return {"uploadId": "a", "job": None, "partBytes": 10**9, "files": received}

        server.post = post  # pyright: ignore[reportAttributeAccessIssue]
        assert await upload(Folder.of(small_dataset), server, UploadOptions(), lambda p: None) == ("a", 1)
        assert waits == [ANSWER_SECONDS, COMPLETION_SECONDS] and ANSWER_SECONDS < COMPLETION_SECONDS


async def test_two_clients_at_once_send_one_dataset(
    app: FastAPI, fresh_url: str, small_dataset: Path, loaded_url: str
) -> None:
    async with served(app) as first, served(app) as second:
        results = await asyncio.gather(
            *(upload(Folder.of(small_dataset), server, UploadOptions(), lambda p: None) for server in (first, second))
        )
        assert results[0] == results[1]
        async with worker(fresh_url):
            assert (await follow(first, {"uploadId": results[0][0]}, lambda job: None))["state"] == "done"
    assert await fetch(fresh_url, CONTENT) == await fetch(loaded_url, CONTENT)
    assert len(await fetch(fresh_url, "SELECT id FROM job")) == 1


async def test_a_dataset_that_cannot_be_imported_says_why_and_can_be_sent_again(
    app: FastAPI, fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    folder = tmp_path / "broken"
    write_dataset(folder)
    (folder / "manifest.json").write_text("{}")
    async with served(app) as server:
        with pytest.raises(Exception, match=r"manifest\.json"):
            await upload(Folder.of(folder), server, UploadOptions(), lambda p: None)
    listed = {"manifest.json": b"{}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        upload_id = await send(client, listed)
        assert (await complete(client, upload_id)).status_code == 200
        async with worker(fresh_url):

            async def failed() -> bool:
                return (await client.post(f"{API}/get", json={"uploadId": upload_id})).json()["job"][
                    "state"
                ] == "failed"

            await until(failed)
        error = (await client.post(f"{API}/get", json={"uploadId": upload_id})).json()["job"]["error"]
        assert "manifest.json" in error
        assert (await begin(client, listed))["uploadId"] != upload_id


async def new_key(settings: Settings, *scopes: Scope, account: int = 1, days: float | None = None) -> str:
    database = Database(settings.database_url or "", settings)
    try:
        return (await accounts.create_api_key(database, settings, account, "a script", scopes, days))[1]
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (("read",), 403),
        (("write",), 403),
        (("read", "write"), 403),
        (("datasets:write",), 200),
        (("admin",), 200),
        ((), 403),
    ],
)
async def test_scopes(
    started: Start, fresh_url: str, settings: Settings, scopes: tuple[Scope, ...], status: int
) -> None:
    headers = {"X-Api-Key": await new_key(settings, *scopes)}
    async with started(fresh_url, host="0.0.0.0", data=settings.data, upload_free_bytes=0) as client:
        response = await client.post(f"{API}/new", json=announced(FILES), headers=headers)
        assert response.status_code == status
        if status == 403:
            assert "--scope datasets:write" in response.json()["error"]
            response = await put_with(client, "0" * 32, headers)
            assert response.status_code == 403
            for route in ("get", "complete", "delete"):
                assert (
                    await client.post(f"{API}/{route}", json={"uploadId": "0" * 32}, headers=headers)
                ).status_code == 403


async def put_with(client: httpx.AsyncClient, upload_id: str, headers: dict[str, str]) -> httpx.Response:
    hashed = {"X-Part-SHA256": hashlib.sha256(b"{}").hexdigest()}
    return await client.put(f"{API}/part/{upload_id}/0/0", content=b"{}", headers=headers | hashed)


async def test_a_wrong_and_an_expired_key(started: Start, fresh_url: str, settings: Settings) -> None:
    expired = await new_key(settings, "datasets:write", days=1)
    await fetch(fresh_url, "UPDATE api_key SET expires_at = now() - interval '1 second'")
    async with started(fresh_url, host="0.0.0.0", data=settings.data) as client:
        for key in (expired, "memicos_unknown", "sk-of-another-system"):
            response = await client.post(f"{API}/new", json=announced(FILES), headers={"X-Api-Key": key})
            assert response.status_code == 401 and "memicos key new" in response.json()["error"]
        assert (await client.post(f"{API}/new", json=announced(FILES))).status_code == 403


async def test_only_the_account_that_sends_an_upload_sees_it(
    started: Start, fresh_url: str, settings: Settings
) -> None:
    await fetch(fresh_url, "INSERT INTO account (name) VALUES ('second')")
    mine = {"X-Api-Key": await new_key(settings, "datasets:write")}
    others = {"X-Api-Key": await new_key(settings, "datasets:write", account=2)}
    async with started(fresh_url, host="0.0.0.0", data=settings.data, upload_free_bytes=0) as client:
        upload_id = (await client.post(f"{API}/new", json=announced(FILES), headers=mine)).json()["uploadId"]
        for route in ("get", "complete", "delete"):
            response = await client.post(f"{API}/{route}", json={"uploadId": upload_id}, headers=others)
            assert response.status_code == 404
        assert (await put_with(client, upload_id, others)).status_code == 404
        # the same files are an upload of their own
        assert (await client.post(f"{API}/new", json=announced(FILES), headers=others)).json()["uploadId"] != upload_id
        assert (await put_with(client, upload_id, mine)).status_code == 200


async def test_a_read_only_server_takes_no_upload(started: Start, fresh_url: str, settings: Settings) -> None:
    headers = {"X-Api-Key": await new_key(settings, "datasets:write")}
    for host in ("127.0.0.1", "0.0.0.0"):
        async with started(fresh_url, read_only=True, host=host, data=settings.data) as client:
            response = await client.post(f"{API}/new", json=announced(FILES), headers=headers)
            assert response.status_code == 403 and "MEMICOS_READ_ONLY" in response.json()["error"]
            assert (await put_with(client, "0" * 32, headers)).status_code == 403
    assert not settings.uploads.exists()


async def test_uploads_that_nobody_continues_are_deleted(
    client: httpx.AsyncClient, app: FastAPI, fresh_url: str, settings: Settings
) -> None:
    upload_id = await send(client, FILES)
    kept = (await begin(client, {"manifest.json": b"[]"}))["uploadId"]
    (settings.uploads / ("f" * 32)).mkdir()
    uploads: Uploads = app.state.uploads
    assert await background.clean(uploads.database, settings) == []
    assert [folder.name for folder in settings.uploads.iterdir()] == [upload_id]
    await fetch(fresh_url, "UPDATE dataset_upload SET updated_at = now() - interval '8 days' WHERE id = $1", upload_id)
    assert await background.clean(uploads.database, settings) == [upload_id]
    assert list(settings.uploads.iterdir()) == []
    assert (await put(client, upload_id, 0, 0, b"{}")).status_code == 404
    assert (await client.post(f"{API}/get", json={"uploadId": kept})).status_code == 200


async def test_the_clean_up_deletes_folders_of_uploads_only(
    client: httpx.AsyncClient, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It deleted folders of others in MEMICOS_UPLOAD_FOLDER, and that of an upload which began meanwhile."""
    uploads: Uploads = app.state.uploads
    (settings.uploads / "of-others").mkdir(parents=True)
    (settings.uploads / ("f" * 32)).mkdir()
    known = repository.known
    begun: list[str] = []

    async def known_before_another_begins(session: AsyncSession) -> set[str]:
        ids = await known(session)
        begun.append(await send(client, FILES))
        return ids

    monkeypatch.setattr(repository, "known", known_before_another_begins)
    assert await background.clean(uploads.database, settings) == []
    assert {folder.name for folder in settings.uploads.iterdir()} == {"of-others", *begun}
    assert (await complete(client, begun[0])).status_code == 200


async def test_the_client_says_why_it_cannot_go_on(app: FastAPI, small_dataset: Path, settings: Settings) -> None:
    async with new_session(None) as session:
        with pytest.raises(UploadError, match="goes on where it was"):
            await upload(
                Folder.of(small_dataset), Server("http://127.0.0.1:9", session, 0), UploadOptions(), lambda p: None
            )
    async with served(app) as server:
        with pytest.raises(RefusedError, match="layers"):
            await upload(
                Folder.of(small_dataset), server, UploadOptions(request={"metadata": {"layers": 0}}), lambda p: None
            )
