"""Models and sources from the hub, served by a small hub on loopback: downloads, and the message of each refusal."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from memicos_engine.errors import LoadError
from memicos_engine.sources.source_selection import select_sources
from memicos_inference import model_loading
from memicos_inference.app import create_app
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.settings import Settings, read
from memicos_testing.models.small_hub import GPT2, RES_JB, SmallHub, asked_at, published
from memicos_testing.servers import free_port, running
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).parents[4]
CONFIG = ROOT / ".env.inference.gpt2-small.res-jb"
TEXT = "A whale, 1851."

Load = Callable[..., Any]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
async def running_hub(repositories: Path) -> AsyncIterator[tuple[SmallHub, str]]:
    hub = SmallHub(repositories)
    async with running(hub.app()) as url:
        yield hub, url


@pytest.fixture
async def hub(
    running_hub: tuple[SmallHub, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SmallHub]:
    """The hub with an empty cache of its own."""
    hub, url = running_hub
    hub.refusals.clear()
    hub.seen.clear()
    hub.tokens.clear()
    with asked_at(url, tmp_path / "cache", monkeypatch):
        yield hub


async def load(**values: Any) -> LoadedModel:
    own = {"model_id": GPT2, "include_sae": ("^[01]-res-jb$",)}
    settings = Settings(**own | values)
    return await asyncio.to_thread(model_loading.load_model, settings, lambda step, share: None)


async def unavailable(**values: Any) -> str:
    """Why the first source is unavailable; the model is served without sources."""
    served = await load(**values)
    assert served.source_cache.ids == () and served.weights == GPT2
    return next(iter(served.source_cache.unavailable.values()))


async def refusal(**values: Any) -> str:
    with pytest.raises(LoadError) as error:
        await load(**values)
    return str(error.value)


@pytest.mark.slow
async def test_the_shipped_config_runs_as_a_program(
    running_hub: tuple[SmallHub, str], repositories: Path, tmp_path: Path
) -> None:
    """`gpt2-small.res-jb` through SAELens' directory and the hub, with INCLUDE_SAE: this GPT-2 has two layers."""
    hub, url = running_hub
    hub.refusals.clear()
    port = free_port()
    environment = os.environ | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path),
        "INFERENCE_PORT": str(port),
        "INCLUDE_SAE": '["^[01]-res-jb$"]',
        "DEVICE": "cpu",
    }
    command = [sys.executable, "-m", "memicos_inference", "--env-file", str(CONFIG)]
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            health: dict[str, Any] = {}
            for _ in range(1200):
                try:
                    health = (await http.get("/health")).json()
                except httpx.ConnectError:
                    assert process.returncode is None
                if health.get("state") in ("ready", "failed"):
                    break
                await asyncio.sleep(0.1)
            assert health["state"] == "ready", health
            capabilities = (await http.get("/v1/capabilities")).json()
            body = {"model": "gpt2-small", "prompt": TEXT, "source": "1-res-jb", "index": "5"}
            single = (await http.post("/v1/activation/single", json=body)).json()
    finally:
        process.send_signal(signal.SIGINT)
        status = await asyncio.wait_for(process.wait(), 20)
    assert status == 0
    assert capabilities["model"] == "gpt2-small" and GPT2 in capabilities["accepted_models"]
    assert capabilities["weights"] == capabilities["origin"] == GPT2
    assert [source["id"] for source in capabilities["sources"]] == ["0-res-jb", "1-res-jb"]
    source = capabilities["sources"][1]
    assert source["hook"] == "blocks.1.hook_resid_pre" and source["prepend_bos"] and source["ignored_positions"] == [0]

    # by plain transformers and numpy: the lengths of decoder rows are folded into the values
    tokenizer = AutoTokenizer.from_pretrained(repositories / GPT2)
    ids = [0, *tokenizer(TEXT)["input_ids"]]
    hf = AutoModelForCausalLM.from_pretrained(repositories / GPT2).eval()
    with torch.inference_mode():
        hidden = hf(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0].double().numpy()
    weights = load_file(repositories / RES_JB / "blocks.1.hook_resid_pre" / "sae_weights.safetensors")
    before = (hidden - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    values = np.maximum(before, 0) * np.linalg.norm(weights["W_dec"], axis=1)
    assert single["token_ids"] == ids
    np.testing.assert_allclose(single["activation"]["values"], values[:, 5], rtol=1e-3, atol=1e-3)


async def test_only_the_needed_files_are_fetched_and_once(hub: SmallHub) -> None:
    served = await load()
    assert served.accepted_names == ("gpt2-small", GPT2) and served.weights == served.model.origin == GPT2
    assert served.source_cache.ids == ("0-res-jb", "1-res-jb")
    assert not [path for path in hub.seen if "onnx" in path] and hub.tokens == {""}
    for source_id in served.source_cache.ids:
        source = await asyncio.to_thread(served.source_cache.get, source_id)
        assert source.decoder_row(3).norm().item() == pytest.approx(1, abs=1e-5)
    weights = f"/{GPT2}/resolve/"
    fetched = [path for path in hub.seen if path.startswith(weights) and path.endswith("model.safetensors")]
    hub.seen.clear()
    await load()
    assert fetched and not [path for path in hub.seen if path.startswith(weights)]


async def test_sources_by_release(hub: SmallHub) -> None:
    served = await load(sae_sets=("saelens:gpt2-small-res-jb/blocks.1.hook_resid_pre",), include_sae=())
    assert served.source_cache.ids == ("1-res-jb",) and served.accepted_names == ("gpt2-small", GPT2)
    source = await asyncio.to_thread(served.source_cache.get, "1-res-jb")
    assert source.hook_name == "blocks.1.hook_resid_pre"
    served = await load(sae_sets=("saelens:gpt2-small-res-jb",))
    assert served.source_cache.ids == ("0-res-jb", "1-res-jb")
    assert "has no blocks.2.hook_resid, only blocks.0" in await unavailable(
        sae_sets=("saelens:gpt2-small-res-jb/blocks.2.hook_resid",)
    )


async def test_short_names_and_the_three_ids(hub: SmallHub) -> None:
    served = await load(model_id="gpt2-small", override_model_id="gpt2-small")
    assert served.accepted_names == ("gpt2-small", GPT2) and served.weights == GPT2
    other = await load(model_id="gpt2-small", override_model_id="meta-llama/Llama-3.1-8B", custom_hf_model_id=GPT2)
    assert (
        other.accepted_names[0] == "gpt2-small"
        and "meta-llama/Llama-3.1-8B" in other.accepted_names
        and other.weights == GPT2
    )
    assert not [path for path in hub.seen if "Llama" in path]


async def test_fetched_files_are_used_without_the_hub(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    await load()
    hub.seen.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert (await load()).source_cache.ids == ("0-res-jb", "1-res-jb")
    assert hub.seen == []


async def test_a_folder_in_the_hubs_cache_layout_runs(
    repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache layout of `huggingface_hub`, without a hub."""
    for repo in (GPT2, RES_JB):
        folder = tmp_path / f"models--{repo.replace('/', '--')}"
        (folder / "snapshots").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "snapshots" / ("0" * 40)).symlink_to(repositories / repo)
        (folder / "refs" / "main").write_text("0" * 40)
    with asked_at(f"http://127.0.0.1:{free_port()}", tmp_path, monkeypatch):
        assert (await load()).source_cache.ids == ("0-res-jb", "1-res-jb")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", f"The hub has no repository {GPT2}, or it is private"),
        ("gated", f"{GPT2} is gated: accept its licence at http"),
        ("limited", f"answered 429 for {GPT2}. Restart in 120 s"),
        ("down", f"The hub answered with status 502 for {GPT2}"),
        ("bad token", f"The hub refuses HF_TOKEN for {GPT2} (status 401)"),
    ],
)
async def test_each_refusal_of_the_model_has_its_message(hub: SmallHub, fault: str, message: str) -> None:
    hub.refusals[GPT2] = fault
    assert message in await refusal(sae_sets=())


async def test_a_gated_model_with_a_token_that_has_no_access(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    hub.refusals[GPT2] = "gated"
    message = await refusal(sae_sets=(), hf_token="hf_secret")
    assert f"{GPT2} is gated, and the account of HF_TOKEN has no access" in message and "hf_secret" not in message
    assert hub.tokens == {"hf_secret"}


async def test_an_unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unused_url = f"http://127.0.0.1:{free_port()}"
    with asked_at(unused_url, tmp_path, monkeypatch):
        message = await refusal(sae_sets=())
        assert f"{GPT2} is not in the cache, and the hub cannot be reached at {unused_url}" in message
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE forbids to fetch it" in await refusal(sae_sets=())


async def test_the_hub_is_tried_for_the_first_source_only(
    running_hub: tuple[SmallHub, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot be reached; the further sources are those that the cache has."""
    waits: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", waits.append)
    hub, url = running_hub
    hub.refusals.clear()
    with asked_at(url, tmp_path, monkeypatch):
        await load(include_sae=("^1-res-jb$",))
    unused_url = f"http://127.0.0.1:{free_port()}"
    with asked_at(unused_url, tmp_path, monkeypatch):
        settings = Settings(model_id=GPT2, include_sae=("^[0-4]-res-jb$",))
        selection = model_loading.source_selection(settings, "cpu")
        candidates = select_sources(selection, lambda step, share: None).candidates
        entries, errors = await asyncio.to_thread(
            model_loading.read_source_info, candidates, selection, lambda step, share: None
        )
    assert [entry.info.id for entry in entries] == ["1-res-jb"]
    assert list(errors) == ["0-res-jb", "2-res-jb", "3-res-jb", "4-res-jb"]
    reason = f"{RES_JB} is not in the cache, and the hub cannot be reached at {unused_url} (ConnectError: "
    assert all(reason in message for message in errors.values()), errors
    # the retries of one request
    assert len(waits) == 5


async def test_each_refusal_of_a_source_has_its_message(hub: SmallHub) -> None:
    hub.refusals[RES_JB] = "missing"
    assert f"Source 0-res-jb: The hub has no repository {RES_JB}" in await unavailable()
    hub.refusals[RES_JB] = "gated"
    assert f"Source 0-res-jb: {RES_JB} is gated" in await unavailable()
    hub.refusals.clear()
    message = await unavailable(include_sae=("^7-",))
    assert f"Source 7-res-jb: {RES_JB} is on the hub, but lacks a file that is needed: blocks.7" in message


async def test_a_required_source_is_refused_before_the_model_is_fetched(hub: SmallHub) -> None:
    own = Settings(model_id=GPT2, include_sae=("^7-",))
    with pytest.raises(LoadError, match="lacks a file that is needed"):
        await asyncio.to_thread(model_loading.load_model, own, lambda step, share: None, require_sources=True)
    assert not [path for path in hub.seen if GPT2 in path]


async def test_an_impossible_repository_name(hub: SmallHub) -> None:
    assert "is not a valid name of a repository on the hub" in await refusal(custom_hf_model_id="a b/c", sae_sets=())


async def test_sources_of_wider_activations_are_refused(hub: SmallHub, repositories: Path) -> None:
    file = repositories / RES_JB / "blocks.0.hook_resid_pre" / "cfg.json"
    content = file.read_text()
    file.write_text(json.dumps(json.loads(content) | {"d_in": 768}))
    try:
        message = await unavailable(include_sae=("^0-",))
    finally:
        file.write_text(content)
    assert "takes activations of width 768, but blocks.0.hook_resid_pre" in message and "has 32" in message


async def test_folders_of_a_repository(hub: SmallHub) -> None:
    name = RES_JB.partition("/")[2]
    served = await load(sae_sets=(f"hf:{RES_JB}",), include_sae=())
    assert served.source_cache.ids == (f"0-{name}", f"1-{name}") and served.sae_sets == (name,)
    source = await asyncio.to_thread(served.source_cache.get, f"1-{name}")
    assert source.hook_name == "blocks.1.hook_resid_pre" and source.d_sae == 96
    hub.seen.clear()
    served = await load(sae_sets=(f"hf:{RES_JB}/blocks.0.hook_resid_pre@saelens",), include_sae=())
    assert served.source_cache.ids == ("0-blocks.0.hook_resid_pre",)
    assert not [path for path in hub.seen if "blocks.1" in path]


async def test_only_the_named_folder_is_fetched(hub: SmallHub) -> None:
    await load(sae_sets=(f"hf:{RES_JB}/blocks.0.hook_resid_pre",), include_sae=())
    fetched = [path for path in hub.seen if RES_JB in path and "/resolve/" in path]
    assert fetched and not [path for path in fetched if "blocks.1" in path]


async def test_an_unavailable_repository_does_not_affect_the_others(hub: SmallHub) -> None:
    served = await load(sae_sets=("res-jb", "hf:nobody/nothing"))
    assert served.source_cache.ids == ("0-res-jb", "1-res-jb")
    assert "The hub has no repository nobody/nothing" in served.source_cache.unavailable["hf:nobody/nothing"]
    assert "has no repository nobody/nothing" in await unavailable(sae_sets=("hf:nobody/nothing",))


async def test_a_repository_is_added_while_the_server_runs(hub: SmallHub, repositories: Path) -> None:
    own = {"model_id": GPT2, "sae_sets": (), "secret": "sesame", "sae_roots": ("hf:jbloom",)}
    async with (
        running(create_app(Settings(**own))) as url,  # pyright: ignore[reportArgumentType]
        httpx.AsyncClient(base_url=url, headers={"X-SECRET-KEY": "sesame"}, timeout=60) as http,
    ):
        for _ in range(600):
            if (await http.get("/health")).json()["ready"]:
                break
            await asyncio.sleep(0.05)
        spec = f"hf:{RES_JB}/blocks.1.hook_resid_pre"
        response = await http.post("/v1/admin/sources", json={"spec": spec})
        assert (response.status_code, response.json()) == (200, {"added": ["1-blocks.1.hook_resid_pre"]})
        response = await http.post("/v1/admin/sources", json={"spec": "hf:jbloom/nothing"})
        assert response.status_code == 400 and "The hub has no repository jbloom/nothing" in response.json()["error"]
        response = await http.post("/v1/admin/sources", json={"spec": "hf:jb/nothing"})
        assert response.status_code == 403
        # a source of SAELens' directory: the repository that it names is checked
        status = [
            (await http.post("/v1/admin/sources", json={"spec": spec})).status_code for spec in ("res_fs768-jb", "x")
        ]
        assert 400 in status


def test_the_shipped_configs_name_sources_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of SAELens' directory, without a request to the hub."""
    from memicos_engine.model import model_names
    from memicos_engine.sources import source_selection

    expected = {
        "gpt2-small.res-jb": (13, "gpt2-small", GPT2),
        "gemma-2-2b-it.gemmascope-res-16k": (26, "gemma-2-2b", "google/gemma-2-2b-it"),
        "deepseek-r1-distill-llama-8b.llamascope-slimpj-res-32k": (
            1,
            "deepseek-r1-distill-llama-8b",
            "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        ),
    }
    for name in ("MODEL_ID", "INCLUDE_SAE", "SAE_SETS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for config, (n_sources, model, weights) in expected.items():
        settings = read(ROOT / f".env.inference.{config}")
        choice = source_selection.select_sources(
            model_loading.source_selection(settings, "cpu"), lambda step, share: None
        )
        location = model_names.locate_weights(settings.models)
        assert len(choice.candidates) == n_sources and location.display_name == weights
        accepted = model_names.accepted_model_names(settings.models, choice.registry_models, location)
        assert accepted[0] == model and {settings.model_id, settings.override_model_id, weights} <= set(accepted)
