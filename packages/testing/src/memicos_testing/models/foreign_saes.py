"""SAEs in the layouts of other libraries, written with numpy, torch and safetensors only, and their values.

Each writer puts random weights into a folder as its library does; `encode` is that library's formula in float64, times
the length of each direction where it is folded into the values (in all except top-k).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

K = 8
AXES = 40
"""Principal axes of `fitted_weights`, which has twice as many features."""
CLOSE = 1e-3
"""Pre-activations within this relative distance of the firing threshold are not compared."""


@dataclass(frozen=True)
class Weights:
    """Random weights under SAELens' names, and their layer."""

    layer: int
    tensors: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        return self.tensors[name]

    @property
    def lengths(self) -> np.ndarray:
        return np.linalg.norm(self.tensors["W_dec"].astype(np.float64), axis=1)


def random_weights(layer: int, d_in: int, d_sae: int, seed: int = 0, d_out: int | None = None) -> Weights:
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.5, 2, size=(d_sae, 1))
    rows = rng.normal(size=(d_sae, d_out or d_in))
    tensors = {
        "W_enc": rng.normal(size=(d_in, d_sae)) / np.sqrt(d_in),
        "b_enc": rng.normal(size=d_sae),
        "W_dec": rows / np.linalg.norm(rows, axis=1, keepdims=True) * lengths,
        "b_dec": rng.normal(size=d_out or d_in) * 0.3,
        "threshold": rng.uniform(0.2, 2, size=d_sae),
        "b_gate": rng.normal(size=d_sae),
        "b_mag": rng.normal(size=d_sae),
        "r_mag": rng.normal(size=d_sae) * 0.2,
        "W_skip": rng.normal(size=(d_out or d_in, d_in)) / np.sqrt(d_in),
    }
    return Weights(layer, {name: value.astype(np.float32) for name, value in tensors.items()})


def fitted_weights(layer: int, hidden: np.ndarray, centred: bool = False, normalized: bool = False) -> Weights:
    """Weights that reconstruct `hidden` (T, D): its principal axes in both directions. `centred` and `normalized`
    are as in `encode`, for the library that the weights are written for.
    """
    inputs = hidden.astype(np.float64)
    if normalized:
        inputs = inputs - inputs.mean(-1, keepdims=True)
        inputs = inputs / inputs.std(-1, ddof=1, keepdims=True)
    mean = inputs.mean(0)
    axes = np.linalg.svd(inputs - mean, full_matrices=False)[2][:AXES]
    rows = np.concatenate([axes, -axes])
    lengths = np.random.default_rng(layer).uniform(0.5, 2, size=(len(rows), 1))
    tensors = {
        "W_enc": (rows / lengths).T,
        "b_enc": np.zeros(len(rows)) if centred else -(rows / lengths) @ mean,
        "W_dec": rows * lengths,
        "b_dec": mean,
        "threshold": np.full(len(rows), 0.5),
    }
    others = random_weights(layer, inputs.shape[1], len(rows)).tensors
    return Weights(layer, others | {name: value.astype(np.float32) for name, value in tensors.items()})


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _torch(tensors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in tensors.items()}


def _save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)


def _recipe(weights: Weights) -> dict[str, Any]:
    return {"hook_name": f"blocks.{weights.layer}.hook_resid_post", "prepend_bos": True, "context_size": 64}


