"""Responses before the model is loaded, and where it cannot be loaded."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_engine.errors import LoadError
from memicos_engine.sources.source_cache import SourceCache
from memicos_inference import model_loading
from memicos_inference.app import create_app
from memicos_inference.settings import Settings
from memicos_testing.models.small_model import NAME, small_sae
from memicos_testing.servers import running

MakeSettings = Callable[..., Settings]


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url) as http:
        yield http


async def until(http: httpx.AsyncClient, state: str) -> dict[str, Any]:
    health: dict[str, Any] = {}
    for _ in range(1000):
        if (health := (await http.get("/health")).json())["state"] == state:
            return health
        await asyncio.sleep(0.02)
    raise AssertionError(health)


async def test_responses_while_the_model_loads(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    go, real = threading.Event(), model_loading.load_model

    def slow(values: Settings, report: Any) -> Any:
        report("fetching the moon", 0.25)
        assert go.wait(30)
        return real(values, report)

    monkeypatch.setattr(model_loading, "load_model", slow)
    try:
        async with served(settings(sae_sets=())) as http:
            async with asyncio.timeout(20):
                while (await http.get("/health")).json()["progress_fraction"] != 0.25:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert (await http.get("/health")).json() == {
                "status": "healthy",
                "ready": False,
                "state": "loading",
                "progress": "fetching the moon",
                "progress_fraction": 0.25,
                "load": 0,
                "selftest": {
                    "state": "waiting",
                    "allowed": False,
                    "seconds": 0,
                    "checks": [],
                    "unverified_beyond": None,
                },
            }
            for response in (
                await http.get("/v1/capabilities"),
                await http.post("/v1/tokenize", json={"model": NAME, "text": "Alice"}),
            ):
                assert response.status_code == 503 and int(response.headers["retry-after"]) > 0
                body = response.json()
                assert body["cause"] == "loading" and "not loaded yet: fetching the moon" in body["error"]
            # validation does not depend on the model
            assert (await http.post("/v1/tokenize", content="{")).status_code in (400, 422)
            go.set()
            await until(http, "ready")
            response = await http.post("/v1/tokenize", json={"model": NAME, "text": "Alice"})
            assert response.status_code == 200
    finally:
        go.set()


async def test_after_a_failed_load_the_process_stays_and_reports_the_reason(
    settings: MakeSettings, tmp_path: Path
) -> None:
    async with served(settings(custom_hf_model_id=str(tmp_path / "none"))) as http:
        health = await until(http, "failed")
        assert not health["ready"] and "There is no folder" in health["progress"]
        response = await http.post("/v1/tokenize", json={"model": NAME, "text": "Alice"})
        assert response.status_code == 503 and response.headers["retry-after"]
        body = response.json()
        assert body["cause"] == "load_failed" and "There is no folder" in body["error"]


async def test_an_unexpected_error(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(values: Settings, report: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(model_loading, "load_model", broken)
    async with served(settings()) as http:
        assert (await until(http, "failed"))["progress"] == "ZeroDivisionError: by zero"


async def test_a_source_that_cannot_be_loaded_later(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(settings(sae_sets=("small",))) as http:
        await until(http, "ready")

        def missing(*_: Any) -> Any:
            raise LoadError("Source 1-small: its folder is gone")

        monkeypatch.setattr(SourceCache, "make_room", missing)
        body = {"model": NAME, "prompt": "Alice", "source": "1-small", "index": 0}
        response = await http.post("/v1/activation/single", json=body)
        assert response.status_code == 503 and response.json() == {
            "error": "Source 1-small: its folder is gone",
            "cause": "load_failed",
        }


async def test_bad_sources_are_reported_and_the_others_served(
    settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_sae(tmp_path / "1-infinite", 1, 16)
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"]["context_size"] = float("inf")
    (folder / "cfg.json").write_text(json.dumps(config))
    (tmp_path / "loop").symlink_to("loop")
    undecodable = tmp_path / "caf\udce9"
    undecodable.mkdir()
    reasons = {
        "path:~nosuchuser/x": "no home folder of ~nosuchuser",
        "path:a\0b": "NUL character",
        f"path:{tmp_path}/{'x' * 990}": "File name too long",
        f"path:{tmp_path}/loop": "symbolic links",
        f"path:{folder}": "as context_size, not Infinity",
        f"path:{undecodable}": "caf\\udce9 holds no source",
        "unknown": "There is no source set unknown",
        "path:/x@zip": "there is no format zip",
        "hf:nothing": "hf:owner/name",
        "": "is no source set",
    }
    async with served(settings(sae_sets=(*reasons, "small"))) as http:
        await until(http, "ready")
        capabilities = (await http.get("/v1/capabilities")).json()
        body = {"model": NAME, "prompt": "Alice", "source": "1-small", "index": 0}
        assert (await http.post("/v1/activation/single", json=body)).status_code == 200
        response = await http.post("/v1/activation/single", json=body | {"source": "path:a\0b"})
        assert response.status_code == 503 and "NUL character" in response.json()["error"]
    assert [source["id"] for source in capabilities["sources"]] == ["1-small", "2-small", "3-small"]
    unavailable = capabilities["unavailable_sources"]
    assert len(unavailable) == len(reasons)
    for reason, source in zip(reasons.values(), unavailable, strict=True):
        assert reason in source["error"]
        assert any(reason in record.getMessage() for record in caplog.records if record.levelname == "ERROR")


async def test_a_model_is_served_where_no_source_can_be(settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "1-small").mkdir()
    reasons = {"unknown": "There is no source set unknown", f"path:{tmp_path}/1-small": "1-small holds no source"}
    text = {"model": NAME, "prompt": "Alice"}
    async with served(settings(sae_sets=tuple(reasons))) as http:
        await until(http, "ready")
        unavailable = (await http.get("/v1/capabilities")).json()["unavailable_sources"]
        assert [source["id"] for source in unavailable] == list(reasons)
        assert all(reasons[source["id"]] in source["error"] for source in unavailable)
        assert (await http.post("/v1/tokenize", json={"model": NAME, "text": "Alice"})).status_code == 200
        by_route = {
            "/v1/activation/single": [{"source": "1-small", "index": 0}, {"source": "unknown", "index": 0}],
            "/v1/activation/all": [{"source_set": "small"}, {"source_set": "unknown"}],
            "/v1/activation/topk-by-token": [{"source": "1-small"}, {"source": "unknown"}],
        }
        for route, (other, entry) in by_route.items():
            # the id of a source that could not be read is its entry
            response = await http.post(route, json=text | entry)
            assert response.status_code == 503 and response.json()["cause"] == "load_failed", (route, response.text)
            assert reasons["unknown"] in response.json()["error"]
            response = await http.post(route, json=text | other)
            assert response.status_code == 400, (route, response.text)
            assert all(reason in response.json()["error"] for reason in reasons.values())


async def test_capabilities(settings: MakeSettings) -> None:
    async with served(settings(token_limit=500, max_top_k=7)) as http:
        await until(http, "ready")
        capabilities = (await http.get("/v1/capabilities")).json()
    assert capabilities["model"] == NAME and capabilities["accepted_models"] == [NAME]
    assert capabilities["weights"] == NAME and capabilities["dtype"] == capabilities["sae_dtype"] == "float32"
    assert (capabilities["num_layers"], capabilities["d_model"], capabilities["d_vocab"]) == (4, 128, 1024)
    assert capabilities["sae_sets"] == ["small", "top"] and not capabilities["chat_template"]
    # a limit above the context is not listed
    assert (
        capabilities["limits"]["token_limit"] == capabilities["limits"]["context"] == 128
        and capabilities["limits"]["max_top_k"] == 7
    )
    assert capabilities["steer_methods"] == ["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP", "PROJECTION_CAP"]
    names = ("hook_resid_pre", "hook_resid_post", "hook_resid_mid", "hook_attn_out", "hook_mlp_out")
    within = ("attn.hook_z", "mlp.hook_post")
    assert capabilities["steer_hooks"] == [f"blocks.N.{name}" for name in (*names, *within)]
    assert capabilities["unsteerable_hooks"] == []
    cut = next(source for source in capabilities["sources"] if source["id"] == "3-small")
    assert cut.pop("recipe")["hook_name"] == cut["hook"]  # all of it: test_recipes.py
    assert cut == {
        "id": "3-small",
        "source_set": "small",
        "hook": "blocks.3.hook_resid_post",
        "steer_hook": "blocks.3.hook_resid_post",
        "layer": 3,
        "d_in": 128,
        "d_sae": 96,
        "architecture": "jumprelu",
        "prepend_bos": True,
        "context_size": 128,
        "ignored_positions": [0],
        "norm_cut": 42.0,
        "loaded": False,
    }


async def test_origin_is_read_from_the_folder(settings: MakeSettings, model_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(model_folder, tmp_path / "copy")
    (folder / "memicos.json").write_text('{"origin": "glassllm, converted"}')
    async with served(settings(custom_hf_model_id=str(folder), sae_sets=())) as http:
        await until(http, "ready")
        capabilities = (await http.get("/v1/capabilities")).json()
    assert capabilities["origin"] == "glassllm, converted" and capabilities["weights"] == "copy"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", ["device", "ours"])
async def test_an_unrecoverable_error_ends_the_process(
    fault: str, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process ends, so that a supervisor restarts it; without its thread the server could not respond."""
    import torch
    from memicos_engine.generation.decoder import Decoder

    statuses: list[int] = []
    load_ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(status: int) -> None:
        statuses.append(status)
        loop.call_soon_threadsafe(load_ended.set)
        raise SystemExit  # ends the model's thread in place of the process

    def broken(*_: Any) -> Any:
        raise torch.AcceleratorError("an illegal memory access") if fault == "device" else KeyError("a row")

    async with served(settings()) as http:
        await until(http, "ready")
        monkeypatch.setattr("os._exit", end)
        monkeypatch.setattr(Decoder, "prefill" if fault == "device" else "fits", broken)
        body = {"model": NAME, "prompt": "Alice", "types": ["DEFAULT"], "features": [], "n_completion_tokens": 2}
        task = asyncio.create_task(http.post("/v1/steer/completion", json=body | {"temperature": 0}))
        await asyncio.wait_for(load_ended.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        monkeypatch.undo()
    assert statuses == [70]
    (record,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    message = record.getMessage()
    assert "this server ends" in message and ("device is broken" in message) == (fault == "device")
