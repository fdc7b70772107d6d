"""Parts of an upload, their checks, and the import of what is complete."""

import asyncio
import hashlib
import shutil
from collections.abc import Callable
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
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.imports.dataset_imports import JOBS, until
from memicos_testing.webapp.imports.dataset_uploads import (
    API,
    FILES,
    PART,
    announced,
    begin,
    complete,
    put,
    send,
    served,
)
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.database.engine import Database
from memicos_webapp.dataset_uploads import background
from memicos_webapp.datasets.service import IMPORT
from memicos_webapp.settings import Settings
from memicos_webapp.stored_sources import delete
from memicos_webapp.stored_sources.selection import select

CONTENT = """SELECT source.name, feature.index, feature.max_activation, feature.values FROM feature
             JOIN source ON source.current_load_id = load_id ORDER BY source.name, feature.index"""


async def test_an_uploaded_dataset_is_imported_like_a_local_one(
    app: FastAPI, fresh_url: str, small_dataset: Path, loaded_url: str, settings: Settings
) -> None:
    sent: list[int] = []
    async with served(app) as server:
        upload_id, job_id = await upload(
            Folder.of(small_dataset), server, UploadOptions(), lambda p: sent.append(p.sent)
        )
        async with worker(fresh_url, IMPORT):
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
    assert response.status_code == 409 and "Parts of 1 file are missing: manifest.json" in response.json()["error"]
    assert (await put(client, upload_id, 0, 0, b"{}")).status_code == 200
    response = await complete(client, upload_id)
    assert response.status_code == 409 and "manifest.json has another sha256 than announced" in response.json()["error"]
    state = (await client.post(f"{API}/get", json={"uploadId": upload_id})).json()
    assert [file["received"] for file in state["files"]] == [[], [0, 1, 2]] and state["job"] is None
    assert await fetch(fresh_url, "SELECT id FROM job") == []


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


async def test_only_a_completion_may_take_long_to_answer(small_dataset: Path) -> None:
    """The server of the test answers after 0.6 s."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.6)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as slow,
        new_session("http://127.0.0.1", None) as session,
    ):
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
        async with worker(fresh_url, IMPORT):
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
        async with worker(fresh_url, IMPORT):

            async def failed() -> bool:
                return (await client.post(f"{API}/get", json={"uploadId": upload_id})).json()["job"][
                    "state"
                ] == "failed"

            await until(failed)
        error = (await client.post(f"{API}/get", json={"uploadId": upload_id})).json()["job"]["error"]
        assert "manifest.json" in error
        assert (await begin(client, listed))["uploadId"] != upload_id


async def test_the_client_says_why_it_cannot_go_on(app: FastAPI, small_dataset: Path, settings: Settings) -> None:
    async with new_session("http://127.0.0.1", None) as session:
        with pytest.raises(UploadError, match="goes on where it was"):
            await upload(
                Folder.of(small_dataset), Server("http://127.0.0.1:9", session, 0), UploadOptions(), lambda p: None
            )
    async with served(app) as server:
        with pytest.raises(RefusedError, match="layers"):
            await upload(
                Folder.of(small_dataset), server, UploadOptions(request={"metadata": {"layers": 0}}), lambda p: None
            )
