"""A failed check of the self-test is named, and requests that depend on it are refused. Faults are real ones."""

import asyncio
import json
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from memicos_engine.selftest.reconstruction_record import FILE_NAME, measure_reconstruction, write_record
from memicos_inference import model_loading
from memicos_inference.commands import selftest as command
from memicos_inference.settings import Settings
from memicos_testing.models.small_model import NAME
from safetensors.torch import load_file, save_file

MakeSettings = Callable[..., Settings]
Serve = Callable[..., Awaitable[str]]
MODEL_CHECKS = ["embedding", "blocks", "unembedding", "batch", "cache", "weights"]
SINGLE = {"model": NAME, "prompt": "Alice was late", "source": "1-small", "index": 3}
STEER = {
    "model": NAME,
    "prompt": "Alice was",
    "types": ["DEFAULT"],
    "features": [],
    "n_completion_tokens": 2,
    "temperature": 0,
    "strength_multiplier": 1,
    "freq_penalty": 0,
    "seed": 1,
}


def breaking(monkeypatch: pytest.MonkeyPatch, harm: Callable[[Any], None]) -> None:
    """Apply `harm` to the model as soon as it is loaded."""
    real = model_loading.load_model

    def load(settings: Settings, report: Any) -> Any:
        served = real(settings, report)
        harm(served.model)
        return served

    monkeypatch.setattr(model_loading, "load_model", load)


