"""Reference values for tests, by plain transformers and numpy, without memicos."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

Change = Callable[[torch.Tensor], torch.Tensor]
"""Maps activations (1, T, D) to their replacement."""

HookSite = int | tuple[str, str]
"""The residual stream after a layer of a Llama (-1: the embeddings), or a module by its path:
("input", "model.layers.0.mlp.down_proj") or ("output", …)."""


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def residuals(hf: Any, ids: Sequence[int], layers: Sequence[int]) -> dict[int, np.ndarray]:
    """The residual stream (T, D) after each of `layers`, float64. The last layer's is read before the final norm."""
    before_norm: list[torch.Tensor] = []
    handle = hf.model.norm.register_forward_pre_hook(lambda _module, args: before_norm.append(args[0]))
    try:
        with torch.inference_mode():
            states = hf(torch.tensor([list(ids)]), output_hidden_states=True).hidden_states
    finally:
        handle.remove()
    last = len(hf.model.layers) - 1
    return {layer: (before_norm[0] if layer == last else states[layer + 1])[0].double().numpy() for layer in layers}


def attention(hf: Any, ids: Sequence[int], layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One layer's attention pattern (heads, T, T), values (T, value heads, d_head) and concatenated head outputs
    (T, heads * d_head), float64. For Llama-like models and GPT-2.
    """
    if hasattr(hf, "transformer"):
        module = hf.transformer.h[layer].attn
        width = hf.config.n_embd
        values, mixed, n_heads = module.c_attn, module.c_proj, hf.config.n_head
        own = slice(2 * width, 3 * width)  # after queries and keys
    else:
        module = hf.model.layers[layer].self_attn
        values, mixed, n_heads = module.v_proj, module.o_proj, hf.config.num_key_value_heads
        own = slice(None)
    captured: dict[str, torch.Tensor] = {}
    handles = [
        values.register_forward_hook(lambda _module, _args, output: captured.__setitem__("v", output[0, :, own])),
        mixed.register_forward_pre_hook(lambda _module, args: captured.__setitem__("z", args[0][0])),
    ]
    usual = hf.config._attn_implementation
    hf.set_attn_implementation("eager")  # other attention implementations return no pattern
    try:
        with torch.inference_mode():
            patterns = hf(torch.tensor([list(ids)]), output_attentions=True).attentions
    finally:
        hf.set_attn_implementation(usual)
        for handle in handles:
            handle.remove()
    v = captured["v"].reshape(len(ids), n_heads, -1)
    return patterns[layer][0].double().numpy(), v.double().numpy(), captured["z"].double().numpy()


def attributed(folder: Path, pattern: np.ndarray, values: np.ndarray, index: int, target: int) -> np.ndarray:
    """Direct feature attribution (T,) of a feature at `target`, head by head and position by position."""
    column = load_file(folder / "sae_weights.safetensors")["W_enc"][:, index].astype(np.float64)
    n_heads, length = pattern.shape[:2]
    parts = np.zeros(length)
    d_head = values.shape[-1]
    group = n_heads // values.shape[1]
    for head in range(n_heads):
        rows = column[head * d_head : (head + 1) * d_head]
        for source in range(length):
            parts[source] += pattern[head, target, source] * (values[source, head // group] @ rows)
    return parts


def encode(folder: Path, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations (T, F) of the SAE in `folder`, and a mask of those too near a threshold to compare.

    Near is within 1e-3 x max(1, threshold), and zero for architectures without thresholds.
    """
    weights = {name: value.astype(np.float64) for name, value in load_file(folder / "sae_weights.safetensors").items()}
    config = json.loads((folder / "cfg.json").read_text())
    inputs = hidden - weights["b_dec"] if config["apply_b_dec_to_input"] else hidden
    product = inputs @ weights["W_enc"]
    if config["architecture"] == "gated":
        gate = product + weights["b_gate"]
        magnitude = inputs @ (weights["W_enc"] * np.exp(weights["r_mag"])) + weights["b_mag"]
        return np.where(gate > 0, np.maximum(magnitude, 0), 0), np.abs(gate) <= 1e-3
    before = product + weights["b_enc"]
    if config["architecture"] == "topk":
        least = np.sort(before, axis=-1)[:, -config["k"], None]
        return np.where(before >= least, np.maximum(before, 0), 0), np.abs(before - least) <= 1e-3
    threshold = weights.get("threshold", np.zeros(before.shape[-1]))
    near_threshold = np.abs(before - threshold) <= 1e-3 * np.maximum(1, threshold)
    return np.where(before > threshold, np.maximum(before, 0), 0), near_threshold


def counted(hidden: np.ndarray, ignored: Sequence[int], norm_cut: float | None) -> np.ndarray:
    """Boolean (T,): the positions that a recipe does not ignore."""
    unignored = ~np.isin(np.arange(len(hidden)), ignored)
    return unignored if norm_cut is None else unignored & (np.linalg.norm(hidden, axis=-1) <= norm_cut)


def logits(
    hf: Any, ids: Sequence[int], changes: Mapping[int, Change] | Mapping[HookSite, Change] | None = None
) -> torch.Tensor:
    """Logits (T, V) of one uncached run with activations changed at some sites."""
    handles = [_changing(hf, site, change) for site, change in (changes or {}).items()]
    try:
        with torch.inference_mode():
            return hf(torch.tensor([list(ids)]), use_cache=False).logits[0]
    finally:
        for handle in handles:
            handle.remove()


def _changing(hf: Any, site: HookSite, change: Change) -> Any:
    if isinstance(site, int):
        site = ("output", "model.embed_tokens" if site < 0 else f"model.layers.{site}")
    side, path = site
    module = hf.get_submodule(path)
    if side == "input":
        return module.register_forward_pre_hook(lambda _module, args: (change(args[0]), *args[1:]))

    def after(_module: Any, _args: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return module.register_forward_hook(after)


def greedy(
    hf: Any, ids: Sequence[int], n_tokens: int, changes: Mapping[int, Change] | Mapping[HookSite, Change] | None = None
) -> list[int]:
    """Greedy tokens of whole uncached runs, until EOS (3); fails if the two largest logits nearly tie."""
    generated: list[int] = []
    for _ in range(n_tokens):
        last = logits(hf, [*ids, *generated], changes)[-1]
        best = last.topk(2)
        assert best.values[0] - best.values[1] > 1e-3, "choose another prompt"
        generated.append(int(best.indices[0]))
        if generated[-1] == 3:
            break
    return generated


def added(vector: torch.Tensor, strength: float) -> Change:
    """h + c v."""
    return lambda hidden: hidden + strength * vector


def scaled(vector: torch.Tensor, strength: float) -> Change:
    """h + (c - 1) (h.u) u with u = v / |v|, by the projection matrix."""
    unit = vector / vector.norm()
    matrix = torch.eye(len(vector)) + (strength - 1) * torch.outer(unit, unit)
    return lambda hidden: hidden @ matrix


def capped(vector: torch.Tensor, limit: float) -> Change:
    """Limit the component of h along v to `limit`."""
    unit = vector / vector.norm()
    across = torch.eye(len(vector)) - torch.outer(unit, unit)
    return lambda hidden: torch.where((hidden @ unit > limit)[..., None], hidden @ across + limit * unit, hidden)


def in_turn(*changes: Change) -> Change:
    def all_of_them(hidden: torch.Tensor) -> torch.Tensor:
        for change in changes:
            hidden = change(hidden)
        return hidden

    return all_of_them
