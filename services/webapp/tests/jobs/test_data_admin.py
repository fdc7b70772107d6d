"""The owner's page and API of data: who may use them, imports, jobs, progress, refusals."""

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.read import read_manifest
from memicos_testing.servers import Start
from memicos_testing.webapp.database import connected, execute, fetch, shown_rows
from memicos_testing.webapp.html_page import Page
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_testing.webapp.small_dataset import remove_vocabulary_size
from memicos_webapp.admin import available
from memicos_webapp.import_roots.roots import parse_roots
from memicos_webapp.worker_program import KINDS

PAGE, API = "/account/data", "/api/admin"
ORIGIN = {"Origin": "http://localhost"}


async def state(client: httpx.AsyncClient, job: int) -> dict[str, Any]:
    return (await client.get(f"{API}/jobs/{job}")).json()["job"]


async def ended(client: httpx.AsyncClient, job: int) -> dict[str, Any]:
    async def has_ended() -> bool:
        return (await state(client, job))["state"] in ("done", "failed", "cancelled")

    await until(has_ended)
    return await state(client, job)


async def test_a_dataset_is_found_planned_imported_verified_and_deleted(
    started: Start, fresh_url: str, small_dataset: Path
) -> None:
    async with started(fresh_url, import_roots=str(small_dataset.parent), retired_load_seconds=0) as client:
        roots = (await client.get(f"{API}/data/available")).json()
        assert [entry["location"] for entry in roots["entries"]] == [str(small_dataset.parent)]
        inside = (await client.get(f"{API}/data/available", params={"location": str(small_dataset.parent)})).json()
        assert small_dataset.name in [entry["name"] for entry in inside["entries"]]
        plan = (await client.get(f"{API}/data/plan", params={"location": str(small_dataset)})).json()
        assert [(own["source"], own["features"], own["shown"]) for own in plan["sources"]] == [
            (f"{layer}-res", 64, False) for layer in (1, 2, 3)
        ]
        assert plan["bytes"] == sum(entry.bytes for entry in read_manifest(small_dataset).files())
        assert plan["problem"] is None
        response = await client.post(f"{API}/imports", json={"location": str(small_dataset)}, headers=ORIGIN)
        assert response.status_code == 202
        job = response.json()
        assert (job["state"], job["kind"]) == ("queued", "import")
        events: list[tuple[str, dict[str, Any]]] = []

        async def listen() -> None:
            async with client.stream("GET", f"{PAGE}/jobs/events") as stream:
                name = ""
                async for line in stream.aiter_lines():
                    if line.startswith("event: "):
                        name = line[7:]
                    elif line.startswith("data: "):
                        events.append((name, json.loads(line[6:])))

        listening = asyncio.create_task(listen())
        async with worker(fresh_url, *KINDS, attempts=2):
            job = await ended(client, job["id"])
            assert job["state"] == "done", job
            await listening
            assert [name for name, _ in events][-1] == "idle"
            states = [body["state"] for name, body in events if name == "job"]
            assert states[-1] == "done" and set(states) <= {"queued", "running", "done"}
            detail = (await client.get(f"{API}/jobs/{job['id']}")).json()
            lines = [line["line"] for line in detail["log"]]
            assert "copies rows" in lines and "small/2-res: 64 features" in lines and lines[-1] == "done"
            (stored,) = (await client.get(f"{API}/data")).json()["sets"]
            assert (stored["model"], stored["set"], stored["features"]) == ("small", "res", 192)
            assert all(own["verifiedAt"] and own["problem"] is None for own in stored["sources"])
            page = Page((await client.get(PAGE)).text).text()
            assert "complete, verified" in page and "small/res" in page
            again = (await client.post(f"{API}/imports", json={"location": str(small_dataset)}, headers=ORIGIN)).json()
            assert (await ended(client, again["id"]))["state"] == "done"
            page = Page((await client.get(f"{PAGE}/jobs/{again['id']}")).text).text()
            assert "small/res is loaded already: nothing was copied" in page and "0 of 0 files" not in page
            await execute(fresh_url, "UPDATE feature SET density = 0.25 WHERE index = 4")
            response = await client.post(f"{PAGE}/verify", data={"name": "small/3-res"}, headers=ORIGIN)
            assert response.status_code == 303
            number = int(response.headers["location"].rpartition("/")[2])
            assert (await ended(client, number))["state"] == "failed"
            assert "the features are not the ones" in Page((await client.get(PAGE)).text).text()
            response = await client.post(f"{API}/data/delete", json={"name": "small/res"}, headers=ORIGIN)
            assert (await ended(client, response.json()["id"]))["state"] == "done"
        assert await shown_rows(fresh_url) == []
        assert (await client.get(f"{API}/data")).json()["sets"] == []


