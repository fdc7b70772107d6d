"""SAEs as the authors of each loader of SAELens publish them: writers of their files, and their values by numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.numpy import save_file

from memicos_testing.models.foreign_saes import (
    Encoded,
    K,
    Weights,
    encode,
    write_dictionary_learning,
    write_gemma_scope,
    write_json,
)

D_IN, D_SAE, LAYER = 32, 64, 5
FACTOR = 0.25
"""Factor of activations of the SAEs that were trained on scaled ones."""


def save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)


def save_torch(path: Path, tensors: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in tensors.items()}, path)


def linear_layers(w: Weights, encoder: str = "encoder", decoder: str = "decoder") -> dict[str, np.ndarray]:
    return {
        f"{encoder}.weight": w.W_enc.T,
        f"{encoder}.bias": w.b_enc,
        f"{decoder}.weight": w.W_dec.T,
        f"{decoder}.bias": w.b_dec,
    }


def write_sae_lens(folder: Path, w: Weights, **changes: Any) -> None:
    """The format of SAELens before 6.0, which most releases have."""
    save(folder / "sae_weights.safetensors", {name: w.tensors[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")})
    own = {"hook_point": f"blocks.{LAYER}.hook_resid_pre", "d_in": D_IN, "d_sae": D_SAE, "dtype": "torch.float32"}
    write_json(folder / "cfg.json", own | {"model_name": "gpt2-small", "device": "mps", "context_size": 64} | changes)


def write_hook_z(file: Path, w: Weights) -> None:
    save_torch(file, {name: w.tensors[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")})
    own = {"act_size": D_IN, "dict_size": D_SAE, "act_name": f"blocks.{LAYER}.attn.hook_z"}
    write_json(file.with_name(file.name.removesuffix(".pt") + "_cfg.json"), own)


def write_npz(folder: Path, w: Weights) -> None:
    write_gemma_scope(folder, w)
    (folder / "memicos.json").unlink()


def write_gemma_3(folder: Path, w: Weights, hook: str | None, affine: bool = False) -> None:
    names = {"w_enc": "W_enc", "b_enc": "b_enc", "w_dec": "W_dec", "b_dec": "b_dec", "threshold": "threshold"}
    tensors = {name: w.tensors[other] for name, other in names.items()}
    save(folder / "params.safetensors", tensors | ({"affine_skip_connection": w.W_skip.T} if affine else {}))
    own: dict[str, Any] = {"architecture": "jump_relu", "model_name": "google/gemma-3-1b-pt", "l0": 60, "width": D_SAE}
    own |= {"affine_connection": affine} | ({"hf_hook_point_in": hook} if hook else {})
    write_json(folder / "config.json", own)


def write_llama_scope(folder: Path, w: Weights) -> None:
    save(folder / "checkpoints" / "final.safetensors", linear_layers(w))
    # the factor of activations is the root of their width by their average norm
    norm = D_IN**0.5 / FACTOR
    own = {"d_model": D_IN, "d_sae": D_SAE, "jump_relu_threshold": 2.0, "hook_point_in": f"blocks.{LAYER}.hook_mlp_out"}
    write_json(folder / "hyperparams.json", own | {"dataset_average_activation_norm": {"in": norm, "out": norm}})


def write_r1_distill(folder: Path, w: Weights) -> None:
    save(folder / "sae_weights.safetensors", linear_layers(w) | {"log_jumprelu_threshold": np.log(w.threshold)})
    own = {"d_model": D_IN, "expansion_factor": D_SAE // D_IN, "hook_point_in": f"blocks.{LAYER}.hook_resid_post"}
    write_json(folder / "config.json", own)


def write_mwhanna(file: Path, w: Weights) -> None:
    names = ("b_enc", "W_dec", "b_dec")
    save(file, {"W_enc": w.W_enc.T} | {name: w.tensors[name] for name in names})
    values = {"d_model": {"value": D_IN}, "d_feature": {"value": D_SAE}, "batch_size": {"value": 64}}
    (file.parent / "wandb-config.yaml").write_text(yaml.safe_dump(values))
    (file.parent / "config.yaml").write_text(yaml.safe_dump({"model_name": "Qwen/Qwen3-0.6B"}))


def write_qwen_scope(file: Path, w: Weights) -> None:
    stored = {"W_enc": w.W_enc.T, "W_dec": w.W_dec.T, "b_enc": w.b_enc, "b_dec": w.b_dec}
    save_torch(file, stored)


def scaled(w: Weights, hidden: np.ndarray, threshold: float | np.ndarray | None = None) -> Encoded:
    """Values of an SAE that was trained on activations times FACTOR, by the length of its directions in real units."""
    values, near = encode(w, hidden * FACTOR, "jump", threshold=threshold)
    return values / FACTOR, near


def embedding(w: Weights, hidden: np.ndarray) -> Encoded:
    """Gemma's embeddings were divided by the root of their width in training."""
    root = D_IN**0.5
    values, near = encode(w, hidden / root, "jump")
    return values * root, near


def jump(w: Weights, hidden: np.ndarray) -> Encoded:
    return encode(w, hidden, "jump")


def relu(w: Weights, hidden: np.ndarray) -> Encoded:
    return encode(w, hidden, "relu")


RESID, Z = f"blocks.{LAYER}.hook_resid_post", f"blocks.{LAYER}.attn.hook_z"
NORM, NORM_OUT = f"model.layers.{LAYER}.pre_feedforward_layernorm.output", f"blocks.{LAYER}.hook_mlp_out"
NORM_HOOK = f"blocks.{LAYER}.pre_feedforward_layernorm.output"


