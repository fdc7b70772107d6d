"""Worker, webapp and PostgreSQL are killed with SIGKILL at random moments of imports: each import ends complete and
verified, with the rows of an undisturbed one, and readers get no error but 503 meanwhile."""

import asyncio
import itertools
import random
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_dataset.manifest import Manifest
from memicos_dataset.read import read_manifest
from memicos_testing.demo_program import ROOT
from memicos_testing.webapp.database import fetch
from memicos_testing.webapp.imports.import_server import PARTS, ImportServer, stored_rows
from memicos_testing.webapp.small_dataset import write_dataset

DEMO = ROOT / "demo" / "dataset"
ENDED = ("done", "failed", "cancelled")
IMPORT_SECONDS = 600
"""Longest time of an import with a kill in it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("import-kills")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ImportServer]:
    with ImportServer.running(folder / "data", folder) as server:
        yield server


def versions(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Each step writes a manifest with the same rows that replaces the one before."""
    for number in itertools.count(1):
        manifest.source_set.description = f"version {number}"
        manifest.write(folder)
        yield


async def job_ends(server: ImportServer, client: httpx.AsyncClient, job: int) -> dict[str, Any]:
    end, body = time.monotonic() + IMPORT_SECONDS, None
    while time.monotonic() < end:
        body = await server.get(client, f"/api/admin/jobs/{job}")
        if body and body["job"]["state"] in ENDED:
            return body["job"]
        await asyncio.sleep(0.05)
    raise AssertionError(f"job {job} did not end: {body}")


@asynccontextmanager
async def read_all_the_time(client: httpx.AsyncClient, address: str) -> AsyncIterator[set[int]]:
    """Read a feature until the context ends; yields the statuses. No answer counts as none."""
    statuses: set[int] = set()

    async def read() -> None:
        while True:
            with suppress(httpx.TransportError):
                statuses.add((await client.get(address)).status_code)
            await asyncio.sleep(0.05)

    reading = asyncio.create_task(read())
    try:
        yield statuses
    finally:
        reading.cancel()
        await asyncio.wait({reading})


async def add_import(client: httpx.AsyncClient, dataset: Path) -> int:
    response = await client.post("/api/admin/imports", json={"location": str(dataset)})
    assert response.status_code == 202, response.text
    return response.json()["id"]


async def times(url: str, job: int) -> tuple[float, float]:
    """When a job ended (`time.time`), and how many seconds after it was added."""
    (row,) = await fetch(
        url,
        """SELECT extract(epoch FROM finished_at)::float AS ended,
             extract(epoch FROM finished_at - created_at)::float AS seconds FROM job WHERE id = $1""",
        job,
    )
    return row["ended"], row["seconds"]


async def check(server: ImportServer, dataset: Path, manifest: Manifest, kills: int) -> None:
    generator, hits = random.Random(kills), 0
    new_version = versions(dataset, manifest)
    source_set = f"{manifest.model.id}/{manifest.source_set.id}"
    page = f"/api/feature/{manifest.model.id}/{manifest.source_set.sources[0].id}/0"
    async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
        # of imports that are not disturbed: the first one, and one that replaces it
        seconds: dict[bool, float] = {}
        for shown in (False, True):
            next(new_version)
            job = await add_import(client, dataset)
            assert (await job_ends(server, client, job))["state"] == "done"
            seconds[shown] = (await times(server.url, job))[1]
        expected = await stored_rows(server.url)
        for number in range(kills):
            part, shown = PARTS[number % len(PARTS)], number // len(PARTS) % 2 == 0
            if not shown:
                deletion = await client.post("/api/admin/data/delete", json={"name": source_set})
                assert (await job_ends(server, client, deletion.json()["id"]))["state"] == "done"
            next(new_version)
            moment = generator.uniform(0, seconds[shown])
            async with read_all_the_time(client, page) as statuses:
                job = await add_import(client, dataset)
                await asyncio.sleep(moment)
                killed_at = await server.kill(part)
                result = await job_ends(server, client, job)
            place = f"kill {number} of {kills}: {part} after {moment:.2f} of {seconds[shown]:.2f} s"
            assert result["state"] == "done", f"{place}: {result}"
            assert statuses, place
            assert statuses <= ({200, 503} if shown else {200, 404, 503}), f"{place}: {statuses}"
            await server.wait(client)
            # the other test's set is there as well
            sets = (await client.get("/api/admin/data")).raise_for_status().json()["sets"]
            (stored,) = [own for own in sets if f"{own['model']}/{own['set']}" == source_set]
            assert all(own["verifiedAt"] and own["problem"] is None for own in stored["sources"]), f"{place}: {stored}"
            assert await stored_rows(server.url) == expected, place
            states = await fetch(server.url, "SELECT DISTINCT state::text FROM load")
            assert [row["state"] for row in states] == ["shown"], f"{place}: {states}"
            ended_at, taken = await times(server.url, job)
            hits += ended_at > killed_at
            seconds[shown] = min(seconds[shown], taken)
    assert hits >= kills / 2, f"{hits} of {kills} imports ran when a program was killed"


async def test_three_killed_imports_go_on(server: ImportServer, folder: Path) -> None:
    await check(server, folder / "small", write_dataset(folder / "small", layers=(1, 2)), 3)


@pytest.mark.slow
async def test_fifty_killed_imports_of_the_demo_go_on(server: ImportServer, folder: Path) -> None:
    manifest = read_manifest(DEMO)
    manifest.source_set.sources = [own for own in manifest.source_set.sources if own.id == "15-res-4k"]
    for entry in manifest.files():
        target = folder / "demo" / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DEMO / entry.path, target)
    await check(server, folder / "demo", manifest, 50)