async def test_the_public_layout_is_imported_with_the_figures_of_a_form_and_rejects_are_shown(
    started: Start, fresh_url: str, small_dataset: Path, tmp_path: Path
) -> None:
    manifest = to_public(small_dataset, tmp_path / "public", Options(), lambda line: None)
    folder = tmp_path / "public" / "v1" / "small"
    async with started(
        fresh_url, import_roots=str(tmp_path), import_folder=tmp_path / "work", import_reject_limit=3
    ) as client:
        browse = Page((await client.get(f"{PAGE}/browse", params={"location": str(folder)})).text)
        values = [field.get("value") for field, _ in browse.find("input") if field.get("name") == "source"]
        assert values == ["1-res", "2-res", "3-res"]
        (folder / "2-res/features/batch-7.jsonl").write_text('{"index": "blue"}\n')
        response = await client.get(f"{PAGE}/plan", params={"location": str(folder), "set": "res"})
        assert response.status_code == 400 and "No source of res was chosen" in Page(response.text).text()
        form = {"location": str(folder), "source": ["2-res"], "layers": "x", "missing": "keep"}
        for layers in ("x", "0", "1000001"):
            form |= {"layers": layers}
            response = await client.post(f"{PAGE}/import", data=form, headers=ORIGIN)
            assert response.status_code == 400 and "Layers has to be a whole number" in Page(response.text).text()
        form |= {
            "layers": "4",
            "d_model": "16",
            "vocabulary_size": str(manifest.model.vocabulary_size),
        }
        response = await client.post(f"{PAGE}/import", data=form, headers=ORIGIN)
        number = int(response.headers["location"].rpartition("/")[2])
        async with worker(fresh_url, *KINDS, attempts=2):
            job = await ended(client, number)
        assert (job["state"], job["rejects"]) == ("done", 1), job
        page = Page((await client.get(f"{PAGE}/jobs/{number}")).text).text()
        assert "Rows left out" in page and "batch-7.jsonl, line 1, column index" in page
        assert [row[1] for row in await shown_rows(fresh_url)] == ["2-res"]


async def test_a_job_is_cancelled_and_resumed(started: Start, fresh_url: str, small_dataset: Path) -> None:
    async with started(fresh_url, import_roots=str(small_dataset)) as client:
        body = {"location": str(small_dataset)}
        job = (await client.post(f"{API}/imports", json=body, headers=ORIGIN)).json()["id"]
        async with connected(fresh_url) as blocker, worker(fresh_url, *KINDS, attempts=2):
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE explanation IN SHARE MODE")

                async def runs() -> bool:
                    return (await state(client, job))["rowsDone"] > 64

                await until(runs)
                cancelled = await client.post(f"{API}/jobs/{job}/cancel", headers=ORIGIN)
                assert cancelled.json()["state"] in ("cancelling", "cancelled")
                assert (await ended(client, job))["state"] == "cancelled"
            assert (await client.post(f"{API}/jobs/{job}/cancel", headers=ORIGIN)).status_code == 409
            assert (await client.post(f"{PAGE}/jobs/{job}/cancel", headers=ORIGIN)).status_code == 409
            assert (await client.post(f"{PAGE}/jobs/{job}/resume", headers=ORIGIN)).status_code == 303
            assert (await ended(client, job))["state"] == "done"
        assert len(await shown_rows(fresh_url)) == 3
    # a job that was added under other roots is not continued
    await execute(fresh_url, "UPDATE job SET state = 'failed'")
    async with started(fresh_url, import_roots="/nowhere") as client:
        response = await client.post(f"{API}/jobs/{job}/resume", headers=ORIGIN)
        assert response.status_code == 400 and "MEMICOS_IMPORT_ROOTS was another" in response.json()["error"]


def test_models_with_a_version_in_their_names_are_listed(tmp_path: Path) -> None:
    for name in ("llama3.1-8b", "qwen2.5b"):
        (tmp_path / name).mkdir()
    (tmp_path / "README.md").write_text("text")
    found = available.browse(parse_roots(str(tmp_path)), str(tmp_path), ())
    assert [entry.name for entry in found.entries] == ["llama3.1-8b", "qwen2.5b"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/imports", {"location": "/etc"}, 400, "none of the folders of MEMICOS_IMPORT_ROOTS"),
        ("POST", "/imports", {"location": "http://169.254.169.254/x"}, 400, "none of the roots"),
        ("POST", "/imports", {"location": "s3://bucket/x"}, 400, "none of the roots"),
        ("POST", "/imports", {"location": "x" * 2001}, 422, None),
        ("POST", "/imports", {"location": "/r", "layers": 0}, 422, None),
        ("POST", "/imports", {"location": "/r", "colour": 1}, 422, None),
        ("GET", "/data/available?location=/etc", None, 400, "none of the folders"),
        ("GET", "/data/available?location={root}/nope", None, 404, "does not exist"),
        ("GET", "/data/plan?location={root}", None, 400, "has no source"),
        ("POST", "/data/verify", {"name": "small"}, 400, "model/source or model/set"),
        ("POST", "/data/delete", {"name": "small/9-res"}, 404, "its sources are 1-res, 2-res, 3-res"),
        ("GET", "/jobs/99", None, 404, "no job 99"),
        ("POST", "/jobs/99/cancel", None, 404, "no job 99"),
        ("POST", "/jobs/99999999999/cancel", None, 422, None),
    ],
)
async def test_bad_requests_are_refused_with_the_reason(
    started: Start, loaded_url: str, tmp_path: Path, method: str, path: str, body: Any, status: int, message: str | None
) -> None:
    async with started(loaded_url, import_roots=str(tmp_path)) as client:
        response = await client.request(method, API + path.replace("{root}", str(tmp_path)), json=body, headers=ORIGIN)
        assert response.status_code == status, response.text
        assert message is None or message in response.json()["error"]


