"""Sources added and removed while the server runs: permissions, allowed folders, and all or none of an entry."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_engine.selftest.reconstruction_record import FILE_NAME, measure_reconstruction, write_record
from memicos_inference import model_loading
from memicos_inference.settings import Settings
from memicos_inference_client import AuthenticatedClient
from memicos_inference_client.api.admin import add_sources, remove_source
from memicos_inference_client.models import AddSourcesRequest, AddSourcesResponse, RemoveSourceResponse
from memicos_testing.models.foreign_saes import random_weights, write_llama_scope, write_openai, write_saelens
from memicos_testing.models.small_model import NAME, small_sae
from memicos_testing.servers import Serve
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

SECRET = "open sesame"


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    small_sae(folder / "1-mine", 1, 16)
    write_openai(folder / "topk", random_weights(2, 128, 32))
    return folder


@asynccontextmanager
async def client_of(serve: Serve, **values: Any) -> AsyncIterator[httpx.AsyncClient]:
    url = await serve(secret=SECRET, **values)
    async with httpx.AsyncClient(base_url=url, headers={"X-SECRET-KEY": SECRET}, timeout=60) as http:
        yield http


async def add(http: httpx.AsyncClient, spec: str, **options: Any) -> tuple[int, Any]:
    response = await http.post("/v1/admin/sources", json={"spec": spec}, **options)
    return response.status_code, response.json()


async def ids(http: httpx.AsyncClient) -> list[str]:
    return [source["id"] for source in (await http.get("/v1/capabilities")).json()["sources"]]


async def test_sources_are_added_and_removed(serve: Serve, allowed: Path) -> None:
    async with client_of(serve, sae_sets=("small",), sae_roots=(str(allowed),), include_sae=("small",)) as http:
        before = await ids(http)
        assert await add(http, f"path:{allowed}") == (200, {"added": ["1-mine", "2-allowed"]})
        assert await ids(http) == [*before, "1-mine", "2-allowed"]
        request = {"model": NAME, "prompt": "Alice was", "source": "1-mine", "index": 3}
        assert (await http.post("/v1/activation/single", json=request)).status_code == 200
        status, response = await add(http, f"path:{allowed}/1-mine")
        assert status == 400 and "Source 1-mine is served already, from" in response["error"]
        deleted = await http.delete("/v1/admin/sources/1-mine")
        assert deleted.status_code == 200 and deleted.json() == {"removed": "1-mine"}
        assert await ids(http) == [*before, "2-allowed"]
        assert (await http.post("/v1/activation/single", json=request)).status_code == 400
        deleted = await http.delete("/v1/admin/sources/1-mine")
        assert deleted.status_code == 404 and deleted.json()["cause"] == "not_found"
        assert (await add(http, f"path:{allowed}/1-mine"))[0] == 200
        assert await add(http, "neurons") == (200, {"added": ["0", "1", "2", "3"]})


async def test_our_client_both_ways(serve: Serve, allowed: Path) -> None:
    url = await serve(secret=SECRET, sae_sets=("small",), sae_roots=(str(allowed),))
    body = AddSourcesRequest(spec=f"path:{allowed}/1-mine")
    client = AuthenticatedClient(url, SECRET, prefix="", auth_header_name="X-SECRET-KEY")
    for _ in range(2):
        assert await add_sources.asyncio(client=client, body=body) == AddSourcesResponse(added=["1-mine"])
        removed = await asyncio.to_thread(remove_source.sync, "1-mine", client=client)
        assert removed == RemoveSourceResponse(removed="1-mine")
        removed = await asyncio.to_thread(add_sources.sync, client=client, body=body)
        assert removed == AddSourcesResponse(added=["1-mine"])
        assert await remove_source.asyncio("1-mine", client=client) == RemoveSourceResponse(removed="1-mine")


async def test_admin_routes_need_a_secret_that_is_set_and_sent(serve: Serve, allowed: Path) -> None:
    url = await serve(sae_sets=("small",), sae_roots=(str(allowed),))
    async with httpx.AsyncClient(base_url=url) as http:
        status, response = await add(http, f"path:{allowed}")
        assert status == 403 and response["cause"] == "forbidden" and "set INFERENCE_SECRET" in response["error"]
        refused_delete = await http.delete("/v1/admin/sources/1-small")
        assert refused_delete.status_code == 403 and "1-small" in await ids(http)
    async with client_of(serve, sae_sets=("small",), sae_roots=(str(allowed),)) as http:
        for headers in ({"X-SECRET-KEY": "wrong"}, {"X-SECRET-KEY": ""}):
            status, response = await add(http, f"path:{allowed}", headers=headers)
            assert status == 401 and response["cause"] == "wrong_secret"
            assert (await http.delete("/v1/admin/sources/1-small", headers=headers)).status_code == 401
        assert await ids(http) == ["1-small", "2-small", "3-small"]


async def test_sources_are_added_from_the_allowed_roots_only(serve: Serve, allowed: Path, tmp_path: Path) -> None:
    outside = small_sae(tmp_path / "outside" / "1-theirs", 1, 16)
    beside = small_sae(tmp_path / "allowed-not" / "1-theirs", 1, 16)
    (allowed / "link").symlink_to(outside, target_is_directory=True)
    # a folder of ours whose weights are elsewhere
    hidden = write_saelens(allowed / "hidden", random_weights(1, 128, 16))
    (hidden / "sae_weights.safetensors").unlink()
    (hidden / "sae_weights.safetensors").symlink_to(outside / "sae_weights.safetensors")
    # weights in a folder of the source's own, as Llama Scope has them
    nested = write_llama_scope(tmp_path / "roots" / "nested" / "L1R", random_weights(1, 128, 16))
    (nested / "checkpoints").mkdir()
    (nested / "checkpoints" / "final.safetensors").symlink_to(outside / "sae_weights.safetensors")
    specs = [
        f"path:{nested.parent}",
        f"path:{outside}",
        f"path:{beside}",
        f"path:{allowed}/../outside/1-theirs",
        f"path:{allowed}/link",
        f"path:{hidden}",
        f"path:{allowed}",  # has both in it
        f"path:{tmp_path}/nowhere",
        "path:/",
        "hf:other/repository",
        "hf:owner-too/repository",
        "hf:owner",
        "saelens:gpt2-small-res-jb/blocks.7.hook_resid_pre",
        "small",  # of SAE_FOLDER, which is no root
    ]
    async with client_of(
        serve, sae_sets=(), sae_roots=(str(allowed), str(tmp_path / "roots"), "hf:owner", "hf:some/repository")
    ) as http:
        for spec in specs:
            status, response = await add(http, spec)
            assert status == (400 if spec == "hf:owner" else 403), (spec, response)
            assert spec == "hf:owner" or "INFERENCE_SAE_ROOTS" in response["error"]
        assert await ids(http) == []
        assert (await add(http, f"path:{allowed}/1-mine"))[0] == 200
    async with client_of(serve, sae_sets=()) as http:
        assert (await add(http, f"path:{allowed}/1-mine"))[0] == 403


async def test_sources_are_checked_as_at_start_and_added_all_or_none(serve: Serve, allowed: Path) -> None:
    async with client_of(serve, sae_sets=("small",), sae_roots=(str(allowed),)) as http:
        before = await ids(http)

        async def refused(spec: str) -> str:
            status, response = await add(http, spec)
            assert status == 400 and response["cause"] == "invalid_request", response
            assert await ids(http) == before
            return response["error"]

        write_saelens(allowed / "3-narrow", random_weights(3, 64, 16))
        assert "takes activations of width 64" in await refused(f"path:{allowed}")
        shutil.rmtree(allowed / "3-narrow")
        write_saelens(allowed / "9-deep", random_weights(9, 128, 16))
        assert "the model has layers 0 to 3" in await refused(f"path:{allowed}")
        weights = allowed / "9-deep" / "sae_weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-7])
        assert "9-deep is not a source that can be loaded" in await refused(f"path:{allowed}")
        shutil.rmtree(allowed / "9-deep")
        shutil.copytree(allowed / "topk", allowed / "topk again")
        assert "Two sources have the id 2-allowed" in await refused(f"path:{allowed}")
        assert "is no folder" in await refused(f"path:{allowed}/none")
        assert "there is no format zip" in await refused(f"path:{allowed}@zip")
        assert "There is no source set res-jb" in await refused("res-jb")
        assert (await http.post("/v1/admin/sources", json={"spec": ""})).status_code == 422
        assert (await http.get("/health")).json()["ready"]


async def test_paths_that_cannot_be_looked_up_are_refused(serve: Serve, allowed: Path, tmp_path: Path) -> None:
    for place in (allowed, tmp_path):
        (place / "loop").symlink_to("loop")
    looped = small_sae(allowed / "1-looped", 1, 16)
    (looped / "memicos.json").symlink_to("memicos.json")
    specs = {
        "path:~nosuchuser/x": (400, "no home folder of ~nosuchuser"),
        "path:a\0b": (400, "NUL character"),
        f"path:{allowed}\0": (400, "NUL character"),
        f"path:{allowed}/{'x' * 800}": (400, "File name too long"),
        f"path:{allowed}/loop": (400, "symbolic links"),
        f"path:{allowed}/loop/x": (400, "symbolic links"),
        f"path:/{'x' * 990}": (403, "INFERENCE_SAE_ROOTS"),
        f"path:{tmp_path}/loop": (403, "INFERENCE_SAE_ROOTS"),
        "x" * 990: (400, "There is no source set"),
        f"hf:owner/{'x' * 900}": (403, "INFERENCE_SAE_ROOTS"),
    }
    async with client_of(serve, sae_sets=("small",), sae_roots=(str(allowed),)) as http:
        before = await ids(http)
        for spec, (status, message) in specs.items():
            answer = await add(http, spec)
            assert answer[0] == status and message in answer[1]["error"], (spec, answer)
        # a file beside the weights that is not readable is as missing
        (looped / "cfg.json").unlink()
        (looped / "cfg.json").symlink_to("cfg.json")
        status, answer = await add(http, f"path:{looped}")
        assert status == 400 and "1-looped holds no source" in answer["error"]
        assert await ids(http) == before and (await http.get("/health")).json()["ready"]


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1e400", '"128"', "0", "1" * 400, "[1]"])
async def test_a_context_size_that_is_none_is_refused(serve: Serve, allowed: Path, value: str) -> None:
    config = allowed / "1-mine" / "cfg.json"
    content = json.loads(config.read_text())
    content["metadata"]["context_size"] = "HERE"
    config.write_text(json.dumps(content).replace('"HERE"', value))
    async with client_of(serve, sae_sets=("small",), sae_roots=(str(allowed),)) as http:
        status, answer = await add(http, f"path:{allowed}/1-mine")
        assert status == 400 and "expected a whole number from 1 to 2147483647 as context_size" in answer["error"]
        assert len(await ids(http)) == 3


def test_roots_are_paths(settings: Callable[..., Settings]) -> None:
    with pytest.raises(ValidationError, match="no home folder of ~nosuchuser"):
        settings(sae_roots=("/", "~nosuchuser/saes"))


async def test_an_unavailable_source_is_replaced_by_a_corrected_one(serve: Serve, allowed: Path) -> None:
    config = allowed / "1-mine" / "cfg.json"
    content = config.read_text()
    config.write_text("{")
    url = {"sae_folder": allowed, "sae_sets": ("mine", f"path:{allowed}/topk"), "sae_roots": (str(allowed),)}
    async with client_of(serve, **url) as http:
        (broken,) = (await http.get("/v1/capabilities")).json()["unavailable_sources"]
        assert broken["id"] == "1-mine" and await ids(http) == ["2-topk"]
        config.write_text(content)
        assert await add(http, "mine") == (200, {"added": ["1-mine"]})
        capabilities = (await http.get("/v1/capabilities")).json()
        assert capabilities["unavailable_sources"] == [] and await ids(http) == ["2-topk", "1-mine"]


async def test_a_corrected_source_added_again_is_checked_again(
    serve: Serve, settings: Callable[..., Settings], allowed: Path
) -> None:
    """Its weights were changed after the record of them was written; the check belongs to those weights."""
    folder = allowed / "1-mine"
    loaded = model_loading.load_model(settings(sae_folder=allowed, sae_sets=("mine",)), lambda text, share: None)
    record = measure_reconstruction(loaded.model, loaded.source_cache.get("1-mine"))
    write_record(folder / FILE_NAME, loaded.weights, record)
    file = folder / "sae_weights.safetensors"
    right = file.read_bytes()
    weights = load_file(file)
    weights["W_enc"][:, 5] *= 4
    save_file(weights, file)
    request = {"model": NAME, "prompt": "Alice was", "source": "1-mine", "index": 5}
    async with client_of(serve, sae_sets=("small",), sae_roots=(str(allowed),)) as http:

        async def state() -> str:
            return (await http.get("/health")).json()["selftest"]["state"]

        assert (await add(http, f"path:{folder}"))[0] == 200
        refused = await http.post("/v1/activation/single", json=request)
        assert refused.status_code == 503 and refused.json()["cause"] == "unverified"
        assert await state() == "failed"
        assert (await http.delete("/v1/admin/sources/1-mine")).status_code == 200
        assert await state() == "passed"
        file.write_bytes(right)
        assert (await add(http, f"path:{folder}"))[0] == 200
        response = await http.post("/v1/activation/single", json=request)
        assert response.status_code == 200, response.text
        (check,) = [
            check for check in (await http.get("/health")).json()["selftest"]["checks"] if check["source"] == "1-mine"
        ]
        assert check["passed"] and await state() == "passed"
