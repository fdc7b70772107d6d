"""Values of one SAE feature by numpy, from the files of the SAE's weights.

Two layouts are read: SAELens' folders (cfg.json and sae_weights.safetensors) and Gemma Scope's params.npz.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from memicos_client.models import SaeRecipe
from safetensors import SafetensorError
from safetensors.torch import load_file

from memicos_pipeline.recompute.errors import RecomputeError, in_a_line

STORED_UNIT = 2e-3
"""Decoder rows whose lengths are all within this of 1 are taken as unit: 16-bit storage changes lengths slightly."""

_NEEDED = {
    "standard": ("b_enc",),
    "transcoder": ("b_enc",),
    "skip_transcoder": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "jumprelu_transcoder": ("b_enc", "threshold"),
    "jumprelu_skip_transcoder": ("b_enc", "threshold"),
    "topk": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
"""Covered architectures, and their weights besides W_enc, W_dec and b_dec."""


@dataclass(frozen=True)
class Values:
    """A feature at T positions, all (T,).

    `values`: the feature's values. `fired`: the value that it has if it fires. `margin`: distance from the firing
    threshold, in units of the value. `size`: the largest value that an activation of this norm could give.
    """

    values: np.ndarray
    fired: np.ndarray
    margin: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class Sae:
    recipe: SaeRecipe
    weights: dict[str, np.ndarray]
    config: dict[str, Any]


def find(location: str) -> Path:
    """The folder of weights: `location`, or a download if it is `hf:<owner>/<name>/<path>`.

    Raises:
        RecomputeError: it does not exist or cannot be fetched.
    """
    if location.startswith("hf:"):
        owner, name, *path = location.removeprefix("hf:").split("/")
        folder = "/".join(path)
        try:
            root = snapshot_download(f"{owner}/{name}", allow_patterns=f"{folder}/*" if folder else None)
        except (OSError, ValueError) as error:
            raise RecomputeError(f"{location} cannot be fetched: {in_a_line(error)}") from error
        return Path(root) / folder
    try:
        folder = Path(location).expanduser()
        if folder.is_dir():
            return folder
    except (RuntimeError, OSError) as error:
        # a user without a home folder, a name that is too long
        raise RecomputeError(
            f"the folder of the SAE cannot be read ({in_a_line(error)}); name it with --sae"
        ) from error
    raise RecomputeError(f"there is no folder {location} of an SAE; name it with --sae")


def read(folder: Path, recipe: SaeRecipe) -> Sae:
    """Read the SAE in a folder and prepare its weights by `recipe`.

    Raises:
        RecomputeError: files are missing, damaged or in another layout, or the architecture is not covered.
    """
    if recipe.architecture not in _NEEDED:
        raise RecomputeError(f"the architecture {recipe.architecture} is not covered, only {', '.join(_NEEDED)}")
    try:
        if (folder / "params.npz").is_file():
            with np.load(folder / "params.npz", allow_pickle=False) as stored:
                weights, config = {name: stored[name] for name in stored.files}, {"apply_b_dec_to_input": False}
        elif (folder / "cfg.json").is_file() and (folder / "sae_weights.safetensors").is_file():
            tensors = load_file(folder / "sae_weights.safetensors")
            weights = {name: tensor.float().numpy() for name, tensor in tensors.items()}
            config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
        else:
            raise RecomputeError(
                f"{folder} has neither cfg.json with sae_weights.safetensors nor params.npz: no other layout is read"
            )
    except (OSError, SafetensorError, json.JSONDecodeError, RecursionError) as error:
        raise RecomputeError(f"the SAE in {folder} cannot be read: {in_a_line(error)}") from error
    weights = _named_as_in_saelens(weights, config)
    needed = ("W_enc", "W_dec", *_NEEDED[recipe.architecture])
    if missing := [name for name in needed if name not in weights]:
        raise RecomputeError(f"the SAE in {folder} is no {recipe.architecture}: it has no {', '.join(missing)}")
    return Sae(recipe, _folded(weights, recipe, config), config)


def _named_as_in_saelens(stored: dict[str, np.ndarray], config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Float64 weights under SAELens' names. A BatchTopK checkpoint becomes a JumpReLU SAE with its learnt threshold."""
    saelens_names = {"w_enc": "W_enc", "w_dec": "W_dec"}
    weights = {saelens_names.get(name, name): value.astype(np.float64) for name, value in stored.items()}
    if "topk_threshold" in weights:
        if config.get("rescale_acts_by_decoder_norm", True):
            lengths = np.linalg.norm(weights["W_dec"], axis=1)
            weights |= {"W_enc": weights["W_enc"] * lengths, "b_enc": weights["b_enc"] * lengths}
            weights["W_dec"] = weights["W_dec"] / lengths[:, None]
        weights["threshold"] = weights.pop("topk_threshold")
    if "threshold" in weights:
        weights["threshold"] = np.broadcast_to(weights["threshold"].reshape(-1), weights["W_enc"].shape[1:])
    return weights