async def test_error_pages_lead_back_to_the_data(started: Start, loaded_url: str, tmp_path: Path) -> None:
    async with started(loaded_url, import_roots=str(tmp_path)) as client:
        for path, status in (("/browse?location=/etc", 400), ("/jobs/99", 404), ("/nothing", 404)):
            page = await client.get(f"/account/data{path}")
            assert page.status_code == status and '<a class="btn" href="/account/data">Data</a>' in page.text
        assert 'href="/account/data">Data</a>' not in (await client.get("/nothing")).text


async def test_a_bucket_that_cannot_be_read_is_named_with_the_remedy(
    started: Start, loaded_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # no credentials, and no service of a cloud that would be asked for some
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setattr(available, "PATIENCE_SECONDS", 0.0)
    location = "s3://bucket/v1"
    # the environment of the services alone reads no buckets
    remedy = ("no credentials", "AWS_ACCESS_KEY_ID") if importlib.util.find_spec("s3fs") else ("pip install", "s3fs")
    async with started(loaded_url, import_roots="s3://bucket,http://127.0.0.1:9") as client:
        for path in (f"{API}/data/available", f"{API}/data/plan", f"{PAGE}/browse"):
            response = await client.get(path, params={"location": location})
            assert response.status_code == 400, (path, response.text)
            assert all(word in response.text for word in remedy)
        closed = await client.get(f"{API}/data/available", params={"location": "http://127.0.0.1:9/v1"})
        assert closed.status_code == 503 and "does not answer" in closed.json()["error"]
        assert int(closed.headers["Retry-After"]) > 0


async def test_only_the_owner_uses_them_and_a_read_only_server_changes_nothing(
    started: Start, own_url: str, tmp_path: Path
) -> None:
    reads = (f"{API}/data", f"{API}/data/available", f"{API}/jobs", f"{API}/jobs/1", f"{PAGE}/jobs/events", PAGE,
             f"{PAGE}/browse?location=/", f"{PAGE}/jobs/1")  # fmt: skip
    writes = ((f"{API}/imports", {"location": str(tmp_path)}), (f"{API}/data/verify", {"name": "small/res"}),
              (f"{API}/data/delete", {"name": "small/res"}), (f"{API}/jobs/1/cancel", None))  # fmt: skip
    async with started(own_url, host="0.0.0.0", import_roots=str(tmp_path)) as client:
        for path in reads:
            assert (await client.get(path)).status_code == 403, path
        for path, body in writes:
            assert (await client.post(path, json=body, headers=ORIGIN)).status_code == 403, path
        assert (await client.post(f"{PAGE}/delete", data={"name": "small/res"}, headers=ORIGIN)).status_code == 403
        assert PAGE not in (await client.get("/account")).text
    async with started(own_url, import_roots=str(tmp_path)) as client:
        assert PAGE in (await client.get("/account")).text
        evil = {"Origin": "https://evil.example"}
        assert (await client.post(f"{PAGE}/delete", data={"name": "small/res"}, headers=evil)).status_code == 403
    async with started(own_url, import_roots=str(tmp_path), read_only=True) as client:
        page = await client.get(PAGE)
        assert page.status_code == 200 and 'method="post"' not in page.text
        for path, body in writes:
            assert (await client.post(path, json=body, headers=ORIGIN)).status_code == 403, path
    assert [row["kind"] for row in await fetch(own_url, "SELECT kind FROM job")] == ["import"]


async def test_a_plan_requests_the_figures_of_the_model_that_the_files_lack(
    started: Start, fresh_url: str, small_dataset: Path, tmp_path: Path
) -> None:
    to_public(small_dataset, tmp_path / "public", Options(), lambda line: None)
    remove_vocabulary_size(tmp_path / "public")
    folder = tmp_path / "public" / "v1" / "small" / "2-res"
    async with started(fresh_url, import_roots=str(tmp_path)) as client:
        for layers, lacking in (3, ["vocabulary_size"]), (0, ["layers", "vocabulary_size"]):
            # the known converter writes 0 where it does not know the layers
            row = json.loads((folder / "model.jsonl").read_text()) | {"layers": layers}
            (folder / "model.jsonl").write_text(json.dumps(row) + "\n")
            response = await client.get(f"{PAGE}/plan", params={"location": str(folder)})
            page = Page(response.text)
            required = [field.get("name") for field, _ in page.find("input") if "required" in field]
            assert (response.status_code, required) == (200, lacking), response.text
            assert "The files do not say these figures" in page.text()
            plan = (await client.get(f"{API}/data/plan", params={"location": str(folder)})).json()
            assert plan["unknownFigures"] == lacking
