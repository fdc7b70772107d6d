"""`model check`: its output against files and loaded weights, and refusals."""

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from memicos_cli.main import app
from memicos_inference import logs
from memicos_inference.settings import Settings, read
from memicos_testing.models.model_classes import REFUSED, tiny_config
from memicos_testing.models.small_hub import GPT2, SmallHub, asked_at, published
from memicos_testing.servers import free_port, running
from safetensors import safe_open
from transformers import (
    AutoTokenizer,
    BloomConfig,
    DiffLlamaConfig,
    Gemma3Config,
    JetMoeConfig,
    MistralConfig,
    MixtralConfig,
    T5Config,
)

Check = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the command; return its status and output."""
    for field in Settings.model_fields.values():
        for name in getattr(field.validation_alias, "choices", [field.validation_alias]):
            monkeypatch.delenv(str(name), raising=False)
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # pytest's own handlers stay

    def run(model: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = app(["model", "check", model], standalone_mode=False)
        output, problem = capsys.readouterr()
        return status, output, problem

    return run


def refusal(check: Check, model: str) -> str:
    status, output, problem = check(model)
    assert (status, output) == (1, "")
    (line,) = problem.splitlines()
    assert line.startswith("refused: ")
    return line


def configured(folder: Path, model_folder: Path, config: Any) -> Path:
    """A configuration with a tokenizer, and no weights."""
    shutil.copytree(model_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config.save_pretrained(folder)
    return folder


def test_a_stored_model(check: Check, model_folder: Path, tmp_path: Path) -> None:
    with safe_open(model_folder / "model.safetensors", framework="np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    numbers = sum(int(rows) * (int(dimensions[0]) if dimensions else 1) for rows, *dimensions in shapes.values())
    keys = shapes["model.layers.0.self_attn.k_proj.weight"][0]
    neurons = shapes["model.layers.0.mlp.up_proj.weight"][0]
    status, output, problem = check(str(model_folder))
    assert (status, problem) == (0, "")
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "model glassllm-en: LlamaForCausalLM, 4 layers of width 128, vocabulary 1,024, context 128" in lines
    sizes = f"{4 * numbers / 1e6:.2f} MB in float32, {2 * numbers / 1e6:.2f} MB in 16 bit"
    assert f"weights {numbers:,} parameters: {sizes}" in lines
    stored = (model_folder / "model.safetensors").stat().st_size
    assert f"stored in float32, {stored / 1e6:.2f} MB" in lines
    assert f"keys and values {2 * 4 * keys * 4:,} bytes a token in float32, {2 * 4 * keys * 2:,} in 16 bit" in lines
    assert any(line.startswith("BOS <bos> (2); the tokenizer does not prepend it by default") for line in lines)
    assert "chat no template: conversations are ChatML" in lines
    assert "blocks.N.hook_resid_mid 128" in lines and f"blocks.N.mlp.hook_post {neurons}" in lines
    assert any(line.startswith("TransformerLens knows LlamaForCausalLM") for line in lines)
    # its lines are an env file of that model
    own = output.split("In an env file:")[1].split("# with sources of another model")
    (tmp_path / "own.env").write_text(own[0])
    settings = read(tmp_path / "own.env")
    assert settings.models.configured == ("glassllm-en", str(model_folder)) and settings.token_limit == 128
    assert f"CUSTOM_HF_MODEL_ID={model_folder}" in own[1] and "4 layers of width 128" in own[1]


def test_weights_are_not_needed_and_their_absence_is_reported(check: Check, model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "no-weights"
    shutil.copytree(model_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    status, output, _ = check(str(folder))
    assert status == 0 and "not there as safetensors: it cannot be served" in output
    index = {"metadata": {"total_size": 123_000_000}, "weight_map": {}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    output = check(str(folder))[1]
    assert "stored in bfloat16, 123 MB" in output and "MODEL_DTYPE=bfloat16" in output


def test_a_model_unknown_to_transformerlens_is_reported(check: Check, model_folder: Path, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"vocab_size": 1024, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
    unknown = configured(tmp_path / "unknown", model_folder, DiffLlamaConfig(**sizes, **heads))
    status, output, _ = check(str(unknown))
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert status == 0 and "TransformerLens does not know DiffLlamaForCausalLM: no other hooks are captured" in lines
    assert "blocks.N.hook_resid_post" in output and "blocks.N.hook_mlp_out: TransformerLens does not know" in output
    experts = configured(tmp_path / "experts", model_folder, MixtralConfig(**sizes, **heads, num_local_experts=4))
    status, output, problem = check(str(experts))
    assert (status, problem) == (0, "") and "blocks.N.hook_attn_out" in output
    grouped = configured(tmp_path / "grouped", model_folder, JetMoeConfig(**sizes, **heads, num_local_experts=4))
    status, output, problem = check(str(grouped))
    assert (status, problem) == (0, "") and "this model needs them to run" in output


def test_lengths_at_which_a_model_computes_differently(check: Check, model_folder: Path, tmp_path: Path) -> None:
    assert "texts of all lengths are computed alike" in check(str(model_folder))[1]
    sizes: dict[str, Any] = {"vocab_size": 1024, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2}
    config = MistralConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, sliding_window=4096)
    status, output, _ = check(str(configured(tmp_path / "window", model_folder, config)))
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert status == 0 and "4,096 sliding window" in lines
    assert any(line.startswith("unverified beyond 4,096 tokens until the server's self-test") for line in lines)


def test_a_model_that_a_load_refuses_is_refused(check: Check, model_folder: Path, tmp_path: Path) -> None:
    for name in ("bart", "deepseek_v4"):
        case, reason = REFUSED[name]
        line = refusal(check, str(configured(tmp_path / name, model_folder, tiny_config(case))))
        assert f"{name} (MODEL_ID) cannot be served: " in line and re.search(reason, line)


def test_a_model_that_cannot_be_served_is_refused(check: Check, model_folder: Path, tmp_path: Path) -> None:
    assert f"There is no folder {tmp_path}/gone" in refusal(check, f"{tmp_path}/gone")
    assert "nonsense (MODEL_ID) is neither a folder nor a hub id" in refusal(check, "nonsense")
    (tmp_path / "empty").mkdir()
    assert "empty (MODEL_ID) has no config.json" in refusal(check, str(tmp_path / "empty"))
    other = configured(tmp_path / "other", model_folder, T5Config())
    assert "other (MODEL_ID) is not a model that can be loaded" in refusal(check, str(other))
    config = json.loads((other / "config.json").read_text())
    marker = tmp_path / "it ran"
    (other / "code.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    for content in (config | {"model_type": "unheard-of"}, config | own):
        (other / "config.json").write_text(json.dumps(content))
        assert "other (MODEL_ID) is not a model that can be loaded" in refusal(check, str(other))
    (other / "config.json").write_text("{")
    assert "other (MODEL_ID) is not a model that can be loaded" in refusal(check, str(other))
    assert not marker.exists()


def test_tokens_without_an_embedding_row_are_warned_of(check: Check, model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "padded"
    shutil.copytree(model_folder, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[PAD]"]})
    tokenizer.save_pretrained(folder)
    status, output, _ = check(str(folder))
    assert status == 0 and "no embedding row for [PAD] (1024): texts with such a token are refused" in output


def test_the_text_part_of_a_multimodal_model(check: Check, model_folder: Path, tmp_path: Path) -> None:
    text = {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "head_dim": 16,
    }
    text |= {"num_key_value_heads": 2, "vocab_size": 1024, "max_position_embeddings": 256, "sliding_window": 16}
    vision = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    status, output, _ = check(str(configured(tmp_path / "gemma3", model_folder, config)))
    assert status == 0 and "Gemma3ForConditionalGeneration, 2 layers of width 64" in output and "context 256" in output


def test_a_model_without_a_stated_context(check: Check, model_folder: Path, tmp_path: Path) -> None:
    config = BloomConfig(vocab_size=1024, hidden_size=32, n_layer=2, n_head=4)
    status, output, _ = check(str(configured(tmp_path / "bloom", model_folder, config)))
    assert status == 0 and "BloomForCausalLM, 2 layers" in output and "context 2,048" in output


async def test_only_small_files_are_fetched_from_the_hub(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = SmallHub(published(tmp_path / "hub"))
    async with running(hub.app()) as url:
        with asked_at(url, tmp_path / "cache", monkeypatch):
            status, output, _ = await asyncio.to_thread(check, "gpt2-small")
            assert status == 0 and f"{GPT2}: GPT2LMHeadModel, 2 layers of width 32" in output
            assert "SAELens' directory has for gpt2-small: " in output and "res-jb" in output
            assert "MODEL_ID=gpt2-small\nSAE_SETS=" in output and "OVERRIDE_MODEL_ID=gpt2-small" in output
            assert not [path for path in hub.seen if path.endswith("safetensors")]
            for fault, message in (("gated", "is gated: accept its licence"), ("missing", "The hub has no repository")):
                hub.refusals["owner/other"] = fault
                (hub.folder / "owner" / "other").mkdir(parents=True, exist_ok=True)
                (hub.folder / "owner" / "other" / "config.json").write_text("{}")
                assert message in await asyncio.to_thread(refusal, check, "owner/other")
    with asked_at(f"http://127.0.0.1:{free_port()}", tmp_path / "none", monkeypatch):
        assert "the hub cannot be reached" in await asyncio.to_thread(refusal, check, "owner/other")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE forbids to fetch it" in await asyncio.to_thread(refusal, check, "owner/other")