def write_saelens(folder: Path, weights: Weights) -> Path:
    """A JumpReLU SAE."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    _save(folder / "sae_weights.safetensors", {name: weights.tensors[name] for name in names})
    d_in, d_sae = weights.W_enc.shape
    own = {"architecture": "jumprelu", "d_in": d_in, "d_sae": d_sae, "dtype": "float32", "device": "cpu"}
    config = own | {"apply_b_dec_to_input": False, "metadata": _recipe(weights) | {"sae_lens_version": "6.54.0"}}
    write_json(folder / "cfg.json", config)
    return folder


def write_gemma_scope(folder: Path, weights: Weights) -> Path:
    folder.mkdir(parents=True)
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    np.savez(folder / "params.npz", **{name: weights.tensors[name] for name in names})  # pyright: ignore[reportArgumentType]
    write_json(folder / "memicos.json", {"hook_name": f"blocks.{weights.layer}.hook_resid_post"})
    return folder


def write_dictionary_learning(folder: Path, weights: Weights, dict_class: str = "BatchTopKSAE") -> Path:
    w = weights.tensors
    linear = {"encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T}
    tensors = {name: w[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    top_k = {"threshold": np.float32(0.7) * np.ones((), np.float32), "k": np.array(K, np.int32)}
    stored = {
        "AutoEncoder": linear | {"encoder.bias": w["b_enc"], "bias": w["b_dec"]},
        "AutoEncoderNew": linear | {"encoder.bias": w["b_enc"], "decoder.bias": w["b_dec"]},
        "GatedAutoEncoder": linear
        | {"decoder_bias": w["b_dec"], "r_mag": w["r_mag"], "gate_bias": w["b_gate"], "mag_bias": w["b_mag"]},
        "JumpReluAutoEncoder": tensors | {"threshold": w["threshold"]},
        "AutoEncoderTopK": linear | {"encoder.bias": w["b_enc"], "b_dec": w["b_dec"]} | top_k,
        "BatchTopKSAE": linear | {"encoder.bias": w["b_enc"], "b_dec": w["b_dec"]} | top_k,
        "MatryoshkaBatchTopKSAE": tensors | top_k | {"group_sizes": np.array([len(w["b_enc"])])},
    }
    folder.mkdir(parents=True)
    torch.save(_torch(stored[dict_class]), folder / "ae.pt")
    trainer = {
        "dict_class": dict_class,
        "activation_dim": w["W_enc"].shape[0],
        "dict_size": w["W_enc"].shape[1],
        "k": K,
        "layer": weights.layer,
        "lm_name": "some/model",
        "submodule_name": f"resid_post_layer_{weights.layer}",
    }
    write_json(folder / "config.json", {"trainer": trainer, "buffer": {"io": "out", "ctx_len": 64}})
    return folder


def write_openai(folder: Path, weights: Weights, activation: str = "TopK") -> Path:
    w = weights.tensors
    tensors = {
        "encoder.weight": w["W_enc"].T,
        "latent_bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T,
        "pre_bias": w["b_dec"],
        "stats_last_nonzero": np.zeros(len(w["b_enc"]), np.int64),
    }
    state: dict[str, Any] = dict(_torch(tensors)) | {"activation": activation}
    if activation == "TopK":
        state["activation_state_dict"] = {"k": K, "postact_fn": "ReLU"}
    folder.mkdir(parents=True)
    torch.save(state, folder / f"{weights.layer}.pt")
    write_json(folder / "memicos.json", _recipe(weights))
    return folder


def write_sparsify(folder: Path, weights: Weights) -> Path:
    """Write into `folder`/layers.N and return that folder."""
    w = weights.tensors
    tensors = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    module = folder / f"layers.{weights.layer}"
    _save(module / "sae.safetensors", tensors)
    own = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": len(w["b_enc"])}
    write_json(module / "cfg.json", own | {"k": K, "d_in": w["W_enc"].shape[0], "transcode": False})
    write_json(folder / "config.json", {"model": "some/model", "ctx_len": 64})
    return module


def write_tensors(folder: Path, weights: Weights, architecture: str = "standard", **settings: Any) -> Path:
    w = weights.tensors
    names = {"W_enc": "enc.weight", "b_enc": "enc.bias", "W_dec": "dec", "b_dec": "dec.bias"}
    stored = {"enc.weight": w["W_enc"].T, "enc.bias": w["b_enc"], "dec": w["W_dec"], "dec.bias": w["b_dec"]}
    for name in {"jumprelu": ("threshold",), "gated": ("b_gate", "b_mag", "r_mag")}.get(architecture, ()):
        names[name], stored[name.upper()] = name.upper(), w[name]
    if architecture == "gated":
        del names["b_enc"]
    _save(folder / "model.safetensors", stored)
    mapping = {"file": "model.safetensors", "architecture": architecture, "tensors": names, "transposed": ["W_enc"]}
    write_json(folder / "memicos.json", _recipe(weights) | {"weights": mapping | settings})
    return folder


def write_gemma_scope_2(folder: Path, weights: Weights, affine: bool = False, **settings: Any) -> Path:
    w = weights.tensors
    stored = {"w_enc": w["W_enc"], "b_enc": w["b_enc"], "w_dec": w["W_dec"], "b_dec": w["b_dec"]}
    stored |= {"threshold": w["threshold"]} | ({"affine_skip_connection": w["W_skip"].T} if affine else {})
    _save(folder / "params.safetensors", stored)
    hook = f"model.layers.{weights.layer}.output"
    own = {"hf_hook_point_in": hook, "hf_hook_point_out": hook, "model_name": "some/model", "architecture": "jump_relu"}
    own |= {"width": len(w["b_enc"]), "l0": 60, "affine_connection": affine, "type": "sae"}
    write_json(folder / "config.json", own | settings)
    return folder


def write_llama_scope(folder: Path, weights: Weights, **settings: Any) -> Path:
    """An SAE of lm-saes; activations are not scaled unless `settings` name another norm."""
    w = weights.tensors
    stored = {"encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T, "encoder.bias": w["b_enc"]}
    stored |= {"decoder.bias": w["b_dec"], "log_jumprelu_threshold": np.log(w["threshold"])}
    d_model = w["W_enc"].shape[0]
    hook = f"blocks.{weights.layer}.hook_resid_post"
    for side in {hook, settings.get("hook_point_out", hook)}:
        stored[f"dataset_average_activation_norm.{side}"] = np.float32(d_model**0.5) * np.ones((), np.float32)
    _save(folder / "sae_weights.safetensors", stored)
    own = {"sae_type": "sae", "hook_point_in": hook, "hook_point_out": hook, "d_model": d_model, "act_fn": "jumprelu"}
    own |= {"use_decoder_bias": True, "apply_decoder_bias_to_pre_encoder": False, "norm_activation": "dataset-wise"}
    write_json(folder / "config.json", own | {"sparsity_include_decoder_norm": False} | settings)
    return folder


def write_goodfire(
    folder: Path, weights: Weights, encoder: str = "encoder_linear", decoder: str = "decoder_linear"
) -> Path:
    w = weights.tensors
    stored = {f"{encoder}.weight": w["W_enc"].T, f"{encoder}.bias": w["b_enc"]}
    stored |= {f"{decoder}.weight": w["W_dec"].T, f"{decoder}.bias": w["b_dec"]}
    folder.mkdir(parents=True)
    torch.save(_torch(stored), folder / f"Some-8B-Instruct-SAE-l{weights.layer}.pth")
    return folder


def write_circuit_tracer(
    folder: Path, weights: Weights, jump: bool = True, skip: bool = False, **settings: Any
) -> Path:
    """A transcoder of one layer; those of more layers can be written into the same folder."""
    w = weights.tensors
    stored = {"W_enc": w["W_enc"].T, "b_enc": w["b_enc"], "W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    stored |= {"activation_function.threshold": w["threshold"]} if jump else {}
    _save(folder / f"layer_{weights.layer}.safetensors", stored | ({"W_skip": w["W_skip"]} if skip else {}))
    own = {"model_name": "some/model", "model_kind": "transcoder_set", "scan": "some/scan"}
    own |= {"feature_input_hook": "hook_resid_post", "feature_output_hook": "hook_resid_post"}
    # a JSON object is YAML
    write_json(folder / "config.yaml", own | settings)
    return folder


def encode(
    weights: Weights,
    hidden: np.ndarray,
    kind: str,
    centred: bool = False,
    threshold: np.ndarray | float | None = None,
    normalized: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Values (T, F) for `hidden` (T, D), and a mask of those too near the firing threshold to compare.

    `kind` is relu, jump, gated or topk; `centred`: b_dec is subtracted from the input; `threshold` of jump, by default
    the weights' own; `normalized`: each position is first scaled to mean 0 and standard deviation 1.
    """
    w = {name: value.astype(np.float64) for name, value in weights.tensors.items()}
    inputs = hidden.astype(np.float64)
    if normalized:
        inputs = inputs - inputs.mean(-1, keepdims=True)
        inputs = inputs / (inputs.std(-1, ddof=1, keepdims=True) + 1e-5)
    if centred:
        inputs = inputs - w["b_dec"]
    product = inputs @ w["W_enc"]
    if kind == "gated":
        gate = product + w["b_gate"]
        values = np.where(gate > 0, np.maximum(np.exp(w["r_mag"]) * product + w["b_mag"], 0), 0)
        return values * weights.lengths, np.abs(gate) <= CLOSE
    before = product + w["b_enc"]
    if kind == "topk":
        least = np.sort(before, axis=-1)[:, -K, None]
        return np.where(before >= least, np.maximum(before, 0), 0), np.abs(before - least) <= CLOSE
    least = 0.0 if kind == "relu" else w["threshold"] if threshold is None else threshold
    return np.where(before > least, np.maximum(before, 0), 0) * weights.lengths, np.abs(before - least) <= CLOSE


