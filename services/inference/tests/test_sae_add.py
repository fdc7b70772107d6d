"""`sae add`: foreign SAEs added and served with their own numbers; what does not fit refused, and nothing written."""

import argparse
import asyncio
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import plain
import pytest
from foreign_saes import LAYOUTS, Weights, fitted_weights, random_weights, write_openai, write_saelens
from memicos_engine.errors import LoadError
from memicos_inference import configs, loading
from memicos_inference.app import create_app
from memicos_inference.commands import sae_add
from memicos_inference.errors import Unavailable
from memicos_inference.settings import Settings, read
from memicos_inference.verification import Verification
from safetensors.numpy import load_file, save_file
from servers import running
from small_model import NAME, hidden_on_sample, small_sae

TEXT = "Alice was beginning to get very tired of sitting by her sister"
Add = Callable[..., tuple[int, str, str]]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Add:
    """The command in an empty folder; gives its status and what it says."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        for name in getattr(field.validation_alias, "choices", [field.validation_alias]):
            monkeypatch.delenv(str(name), raising=False)
    monkeypatch.setenv("DEVICE", "cpu")
    parser = argparse.ArgumentParser()
    sae_add.define(parser.add_subparsers())

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        given = parser.parse_args(["sae", "add", *arguments])
        return given.run(given), *capsys.readouterr()

    return run


def fitted(name: str, layer: int) -> Weights:
    layout = LAYOUTS[name]
    return fitted_weights(layer, hidden_on_sample(layer), layout.centred, layout.normalized)


def files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


async def test_every_format_is_added_and_served_with_its_own_numbers(
    add: Add, model_folder: Path, hf: Any, tokenize: Any, tmp_path: Path
) -> None:
    layer, file = 2, f".env.inference.{NAME}.saelens"
    weights = {name: fitted(name, layer) for name in LAYOUTS}
    for number, (name, one) in enumerate(weights.items()):
        LAYOUTS[name].write(tmp_path / "saes" / name, one)
        where = ("--env-file", file) if number else ("--model", str(model_folder))
        status, said, problem = add(f"path:saes/{name}", *where)
        assert (status, problem) == (0, ""), (name, said, problem)
        assert f"80 features, at blocks.{layer}.hook_resid_post" in said
        assert f"written to {file}: SAE_SETS is" in said and f"path:{tmp_path}/saes/{name}" in said
        assert f"serve it: make inference-localhost-dev MODEL_SOURCESET={NAME}.saelens" in said
    settings = read(Path(file))
    assert len(settings.sae_sets) == len(LAYOUTS) and settings.model_id == NAME and settings.token_limit == 1024
    assert len(list((tmp_path / ".data" / "probes").iterdir())) == len(LAYOUTS)

    ids = tokenize(TEXT)
    hidden = plain.residuals(hf, ids, [layer])[layer]
    async with (
        running(create_app(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
    ):
        while not (health := (await http.get("/health")).json())["ready"]:
            assert health["state"] != "failed", health["progress"]
            await asyncio.sleep(0.02)
        for name, one in weights.items():
            values, near = LAYOUTS[name].encode(one, hidden)
            index = int(np.where(near, 0, values).sum(0).argmax())
            source = f"{layer}-{'layers.2' if name == 'sparsify' else name}"
            source = source if name != "sparsify" else f"{layer}-sparsify"
            body = {"model": NAME, "prompt": TEXT, "source": source, "index": index}
            answer = await http.post("/v1/activation/single", json=body)
            assert answer.status_code == 200, answer.text
            found = answer.json()["activation"]["values"]
            assert max(found) > 1
            np.testing.assert_allclose(
                np.where(near[:, index], 0, found), np.where(near, 0, values)[:, index], rtol=1e-3, atol=1e-3
            )
        checks = (await http.get("/health")).json()["selftest"]["checks"]
        of_sources = [check for check in checks if check["source"]]
        assert len(of_sources) == len(LAYOUTS) and all(check["passed"] for check in of_sources)
