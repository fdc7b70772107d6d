"""Which SAEs of SAELens' directory are served: what its loaders fix, and what only a configuration on the hub says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from memicos_engine.errors import SourceError
from memicos_engine.sources.config_checks import (
    CROSS_LAYER,
    REFUSED_ARCHITECTURES,
    check_activation_function,
    check_config,
)

if TYPE_CHECKING:  # SAELens imports torch
    from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup

DEFAULT_LOADER = "sae_lens"
"""SAELens' loader of releases that name none."""
MISSING_NORM_FACTOR = "it was trained on activations scaled to a norm, and SAELens' directory does not have the factor"
_SCALED = "expected_average_only_in"
_MLP_IN = re.compile(r"blocks\.([0-9]+)\.hook_mlp_in")
_DICTIONARY_CLASSES = (
    "AutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "MatryoshkaBatchTopKSAE",
)
"""Classes of dictionary_learning that SAELens' loader computes as that library does."""


@dataclass(frozen=True)
class Support:
    """Whether an SAE of the directory is served. `reason` states why it is refused, or what the hub decides."""

    status: Literal["served", "refused", "decided at add"]
    reason: str = ""


SUPPORT_BY_LOADER = {
    "sae_lens": Support("decided at add", "architecture, hook and normalisation are in its cfg.json"),
    "connor_rob_hook_z": Support("decided at add", "its hook is in its _cfg.json"),
    "gemma_2": Support("served"),
    "gemma_2_transcoder": Support("served"),
    "gemma_3": Support("served"),
    "llama_scope": Support("decided at add", "its hook is in its hyperparams.json"),
    "llama_scope_r1_distill": Support("decided at add", "its hook is in its config.json"),
    "dictionary_learning_1": Support("decided at add", "its class and module are in its config.json"),
    "deepseek_r1": Support("served"),
    "qwen_scope": Support("served"),
    "sparsify": Support("refused", "SAELens' loader of sparsify transposes the decoder; add the repository by hf:"),
    "mwhanna_transcoder": Support("served"),
    "mntss_clt_layer_transcoder": Support("refused", CROSS_LAYER),
    "temporal": Support("refused", REFUSED_ARCHITECTURES["temporal"]),
    "goodfire": Support("served"),
}
"""By SAELens' name of the loader (`conversion_func`). A loader serves an SAE if its code fixes architecture, hook and
normalisation, and all of them can be run."""

_NORMALIZING_LOADERS = ("llama_scope", "llama_scope_r1_distill")
"""Loaders whose SAEs were all trained on activations scaled to a norm."""


def published_support(loader: str, path: str, norm_scaling_factor: float | None) -> Support:
    """Whether the SAE at `path` of its repository is served. Raises KeyError for an unknown loader."""
    if loader == "gemma_3" and "clt" in path:  # as SAELens' loader recognises them
        return Support("refused", CROSS_LAYER)
    if loader in _NORMALIZING_LOADERS and norm_scaling_factor is None:
        return Support("refused", MISSING_NORM_FACTOR)
    return SUPPORT_BY_LOADER[loader]


def entry_support(entry: PretrainedSAELookup) -> dict[str, Support]:
    """Support of every SAE of a release, by SAELens' `sae_id`."""
    loader = entry.conversion_func or DEFAULT_LOADER
    return {
        sae_id: published_support(loader, path, entry.norm_scaling_factor.get(sae_id))
        for sae_id, path in entry.saes_map.items()
    }


def read_published_config(release: str, sae_id: str) -> dict[str, Any]:
    """SAELens' configuration of an SAE in its directory, with the hook of Gemma Scope 2's transcoders by module.

    Raises:
        SourceError: it cannot be served with right values. Where the directory alone tells, nothing is downloaded.
        OSError: the hub cannot be reached or refuses; huggingface_hub's errors derive from it.
    """
    from sae_lens.loading.pretrained_sae_loaders import (
        NAMED_PRETRAINED_SAE_CONFIG_GETTERS,
        get_conversion_loader_name,
        handle_config_defaulting,
    )
    from sae_lens.loading.pretrained_saes_directory import (
        get_config_overrides,
        get_norm_scaling_factor,
        get_repo_id_and_folder_name,
    )

    loader = get_conversion_loader_name(release)
    repo, path = get_repo_id_and_folder_name(release, sae_id)
    factor = get_norm_scaling_factor(release, sae_id)
    support = published_support(loader, path, factor)
    if support.status == "refused":
        raise SourceError(support.reason)
    raw = NAMED_PRETRAINED_SAE_CONFIG_GETTERS[loader](repo, path, "cpu", False, get_config_overrides(release, sae_id))
    # SAELens drops the name of the activation function, and runs relu
    check_activation_function(raw)
    if loader == "dictionary_learning_1":
        _check_dictionary(_read_json(repo, f"{path}/config.json"))
    config = check_config(handle_config_defaulting({**raw}))
    if config.get("normalize_activations") == _SCALED and factor is None:
        raise SourceError(MISSING_NORM_FACTOR)
    return {**config, "metadata": _with_module(config["metadata"])} if loader == "gemma_3" else config


def _with_module(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a transcoder of Gemma Scope 2 with the module that it reads, which some of its files omit."""
    match = _MLP_IN.fullmatch(str(metadata.get("hook_name")))
    if match is None or metadata.get("hf_hook_name"):
        return dict(metadata)
    return {**metadata, "hf_hook_name": f"model.layers.{match.group(1)}.pre_feedforward_layernorm.output"}


def _check_dictionary(config: Mapping[str, Any]) -> None:
    """Check a configuration of dictionary_learning for what SAELens' loader gets wrong.

    The loader runs ReLU for every class that it does not know, and reads every module's SAE at the residual stream.
    """
    trainer = config.get("trainer") or {}
    dict_class, module = trainer.get("dict_class"), str(trainer.get("submodule_name") or "resid_post")
    if dict_class not in _DICTIONARY_CLASSES:
        raise SourceError(f"its class is {dict_class}; SAELens has {', '.join(_DICTIONARY_CLASSES)}")
    if not module.startswith("resid_post") or (config.get("buffer") or {}).get("io", "out") != "out":
        raise SourceError(f"it was trained on {module}, and SAELens reads it at the residual stream")


def _read_json(repo: str, path: str) -> dict[str, Any]:
    from pathlib import Path

    from huggingface_hub import hf_hub_download

    from memicos_engine.sources.formats.files import read_json

    return read_json(Path(hf_hub_download(repo, path)))