Encoded = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """`centred` and `normalized` are the library's input transformations, as in `encode`.

    `context_size` is that of the source, `is_transcoder` whether its files name a hook for its output.
    """

    write: Callable[[Path, Weights], Path]
    encode: Callable[[Weights, np.ndarray], Encoded]
    centred: bool = False
    normalized: bool = False
    context_size: int = 64
    is_transcoder: bool = False


LAYOUTS: dict[str, Layout] = {
    "saelens": Layout(write_saelens, lambda w, h: encode(w, h, "jump")),
    "gemma-scope": Layout(write_gemma_scope, lambda w, h: encode(w, h, "jump"), context_size=1024),
    "gemma-scope-2": Layout(write_gemma_scope_2, lambda w, h: encode(w, h, "jump"), context_size=1024),
    "llama-scope": Layout(write_llama_scope, lambda w, h: encode(w, h, "jump"), context_size=1024),
    "goodfire": Layout(write_goodfire, lambda w, h: encode(w, h, "relu"), context_size=1024),
    "circuit-tracer": Layout(
        write_circuit_tracer, lambda w, h: encode(w, h, "jump"), context_size=1024, is_transcoder=True
    ),
    "dictionary-learning": Layout(
        write_dictionary_learning, lambda w, h: encode(w, h, "jump", centred=True, threshold=0.7), centred=True
    ),
    "openai": Layout(
        write_openai, lambda w, h: encode(w, h, "topk", centred=True, normalized=True), centred=True, normalized=True
    ),
    "sparsify": Layout(write_sparsify, lambda w, h: encode(w, h, "topk", centred=True), centred=True),
    "tensors": Layout(write_tensors, lambda w, h: encode(w, h, "relu")),
}
"""One of each format."""