@dataclass(frozen=True)
class LoaderCase:
    """An SAE as a loader's authors publish it. `path` is that in the repository `repo`."""

    loader: str
    repo: str
    path: str
    write: Callable[[Path, Weights], None]
    encode: Callable[[Weights, np.ndarray], Encoded]
    hook: str
    hook_out: str | None = None
    factor: float | None = None
    skip: bool = False
    sizes: bool = False
    """Whether the loader has fixed sizes, which are made small here by `config_overrides`."""


G1, G2 = "google/gemma-scope-2b-pt", "google/gemma-scope-2-1b-pt"
LOADER_CASES = {
    "sae_lens": LoaderCase(
        "sae_lens", "jbloom/some", "layer_5", write_sae_lens,
        lambda w, h: encode(w, h, "relu", centred=True), f"blocks.{LAYER}.hook_resid_pre",
    ),
    "connor_rob_hook_z": LoaderCase(
        "connor_rob_hook_z", "ckkissane/some", "gpt2-small_L5_Hcat_z.pt", write_hook_z,
        lambda w, h: encode(w, h, "relu", centred=True), Z,
    ),
    "gemma_2 residual": LoaderCase(
        "gemma_2", f"{G1}-res", "layer_5/width_16k/average_l0_72", write_npz, jump, RESID, sizes=True
    ),
    "gemma_2 attention": LoaderCase(
        "gemma_2", f"{G1}-att", "layer_5/width_16k/average_l0_72", write_npz, jump, Z, sizes=True
    ),
    "gemma_2 MLP": LoaderCase(
        "gemma_2", f"{G1}-mlp", "layer_5/width_16k/average_l0_72", write_npz, jump, NORM_OUT, sizes=True
    ),
    "gemma_2 embedding": LoaderCase(
        "gemma_2", f"{G1}-res", "embedding/width_4k/average_l0_6", write_npz, embedding, "hook_embed", sizes=True
    ),
    "gemma_2_transcoder": LoaderCase(
        "gemma_2_transcoder", f"{G1}-transcoders", "layer_5/width_16k/average_l0_72", write_npz, jump,
        f"blocks.{LAYER}.ln2.hook_normalized", NORM_OUT, sizes=True,
    ),
    "gemma_3 residual": LoaderCase(
        "gemma_3", G2, "resid_post/layer_5_width_16k_l0_big",
        lambda f, w: write_gemma_3(f, w, f"model.layers.{LAYER}.output"), jump, RESID,
    ),
    "gemma_3 attention": LoaderCase(
        "gemma_3", G2, "attn_out/layer_5_width_16k_l0_big",
        lambda f, w: write_gemma_3(f, w, f"model.layers.{LAYER}.self_attn.o_proj.input"), jump, Z,
    ),
    "gemma_3 MLP": LoaderCase(
        "gemma_3", G2, "mlp_out/layer_5_width_16k_l0_big",
        lambda f, w: write_gemma_3(f, w, f"model.layers.{LAYER}.post_feedforward_layernorm.output"), jump, NORM_OUT,
    ),
    "gemma_3 transcoder": LoaderCase(
        "gemma_3", G2, "transcoder/layer_5_width_16k_l0_big",
        lambda f, w: write_gemma_3(f, w, NORM), jump, NORM_HOOK, NORM_OUT,
    ),
    "gemma_3 affine transcoder": LoaderCase(
        "gemma_3", G2, "transcoder_all/layer_5_width_16k_l0_big_affine",
        lambda f, w: write_gemma_3(f, w, NORM, affine=True), jump, NORM_HOOK, NORM_OUT, skip=True,
    ),
    "gemma_3 transcoder without its module": LoaderCase(
        "gemma_3", G2, "transcoder_all/layer_5_width_16k_l0_small",
        lambda f, w: write_gemma_3(f, w, None), jump, NORM_HOOK, NORM_OUT,
    ),
    "llama_scope": LoaderCase(
        "llama_scope", "fnlp/some", "Llama3_1-8B-Base-L5M-8x", write_llama_scope,
        # the threshold is in the units of the activations before they were scaled
        lambda w, h: scaled(w, h, 2.0 * FACTOR), NORM_OUT, factor=FACTOR,
    ),
    "llama_scope_r1_distill": LoaderCase(
        "llama_scope_r1_distill", "fnlp/other", "800M/L5R", write_r1_distill, scaled, RESID, factor=FACTOR
    ),
    "dictionary_learning_1": LoaderCase(
        "dictionary_learning_1", "canrager/some", "resid_post_layer_5/trainer_1",
        lambda f, w: write_dictionary_learning(f, w, "AutoEncoderTopK") and None,
        lambda w, h: encode(w, h, "topk", centred=True), RESID,
    ),
    "deepseek_r1": LoaderCase(
        "deepseek_r1", "qresearch/some", "DeepSeek-R1-Distill-Llama-8B-SAE-l5.pt",
        lambda f, w: save_torch(f, linear_layers(w)), relu, RESID, sizes=True,
    ),
    "qwen_scope": LoaderCase(
        "qwen_scope", f"Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}", "layer5.sae.pt", write_qwen_scope,
        lambda w, h: encode(w, h, "topk"), RESID, sizes=True,
    ),
    "mwhanna_transcoder": LoaderCase(
        "mwhanna_transcoder", "mwhanna/some", "layer_5.safetensors", write_mwhanna, relu,
        f"blocks.{LAYER}.mlp.hook_in", NORM_OUT,
    ),
    "goodfire": LoaderCase(
        "goodfire", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19", "Llama-3.1-8B-Instruct-SAE-l19.pth",
        lambda f, w: save_torch(f, linear_layers(w, "encoder_linear", "decoder_linear")), relu,
        "blocks.19.hook_resid_post", sizes=True,
    ),
}  # fmt: skip