def show_what_comes(model: Any) -> None:
    def unmask(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        n = kwargs["hidden_states"].shape[1]
        return args, {**kwargs, "attention_mask": torch.zeros(1, 1, n, n)}

    model.blocks[1].self_attn.register_forward_pre_hook(unmask, with_kwargs=True)


def count_from_one(model: Any) -> None:
    def late(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        cache = kwargs.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            kwargs = {**kwargs, "position_ids": kwargs["position_ids"] + 1}
        return args, kwargs

    model.hf.register_forward_pre_hook(late, with_kwargs=True)


async def selftest(http: httpx.AsyncClient) -> dict[str, Any]:
    """As /health has it; /v1/capabilities has the same."""
    selftest_state = (await http.get("/health")).json()["selftest"]
    assert (await http.get("/v1/capabilities")).json()["selftest"] == selftest_state
    return selftest_state


async def succeeds(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> bool:
    """Whether the request is served; if not, the refusal is the self-test's."""
    response = await http.post(path, json=body)
    if response.status_code == 200:
        return True
    assert response.status_code == 503 and response.json()["cause"] == "unverified", response.text
    assert "ALLOW_UNVERIFIED=1" in response.json()["error"] and int(response.headers["retry-after"]) > 0
    return False


async def test_a_correct_model(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        report = await selftest(http)
        assert report["state"] == "passed" and not report["allowed"] and 0 < report["seconds"] < 10
        checks = {check["name"]: check for check in report["checks"] if check["source"] is None}
        assert list(checks) == MODEL_CHECKS
        assert all(check["passed"] and check["measured"] <= check["tolerance"] <= 1e-3 for check in checks.values())
        assert checks["blocks"]["endpoints"] == ["/v1/activation", "/v1/steer"]
        assert await succeeds(http, "/v1/activation/single", SINGLE)


async def test_a_wrong_mask_stops_every_capability(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    breaking(monkeypatch, show_what_comes)
    with caplog.at_level(logging.ERROR, "memicos_inference"):
        url = await serve()
    assert any("self-test failed: blocks" in record.getMessage() for record in caplog.records)
    async with httpx.AsyncClient(base_url=url) as http:
        report = await selftest(http)
        failed = {check["name"]: check for check in report["checks"] if check["passed"] is False}
        assert report["state"] == "failed" and "blocks" in failed
        blocks = failed["blocks"]
        assert blocks["measured"] > blocks["tolerance"] and "the worst is 1" in blocks["words"]
        assert not await succeeds(http, "/v1/activation/single", SINGLE)
        assert not await succeeds(http, "/v1/steer/completion", STEER)
        assert await succeeds(http, "/v1/tokenize", {"model": NAME, "text": "Alice"})


async def test_a_broken_cache_stops_generation_alone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, count_from_one)
    async with httpx.AsyncClient(base_url=await serve()) as http:
        assert [check["name"] for check in (await selftest(http))["checks"] if check["passed"] is False] == ["cache"]
        assert await succeeds(http, "/v1/activation/single", SINGLE)
        assert not await succeeds(http, "/v1/steer/completion", STEER)


async def test_unverified_results_are_returned_when_allowed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, count_from_one)
    async with httpx.AsyncClient(base_url=await serve(allow_unverified=True)) as http:
        report = await selftest(http)
        assert report["state"] == "failed" and report["allowed"]
        assert await succeeds(http, "/v1/steer/completion", STEER)


@pytest.fixture
def recorded(sources_folder: Path, tmp_path: Path, settings: MakeSettings) -> Path:
    """Sources with their records; the weights of 2-small were changed afterwards."""
    folder = tmp_path / "sources"
    shutil.copytree(sources_folder, folder)
    served = model_loading.load_model(settings(), lambda step, share: None)
    for name in ("1-small", "2-small"):
        write_record(
            folder / name / FILE_NAME,
            served.weights,
            measure_reconstruction(served.model, served.source_cache.get(name)),
        )
    file = folder / "2-small" / "sae_weights.safetensors"
    weights = load_file(file)
    weights["W_enc"][:, 5] *= 4
    save_file(weights, file)
    return folder


async def test_only_the_changed_source_is_stopped(serve: Serve, recorded: Path) -> None:
    async with httpx.AsyncClient(base_url=await serve(sae_folder=recorded)) as http:
        assert (await selftest(http))["state"] == "passed"
        assert await succeeds(http, "/v1/activation/single", SINGLE)
        assert await succeeds(http, "/v1/activation/single", {**SINGLE, "source": "3-small"})
        assert not await succeeds(http, "/v1/activation/single", {**SINGLE, "source": "2-small"})
        feature = {"model": NAME, "source": "2-small", "index": 5, "strength": 1}
        assert not await succeeds(http, "/v1/steer/completion", {**STEER, "features": [feature]})
        report = await selftest(http)
        of_sources = {check["source"]: check for check in report["checks"] if check["source"]}
        assert report["state"] == "failed"
        assert of_sources["1-small"]["passed"] and of_sources["1-small"]["measured"] < 1e-4
        assert of_sources["2-small"]["passed"] is False and "recorded" in of_sources["2-small"]["words"]
        assert of_sources["3-small"]["passed"] is None and of_sources["3-small"]["words"] == "not recorded"


async def test_no_check_runs_when_the_self_test_is_off(serve: Serve, recorded: Path) -> None:
    async with httpx.AsyncClient(base_url=await serve(sae_folder=recorded, selftest_seconds=0)) as http:
        assert await succeeds(http, "/v1/activation/single", {**SINGLE, "source": "2-small"})
        report = await selftest(http)
        assert report["state"] == "off" and report["checks"] == []


async def test_checks_left_out_for_time_run_while_no_request_is_handled(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "memicos_inference"):
        url = await serve(selftest_seconds=1e-9, selftest_idle_seconds=0.5)
    assert all(f"self-test: {name}: skipped: the time limit" in caplog.text for name in MODEL_CHECKS)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        end = time.monotonic() + 60
        # /v1/capabilities would be a request that the model's thread handles
        while any(check["passed"] is None for check in (await http.get("/health")).json()["selftest"]["checks"]):
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        report = await selftest(http)
        assert report["state"] == "passed" and [check["name"] for check in report["checks"]] == MODEL_CHECKS
        assert await succeeds(http, "/v1/activation/single", SINGLE)


async def test_checks_left_out_for_time_stay_so_without_an_idle_time(serve: Serve) -> None:
    async with httpx.AsyncClient(base_url=await serve(selftest_seconds=1e-9, selftest_idle_seconds=0)) as http:
        await asyncio.sleep(1)
        assert all(check["passed"] is None for check in (await selftest(http))["checks"])


async def test_a_lack_of_memory_is_reported(serve: Serve) -> None:
    async with httpx.AsyncClient(base_url=await serve(selftest_bytes=1000)) as http:
        report = await selftest(http)
        (blocks,) = [check for check in report["checks"] if check["name"] == "blocks"]
        assert blocks["passed"] is None and "the limit is 1,000" in blocks["words"]
        assert report["state"] == "passed" and await succeeds(http, "/v1/activation/single", SINGLE)


def test_the_full_form_in_the_terminal(
    settings: MakeSettings, recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(settings(sae_folder=recorded, max_loaded_saes=1)) == 1
    lines = capsys.readouterr().out.splitlines()
    verdicts = {line[7:33].strip(): line[:7].strip() for line in lines[1:-1]}
    assert list(verdicts)[:6] == MODEL_CHECKS and {verdicts[name] for name in MODEL_CHECKS} == {"ok"}
    assert verdicts["reconstruction 1-small"] == "ok" and verdicts["reconstruction 2-small"] == "FAILED"
    assert verdicts["reconstruction 3-small"] == "-" and lines[-1] == "1 failed."
    assert command.run(settings(sae_folder=recorded, include_sae=("^1-",))) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing failed."


async def test_an_invalid_record_does_not_pass(serve: Serve, recorded: Path) -> None:
    (recorded / "1-small" / "probe.json").write_text(json.dumps({"l0": 3}))
    async with httpx.AsyncClient(base_url=await serve(sae_folder=recorded)) as http:
        assert not await succeeds(http, "/v1/activation/single", SINGLE)
        (check,) = [check for check in (await selftest(http))["checks"] if check["source"]]
        assert check["measured"] is None and "probe.json of 1-small is not a reconstruction record" in check["words"]