def write_unsupported_layout(kind: str, folder: Path, weights: Weights) -> Path:
    """Write random weights, of the shape of `weights`, in a layout that is not served; returns their folder."""
    rng = np.random.default_rng(0)
    d_in, d_sae = weights.W_enc.shape
    encoder = rng.normal(size=(4, d_in, d_sae)).astype(np.float32)
    if kind in ("clt", "crosscoder"):
        folder = folder / kind / "layer_5_9_width_1m_l0_big"
        write_json(folder / "config.json", {"architecture": "jump_relu", "type": kind})
        save_file({"w_enc": encoder[0]}, folder / "params_layer_0.safetensors")
    elif kind == "circuit-tracer":
        write_json(folder / "config.yaml", {"model_kind": "cross_layer_transcoder"})
        for name in ("W_enc_0", "W_dec_0"):
            save_file({name: encoder[0]}, folder / f"{name}.safetensors")
    elif kind == "circuit-tracer's links":
        write_json(folder / "config.yaml", {"transcoders": ["hf://google/some/layer_0/params.npz"]})
    elif kind == "dictionary_learning":
        write_dictionary_learning(folder, weights)
        config = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", config | {"trainer": config["trainer"] | {"dict_class": "CrossCoder"}})
    elif kind == "model difference":
        write_json(folder / "cfg.json", {"d_in": d_in, "dict_size": d_sae, "hook_point": "blocks.5.hook_resid_pre"})
        torch.save({"W_enc": torch.from_numpy(encoder)}, folder / "cc_weights.pt")
    elif kind == "finetuning":
        write_json(folder / "config.json", {"activation_dim": d_in, "dict_size": d_sae, "num_layers": 2})
        save_file({"encoder.weight": encoder}, folder / "model.safetensors")
    else:
        write_json(
            folder / "cfg.json", {"architecture": "standard", "hook_name": "blocks.5.hook_resid_pre", "d_in": d_in}
        )
        tensors = {"W_enc": encoder, "W_dec": encoder, "b_enc": encoder[0, 0], "b_dec": encoder[0, :, 0]}
        save_file(
            {name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "sae_weights.safetensors"
        )
    return folder