def _folded(weights: dict[str, np.ndarray], recipe: SaeRecipe, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Fold activation scaling and decoder lengths into the weights, and round them to the recipe's dtype."""
    factor = recipe.norm_scaling_factor or 1.0
    lengths = np.linalg.norm(weights["W_dec"], axis=1) / factor
    rescaled = recipe.architecture == "topk" and config.get("rescale_acts_by_decoder_norm", False)
    if not rescaled and (not recipe.unit_directions or np.abs(lengths - 1).max() <= STORED_UNIT):
        lengths = np.ones_like(lengths)
    changed = {"W_enc": weights["W_enc"] * factor * lengths}
    changed |= {name: weights[name] * lengths for name in ("b_enc", "b_gate", "b_mag", "threshold") if name in weights}
    if "b_dec" in weights:
        changed["b_dec"] = weights["b_dec"] / factor
    if "r_mag" in weights:
        changed["r_mag"] = weights["r_mag"]
    return {name: _rounded(value, recipe.dtype) for name, value in changed.items()}


def _rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    return torch.from_numpy(np.ascontiguousarray(values)).to(getattr(torch, dtype)).double().numpy()


def encode(sae: Sae, hidden: np.ndarray, index: int) -> Values:
    """Values of feature `index` on activations (T, D).

    Raises:
        RecomputeError: the activations have another width, or there is no such feature.
    """
    width, features = sae.weights["W_enc"].shape
    if hidden.shape[1] != width or index >= features:
        raise RecomputeError(
            f"the SAE reads {width} numbers and has features 0 to {features - 1}; the hook has {hidden.shape[1]}, and "
            f"the feature is {index}"
        )
    inputs = _inputs(sae, hidden)
    column = sae.weights["W_enc"][:, index]
    size = np.linalg.norm(inputs, axis=1) * np.linalg.norm(column)
    architecture, weights = sae.recipe.architecture, sae.weights
    if architecture == "topk":
        pre_activations = inputs @ weights["W_enc"] + weights["b_enc"]
        pre_activation, k = pre_activations[:, index], _k(sae.config)
        ranked = np.sort(pre_activations, axis=1)
        # the smallest value among the top k, and the largest outside
        last, first = ranked[:, -k], ranked[:, -k - 1] if k < features else np.full(len(pre_activation), -np.inf)
        margin = np.where(pre_activation >= last, pre_activation - first, pre_activation - last)
        fires, fired = pre_activation >= last, pre_activation
    elif architecture == "gated":
        margin = inputs @ column + weights["b_gate"][index]
        fires, fired = margin > 0, inputs @ (column * np.exp(weights["r_mag"][index])) + weights["b_mag"][index]
    else:
        fired = inputs @ column + weights["b_enc"][index]
        margin = fired - weights["threshold"][index] if "threshold" in weights else fired
        fires = margin > 0
    fired = np.maximum(fired, 0)
    return Values(np.where(fires, fired, 0.0), fired, margin, size)


def _inputs(sae: Sae, hidden: np.ndarray) -> np.ndarray:
    """The encoder's input (T, D) by SAELens' definitions; expected_average_only_in is folded into the weights."""
    inputs = _rounded(hidden, sae.recipe.dtype)
    if sae.recipe.normalize_activations == "layer_norm":
        inputs = inputs - inputs.mean(1, keepdims=True)
        inputs = inputs / (inputs.std(1, ddof=1, keepdims=True) + 1e-5)
    elif sae.recipe.normalize_activations == "constant_norm_rescale":
        inputs = inputs * inputs.shape[1] ** 0.5 / np.linalg.norm(inputs, axis=1, keepdims=True)
    # SAELens before version 6 wrote no metadata and subtracted b_dec by default
    centred = sae.config.get("apply_b_dec_to_input", "metadata" not in sae.config)
    return inputs - sae.weights["b_dec"] if centred and "transcoder" not in sae.recipe.architecture else inputs


def _k(config: dict[str, Any]) -> int:
    return int(config["k"] if "k" in config else config["activation_fn_kwargs"]["k"])
