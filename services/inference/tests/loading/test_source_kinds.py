"""Sources of all kinds: by folder, neurons, unavailable ones, many of them, within a budget of bytes."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import torch
from memicos_inference import model_loading
from memicos_inference.settings import Settings
from memicos_testing.models.foreign_saes import LAYOUTS, random_weights, write_saelens
from memicos_testing.models.small_model import NAME, small_sae
from memicos_testing.servers import Serve

TEXT = "Alice was beginning to get very tired of sitting by her sister"
MakeSettings = Callable[..., Settings]
D_MODEL = 128


def body(source: str, index: int = 3) -> dict[str, Any]:
    return {"model": NAME, "prompt": TEXT, "source": source, "index": index}


async def test_folders_of_other_libraries_by_path(serve: Serve, hf: Any, tokenize: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    weights = {
        name: random_weights(layer, D_MODEL, 64, seed=layer) for layer, name in enumerate(("gemma-scope", "openai"))
    }
    for name, source_weights in weights.items():
        LAYOUTS[name].write(run / name, source_weights)
    url = await serve(sae_folder=None, sae_sets=(f"path:{run}",))
    ids = tokenize(TEXT)
    with torch.inference_mode():
        states = hf(torch.tensor([ids]), output_hidden_states=True).hidden_states
    async with httpx.AsyncClient(base_url=url) as http:
        listed = (await http.get("/v1/capabilities")).json()
        assert [source_weights["id"] for source_weights in listed["sources"]] == ["0-run", "1-run"] and listed[
            "sae_sets"
        ] == ["run"]
        for name, source_weights in weights.items():
            values, near_threshold = LAYOUTS[name].encode(source_weights, states[source_weights.layer + 1][0].numpy())
            index = int((values > 0).sum(0).argmax())
            response = (
                await http.post("/v1/activation/single", json=body(f"{source_weights.layer}-run", index))
            ).json()
            expected = np.where(near_threshold[:, index], 0, response["activation"]["values"])
            np.testing.assert_allclose(expected, np.where(near_threshold, 0, values)[:, index], rtol=1e-3, atol=1e-3)
            assert response["token_ids"] == ids


async def test_neurons(serve: Serve, hf: Any, tokenize: Any) -> None:
    """The input of down_proj is the MLP neurons."""
    url = await serve(sae_folder=None, sae_sets=("neurons",), include_sae=("^[12]$",))
    ids = tokenize(TEXT)[1:]  # the tokenizer does not prepend BOS by itself
    seen: list[torch.Tensor] = []
    handle = hf.model.layers[2].mlp.down_proj.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.inference_mode():
        hf(torch.tensor([ids]))
    handle.remove()
    expected = seen[0][0].numpy()
    async with httpx.AsyncClient(base_url=url) as http:
        sources = (await http.get("/v1/capabilities")).json()["sources"]
        assert [(source["id"], source["source_set"], source["architecture"]) for source in sources] == [
            ("1", "neurons", "neurons"),
            ("2", "neurons", "neurons"),
        ]
        assert sources[0]["hook"] == "blocks.1.mlp.hook_post" and sources[0]["d_sae"] == expected.shape[1]
        response = (await http.post("/v1/activation/single", json=body("2", 7))).json()
        assert response["token_ids"] == ids
        np.testing.assert_allclose(response["activation"]["values"], expected[:, 7], rtol=1e-3, atol=1e-4)
        request = {"model": NAME, "prompt": TEXT, "source": "2", "top_k": 3, "ignore_bos": False}
        row = (await http.post("/v1/activation/topk-by-token", json=request)).json()["results"][4]["top_features"]
        best = np.argsort(-expected[4])[:3]
        assert [item["feature_index"] for item in row] == best.tolist()
        request = {"model": NAME, "prompt": TEXT, "source_set": "neurons", "selected_sources": ["2"]}
        top_feature = (await http.post("/v1/activation/all", json=request)).json()["activations"][0]
        assert top_feature["index"] == int(expected.max(0).argmax())
        wrong = await http.post("/v1/activation/single", json=body("2", expected.shape[1]))
        assert wrong.status_code == 400 and "has features 0 to 340" in wrong.json()["error"]


async def test_an_unavailable_source_does_not_affect_the_others(serve: Serve, tmp_path: Path) -> None:
    for layer in (1, 2, 3):
        small_sae(tmp_path / f"{layer}-small", layer, 16)
    config = json.loads((tmp_path / "2-small" / "cfg.json").read_text())
    hook = config["metadata"] | {"hook_name": "blocks.2.hook_nothing"}
    (tmp_path / "2-small" / "cfg.json").write_text(json.dumps(config | {"metadata": hook}))
    weights = tmp_path / "3-small" / "sae_weights.safetensors"
    content = weights.read_bytes()
    url = await serve(sae_folder=tmp_path, sae_sets=("small", f"path:{tmp_path}/gone"))
    async with httpx.AsyncClient(base_url=url) as http:
        listed = (await http.get("/v1/capabilities")).json()
        assert [source["id"] for source in listed["sources"]] == ["1-small", "3-small"]
        reasons = {source["id"]: source["error"] for source in listed["unavailable_sources"]}
        assert "Unknown hook 'blocks.2.hook_nothing'" in reasons["2-small"]
        assert "gone is no folder" in reasons[f"path:{tmp_path}/gone"]
        health = (await http.get("/health")).json()
        assert health["ready"]
        refused = await http.post("/v1/activation/single", json=body("2-small"))
        assert refused.status_code == 503 and refused.json()["error"] == reasons["2-small"]
        chosen = {"model": NAME, "prompt": TEXT, "source_set": "small", "selected_sources": ["2-small"]}
        refused = await http.post("/v1/activation/all", json=chosen)
        assert refused.status_code == 503 and refused.json()["error"] == reasons["2-small"]
        # a source damaged after the start
        weights.write_bytes(content[:-10])
        refused = await http.post("/v1/activation/single", json=body("3-small"))
        assert refused.status_code == 503 and "Source 3-small" in refused.json()["error"]
        assert (await http.post("/v1/activation/single", json=body("1-small"))).status_code == 200
        # it is served again after the repair
        weights.write_bytes(content)
        assert (await http.post("/v1/activation/single", json=body("3-small"))).status_code == 200


async def test_sources_over_the_memory_limit_are_refused_with_both_numbers(serve: Serve) -> None:
    url = await serve(sae_sets=("small",), sae_bytes=250_000)
    async with httpx.AsyncClient(base_url=url) as http:
        for source in ("1-small", "2-small", "3-small", "1-small"):
            assert (await http.post("/v1/activation/single", json=body(source))).status_code == 200
        everything = {"model": NAME, "prompt": TEXT, "source_set": "small"}
        refused = await http.post("/v1/activation/all", json=everything)
        assert refused.status_code == 400
        assert "3 requested SAEs take 301,056 bytes" in refused.json()["error"]
        assert "at most 250,000 are available (INFERENCE_SAE_BYTES)" in refused.json()["error"]


def test_two_hundred_sources_start_fast_and_stay_in_the_budget_of_twenty(
    settings: MakeSettings, tmp_path: Path
) -> None:
    first = write_saelens(tmp_path / "1-many", random_weights(1, D_MODEL, 256))
    for number in range(1, 200):
        # hard links, so that the test writes little data
        shutil.copytree(first, tmp_path / f"1-many{number}", copy_function=_link)
    names = ("many", *(f"many{number}" for number in range(1, 200)))
    source_bytes = 256 * (2 * D_MODEL + 4) * 4 + D_MODEL * 4
    process = psutil.Process()
    served = model_loading.load_model(settings(sae_folder=tmp_path, sae_sets=names), lambda step, share: None)
    started = time.process_time()
    served = model_loading.load_model(
        settings(sae_folder=tmp_path, sae_sets=names, sae_bytes=20 * source_bytes), lambda message, share: None
    )
    seconds = time.process_time() - started
    assert len(served.source_cache.ids) == 200 and served.source_cache.loaded == frozenset()
    # 10 ms a source, and the model; measured 3 ms
    assert seconds < 10, seconds
    before = process.memory_info().rss
    for source_id in served.source_cache.ids:
        served.source_cache.get(source_id)
        assert served.source_cache.nbytes(served.source_cache.loaded) <= 20 * source_bytes
    assert len(served.source_cache.loaded) == 20 and served.source_cache.ids[-1] in served.source_cache.loaded
    grown = process.memory_info().rss - before
    assert grown < 40 * source_bytes, grown


def _link(source: str, target: str) -> str:
    Path(target).hardlink_to(source)
    return target
