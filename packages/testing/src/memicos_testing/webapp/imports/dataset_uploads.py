"""Requests of an upload of a dataset, and the worker that imports it."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from memicos_dataset.upload.server import Server, new_session
from memicos_webapp.accounts import service as accounts
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.database.engine import Database
from memicos_webapp.settings import Settings

from memicos_testing.servers import running

API = "/api/dataset-upload"


PART = 10_000


FILES = {"manifest.json": b"{}", "corpus/contexts.parquet": bytes(range(256)) * 100}


@asynccontextmanager
async def served(app: FastAPI, key: str | None = None) -> AsyncIterator[Server]:
    """The application behind a real server, as `memicos upload` reaches it."""
    async with running(app, lifespan="off") as url, new_session(url, key) as session:
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


async def complete(client: httpx.AsyncClient, upload_id: str) -> httpx.Response:
    return await client.post(f"{API}/complete", json={"uploadId": upload_id})


async def send(client: httpx.AsyncClient, files: dict[str, bytes]) -> str:
    state = await begin(client, files)
    for number, content in enumerate(files.values()):
        for part in range(state["files"][number]["parts"]):
            response = await put(client, state["uploadId"], number, part, content[part * PART : (part + 1) * PART])
            assert response.status_code == 200
    return state["uploadId"]


async def new_key(settings: Settings, *scopes: Scope, account: int = 1, days: float | None = None) -> str:
    database = Database(settings.database_url or "", settings)
    try:
        return (await accounts.create_api_key(database, settings, account, "a script", scopes, days))[1]
    finally:
        await database.close()


async def put_with(client: httpx.AsyncClient, upload_id: str, headers: dict[str, str]) -> httpx.Response:
    hashed = {"X-Part-SHA256": hashlib.sha256(b"{}").hexdigest()}
    return await client.put(f"{API}/part/{upload_id}/0/0", content=b"{}", headers=headers | hashed)
