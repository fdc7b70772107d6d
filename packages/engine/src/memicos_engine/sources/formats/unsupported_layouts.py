"""Known layouts of files that are not served: the reason in place of "unknown layout"."""

from __future__ import annotations

from pathlib import Path

from memicos_engine.errors import SourceError
from memicos_engine.sources.config_checks import CROSS_LAYER, CROSSCODER
from memicos_engine.sources.formats.files import read_json, read_yaml


def check_layout(folder: Path) -> None:
    """Raises SourceError where the folder is in a known layout that is not served."""
    if reason := _refusal(folder):
        raise SourceError(f"{folder}: {reason}")


def _refusal(folder: Path) -> str | None:
    if any(folder.glob("params_layer_*.safetensors")):  # Gemma Scope 2
        config = folder / "config.json"
        kind = read_json(config).get("type") if config.is_file() else folder.parent.name
        return CROSSCODER if kind == "crosscoder" else CROSS_LAYER
    if any(folder.glob("W_dec_*.safetensors")) and any(folder.glob("W_enc_*.safetensors")):  # circuit-tracer
        return CROSS_LAYER
    if (folder / "config.yaml").is_file() and not any(folder.glob("*.safetensors")):
        sources = read_yaml(folder / "config.yaml").get("transcoders")
        if isinstance(sources, list) and sources:
            return f"its config.yaml names files of other repositories; add those, such as {sources[0]}"
    if (folder / "cc_weights.pt").is_file():  # github.com/ckkissane/crosscoder-model-diff-replication
        return CROSSCODER
    if (folder / "model.safetensors").is_file() and (folder / "config.json").is_file():
        # github.com/science-of-finetuning/dictionary_learning
        config = read_json(folder / "config.json")
        if {"activation_dim", "dict_size", "num_layers"} <= set(config):
            return CROSSCODER
    return None
