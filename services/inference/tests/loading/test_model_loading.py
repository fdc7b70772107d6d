"""Loading from local folders: the served model and sources, and the message of each failure."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.errors import LoadError
from memicos_engine.model import memory
from memicos_inference import model_loading
from memicos_inference.loaded_model import LoadedModel
from memicos_testing.models.small_model import NAME, small_sae
from safetensors.torch import load_file, save_file

Load = Callable[..., LoadedModel]


@pytest.fixture
def load(settings: Callable[..., Any]) -> Load:
    def from_settings(**values: Any) -> LoadedModel:
        return model_loading.load_model(settings(**values), lambda message, share: None)

    return from_settings


def refusal(load: Load, **values: Any) -> str:
    with pytest.raises(LoadError) as error:
        load(**values)
    return str(error.value)


def unavailable(load: Load, **values: Any) -> str:
    """Why the only source is unavailable; the model is served without it."""
    served = load(**values)
    (message,) = served.source_cache.unavailable.values()
    assert served.source_cache.ids == () and served.model.n_layers == 4
    return message


def test_progress_is_reported_with_step_and_fraction(settings: Callable[..., Any]) -> None:
    progress: list[tuple[str, float]] = []
    served = model_loading.load_model(settings(), lambda message, share: progress.append((message, share)))
    shares = [share for _, share in progress]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1
    message = [message for message, _ in progress]
    assert (
        message[0] == "importing torch"
        and f"loading {NAME}" in message
        and "reading the configuration of 2-top (4 of 4)" in message
    )
    assert served.accepted_names == (NAME,) and served.weights == NAME and served.sae_sets == ("small", "top")
    assert served.source_cache.ids == ("1-small", "2-small", "3-small", "2-top")
    assert served.source_cache.loaded == set()


def test_patterns_choose_sources(load: Load) -> None:
    served = load(include_sae=("^[12]-", "3-small"), exclude_sae=("^1", "top$"))
    assert served.source_cache.ids == ("2-small", "3-small")
    message = refusal(load, include_sae=("^7-",))
    assert "No source is left by INCLUDE_SAE=['^7-']" in message and "1-small" in message


def test_a_variant_is_a_set_of_its_own(load: Load, sources_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sources_folder / "1-small", tmp_path / "1-small__again")
    shutil.copytree(sources_folder / "1-small", tmp_path / "1-small")
    assert load(sae_folder=tmp_path, sae_sets=("small",)).source_cache.ids == ("1-small",)
    loaded_twice = load(sae_folder=tmp_path, sae_sets=("small", "small__again"))
    assert loaded_twice.source_cache.ids == ("1-small", "1-small__again") and loaded_twice.sae_sets == ("small",)


def test_a_model_runs_without_sources(load: Load) -> None:
    served = load(sae_sets=(), sae_folder=None)
    assert served.source_cache.ids == () and not served.prepend_bos


def test_sources_are_required_by_request(settings: Callable[..., Any], tmp_path: Path) -> None:
    """Before the model is loaded, where the source cannot be read."""
    steps: list[str] = []

    def required(**values: Any) -> str:
        steps.clear()
        with pytest.raises(LoadError) as error:
            own = settings(**values)
            model_loading.load_model(own, lambda message, share: steps.append(message), require_sources=True)
        return str(error.value)

    assert "no source set none (SAE_SETS)" in required(sae_sets=("small", "none"))
    assert f"loading {NAME}" not in steps
    folder = small_sae(tmp_path / "9-wide", 1, 16)
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"]["hook_name"] = "blocks.9.hook_resid_post"
    (folder / "cfg.json").write_text(json.dumps(config))
    assert "does not fit" in required(sae_sets=(f"path:{folder}", "small")) and f"loading {NAME}" in steps


def test_dtypes_follow_the_settings(load: Load) -> None:
    served = load(model_dtype="bfloat16", sae_dtype="float16", sae_sets=("small",))
    assert served.model.dtype == torch.bfloat16
    assert served.source_cache.get("1-small").decoder_row(0).dtype == torch.float16


def test_a_missing_model_name_is_reported(load: Load, tmp_path: Path) -> None:
    assert "set MODEL_ID" in refusal(load, model_id="", custom_hf_model_id=None)
    missing = str(tmp_path / "none")
    assert f"There is no folder {missing} (CUSTOM_HF_MODEL_ID)" in refusal(load, custom_hf_model_id=missing)
    message = refusal(load, model_id="gpt-nonsense", custom_hf_model_id=None, sae_sets=())
    assert "gpt-nonsense (MODEL_ID) is neither a folder nor a hub id" in message
    assert "There is no folder" in unavailable(load, sae_sets=("small",), sae_folder=tmp_path / "none")


def test_an_unknown_set_lists_the_known(load: Load, sources_folder: Path) -> None:
    message = unavailable(load, sae_sets=("res-jb",))
    assert "There is no source set res-jb (SAE_SETS)" in message and "SAE_FOLDER has small, top" in message
    assert f"SAELens' directory has no sources for {NAME}" in message
    assert "res-jb, res_fs" in unavailable(load, model_id="gpt2-small", sae_sets=("res-jbb",), sae_folder=None)


def test_a_missing_device_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "cuda:1", "mps"):
        assert f"There is no device {device} (DEVICE)" in refusal(load, device=device)
    assert model_loading.pick_device("auto") == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert model_loading.pick_device("auto") == "mps"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert model_loading.pick_device("auto") == "cuda" and model_loading.pick_device("cuda:1") == "cuda:1"
    assert "only cuda:0, cuda:1, mps, cpu" in refusal(load, device="cuda:2")


def test_damaged_model_files_are_named(load: Load, model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "broken")
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    message = refusal(load, custom_hf_model_id=str(folder))
    assert "model.safetensors of broken (CUSTOM_HF_MODEL_ID) is damaged" in message and str(tmp_path) not in message
    weights.write_bytes(b"\xff" * 16)
    assert "is damaged" in refusal(load, custom_hf_model_id=str(folder))
    weights.unlink()
    weights.symlink_to(tmp_path / "gone")
    message = refusal(load, custom_hf_model_id=str(folder))
    assert "model.safetensors of broken (CUSTOM_HF_MODEL_ID) cannot be read: No such file" in message
    weights.unlink()
    assert "no weights as safetensors" in refusal(load, custom_hf_model_id=str(folder))
    weights.write_bytes(content)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "unheard-of"}))
    assert "broken (CUSTOM_HF_MODEL_ID) is not a model that can be loaded" in refusal(
        load, custom_hf_model_id=str(folder)
    )
    (folder / "config.json").unlink()
    assert "has no config.json" in refusal(load, custom_hf_model_id=str(folder))


def test_a_model_with_its_own_code_is_refused(load: Load, model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "own-code")
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "own",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    marker = tmp_path / "it ran"
    (folder / "code.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    assert "own-code (CUSTOM_HF_MODEL_ID) is not a model that can be loaded" in refusal(
        load, custom_hf_model_id=str(folder)
    )
    assert not marker.exists()


def test_sources_of_another_model_are_refused(load: Load, sources_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sources_folder / "1-small", tmp_path / "1-small")
    config = json.loads((folder / "cfg.json").read_text())

    def with_hook(name: str) -> str:
        (folder / "cfg.json").write_text(json.dumps(config | {"metadata": config["metadata"] | {"hook_name": name}}))
        return unavailable(load, sae_folder=tmp_path, sae_sets=("small",))

    assert "1-small does not fit" in with_hook("blocks.9.hook_resid_post")
    assert "layers 0 to 3" in with_hook("blocks.9.hook_resid_post")
    assert "Unknown hook 'blocks.1.hook_nothing'" in with_hook("blocks.1.hook_nothing")
    (folder / "cfg.json").write_text(json.dumps(config | {"d_in": 64}))
    assert "its weights have d_in 128, but its configuration has 64" in unavailable(
        load, sae_folder=tmp_path, sae_sets=("small",)
    )
    narrow = load_file(folder / "sae_weights.safetensors")
    narrow |= {"W_enc": narrow["W_enc"][:64], "W_dec": narrow["W_dec"][:, :64], "b_dec": narrow["b_dec"][:64]}
    save_file({name: tensor.contiguous() for name, tensor in narrow.items()}, folder / "sae_weights.safetensors")
    message = unavailable(load, sae_folder=tmp_path, sae_sets=("small",))
    assert "takes activations of width 64, but blocks.1.hook_resid_post of" in message and "has 128" in message


def test_damaged_sources_are_named(load: Load, tmp_path: Path) -> None:
    folder = small_sae(tmp_path / "1-small", 1, 16)
    weights = folder / "sae_weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-10])
    assert f"Source 1-small: {folder} is not a source" in unavailable(load, sae_folder=tmp_path, sae_sets=("small",))
    weights.write_bytes(content)
    (folder / "cfg.json").write_text("{")
    assert "Source 1-small" in unavailable(load, sae_folder=tmp_path, sae_sets=("small",))


def test_a_source_damaged_later_is_reported_when_requested(load: Load, tmp_path: Path) -> None:
    for layer in (1, 2):
        small_sae(tmp_path / f"{layer}-small", layer, 16)
    served = load(sae_folder=tmp_path, sae_sets=("small",), max_loaded_saes=1)
    (tmp_path / "2-small" / "sae_weights.safetensors").write_bytes(b"")
    with pytest.raises(LoadError, match="Source 2-small"):
        served.source_cache.get("2-small")
    assert served.source_cache.get("1-small").id == "1-small"


def test_pickles_are_never_loaded(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also if the environment tells torch to load pickles."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    load()

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it ran",))

    torch.save(Harmful(), tmp_path / "weights.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(tmp_path / "weights.pt")
    assert not (tmp_path / "it ran").exists()


def test_weights_without_a_needed_tensor_are_refused(load: Load, model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "lacking")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lacking (CUSTOM_HF_MODEL_ID)" in refusal(load, custom_hf_model_id=str(folder))


def write_huge_weights(folder: Path, terabytes: float) -> None:
    """Replace the weights by a file with a valid header that takes no disk space."""
    rows = int(terabytes * 1024**4 / 4 / 1024)
    tensor = {"dtype": "F32", "shape": [rows, 1024], "data_offsets": [0, rows * 4096]}
    header = json.dumps({"lm_head.weight": tensor}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + rows * 4096)


def test_a_model_larger_than_the_memory_is_refused_before_its_weights_are_read(
    load: Load, model_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "huge")
    write_huge_weights(folder, 2)
    message = refusal(load, custom_hf_model_id=str(folder))
    assert "huge (CUSTOM_HF_MODEL_ID) does not fit into memory: it needs 2048.00 GiB in float32" in message
    assert "GiB are available in the " in message and "INFERENCE_MEMORY_CHECK=0" in message and "\n" not in message
    assert "set MODEL_DTYPE=bfloat16" in message
    unchecked = refusal(load, custom_hf_model_id=str(folder), memory_check=False)
    assert "huge (CUSTOM_HF_MODEL_ID) does not fit into the memory of cpu" in unchecked
    message = refusal(load, custom_hf_model_id=str(folder), model_dtype="bfloat16")
    assert "it needs 1024.00 GiB in bfloat16" in message and "MODEL_DTYPE" not in message


def test_the_largest_source_counts_and_the_check_can_be_switched_off(
    load: Load, monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    weights = memory.weight_bytes(model_folder, torch.float32)
    limit = memory.AvailableMemory(weights + 1000, memory.CONTAINER)
    monkeypatch.setattr(memory, "available_on_host", lambda: limit)
    message = refusal(load)
    assert "raise the container's memory limit (INFERENCE_MEMORY in deploy/docker/.env)" in message
    assert load(sae_sets=(), sae_folder=None).source_cache.ids == ()
    assert load(memory_check=False).source_cache.ids
