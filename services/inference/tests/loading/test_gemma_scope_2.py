"""A transcoder of Gemma Scope 2, from SAELens' directory and from its repository: added by the command, served by HTTP,
and compared with plain transformers and numpy. The hub is a small one on loopback, the model a tiny Gemma 3."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from memicos_cli.main import app
from memicos_inference import logs
from memicos_inference.app import create_app
from memicos_inference.settings import Settings, read
from memicos_testing.models import plain_model
from memicos_testing.models.foreign_saes import encode, random_weights, write_gemma_scope_2
from memicos_testing.models.small_hub import SmallHub, asked_at
from memicos_testing.models.tiny_models import tiny_model
from memicos_testing.servers import in_thread, running

REPOSITORY = "google/gemma-scope-2-1b-pt"
NAME = "layer_1_width_16k_l0_big_affine"
WIDTH, FEATURES = 32, 64
TEXT = "Alice was beginning to get very tired"
NORM = "model.layers.1.pre_feedforward_layernorm"
WEIGHTS = random_weights(1, WIDTH, FEATURES)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    hub = SmallHub(tmp_path / "hub")
    modules: dict[str, Any] = {
        "hf_hook_point_in": f"{NORM}.output",
        "hf_hook_point_out": "model.layers.1.post_feedforward_layernorm.output",
    }
    folder = hub.folder / REPOSITORY / "transcoder_all" / NAME
    write_gemma_scope_2(folder, WEIGHTS, affine=True, type="transcoder", **modules)
    with in_thread(hub.app()) as url, asked_at(url, tmp_path / "cache", monkeypatch):
        yield hub


def written_file(folder: Path) -> Path:
    (file,) = folder.glob(".env.inference.*")
    return file


@pytest.mark.parametrize(
    ("spec", "source"),
    [
        (
            f"saelens:gemma-scope-2-1b-pt-transcoders-all/{NAME}",
            "1-gemma-scope-2-1b-pt-transcoders-all-width_16k_l0_big_affine",
        ),
        (f"hf:{REPOSITORY}/transcoder_all", "1-transcoder_all-width_16k_l0_big_affine"),
    ],
)
async def test_a_transcoder_is_added_and_served_with_the_right_values(
    spec: str, source: str, hub: SmallHub, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        for name in getattr(field.validation_alias, "choices", [field.validation_alias]):
            monkeypatch.delenv(str(name), raising=False)
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # pytest's own handlers stay
    monkeypatch.setenv("DEVICE", "cpu")
    model = tiny_model(tmp_path / "tiny-gemma", "gemma3", model_folder)
    # random weights explain nothing
    arguments = ["sae", "add", spec, "--model", str(model), "--force"]
    assert await asyncio.to_thread(app, arguments, standalone_mode=False) == 0
    settings = read(written_file(tmp_path))
    assert settings.sae_sets == (spec,)

    hf = plain_model.load(model)
    captured: list[torch.Tensor] = []
    hf.get_submodule(NORM).register_forward_hook(lambda _module, _args, output: captured.append(output[0]))
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        while not (health := (await http.get("/health")).json())["ready"]:
            assert health["state"] != "failed", health["progress"]
            await asyncio.sleep(0.02)
        (description,) = (await http.get("/v1/capabilities")).json()["sources"]
        assert description["id"] == source
        assert description["hook"] == "blocks.1.pre_feedforward_layernorm.output"
        body = {"model": settings.model_id, "prompt": TEXT, "source": source, "index": 0}
        ids = (await http.post("/v1/activation/single", json=body)).json()["token_ids"]
        with torch.inference_mode():
            hf(torch.tensor([ids]))
        values, near = encode(WEIGHTS, captured[0].numpy(), "jump")
        compared = 0
        for index in np.argsort(-values[1:].max(0))[:8].tolist():
            response = await http.post("/v1/activation/single", json=body | {"index": index})
            assert response.status_code == 200, json.dumps(response.json())
            actual = np.array(response.json()["activation"]["values"])
            usable = ~near[:, index]
            usable[0] = False  # BOS
            np.testing.assert_allclose(actual[usable], values[usable, index], rtol=1e-3, atol=1e-3)
            compared += int((values[usable, index] > 0).sum())
        assert compared > 8
