"""Disk and limits of uploads: full or forbidden folders, threads, deletion of what nobody continues."""

import asyncio
import errno
import hashlib
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from memicos_testing.servers import Start
from memicos_testing.webapp.database import fetch
from memicos_testing.webapp.imports.dataset_uploads import (
    API,
    FILES,
    PART,
    announced,
    begin,
    complete,
    put,
    send,
)
from memicos_webapp.dataset_uploads import background, repository, storage
from memicos_webapp.dataset_uploads.rows import FileRow
from memicos_webapp.dataset_uploads.service import Uploads
from memicos_webapp.settings import Settings
from sqlalchemy.ext.asyncio import AsyncSession


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
