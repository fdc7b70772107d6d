"""Activations at a hook point of TransformerLens' naming, by plain transformers and hooks of our own.

Where a hook point is in the modules of an architecture is written out here, apart from the engine, which finds it by
TransformerLens.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from memicos_pipeline.recompute.errors import RecomputeError, in_a_line

_OF_LLAMA = {
    "hook_resid_mid": ("input", "post_attention_layernorm"),
    "hook_attn_out": ("output", "self_attn"),
    "hook_mlp_out": ("output", "mlp"),
    "attn.hook_z": ("input", "self_attn.o_proj"),
    "mlp.hook_in": ("input", "mlp"),
    "mlp.hook_post": ("input", "mlp.down_proj"),
}
_OF_GEMMA2 = _OF_LLAMA | {
    # what attention and MLP give is normed before it is added
    "hook_resid_mid": ("input", "pre_feedforward_layernorm"),
    "hook_attn_out": ("output", "post_attention_layernorm"),
    "hook_mlp_out": ("output", "post_feedforward_layernorm"),
}
_OF_GPT2 = {
    "hook_resid_mid": ("input", "ln_2"),
    "hook_attn_out": ("output", "attn"),
    "hook_mlp_out": ("output", "mlp"),
    "attn.hook_z": ("input", "attn.c_proj"),
    "mlp.hook_in": ("input", "mlp"),
    "mlp.hook_post": ("input", "mlp.c_proj"),
}
_OF_NEOX = {
    "hook_attn_out": ("output", "attention"),
    "hook_mlp_out": ("output", "mlp"),
    "attn.hook_z": ("input", "attention.dense"),
    "mlp.hook_in": ("input", "mlp"),
    "mlp.hook_post": ("input", "mlp.dense_4h_to_h"),
}
PLACES: dict[str, dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "smollm3"), _OF_LLAMA),
    **dict.fromkeys(("gemma2", "gemma3_text"), _OF_GEMMA2),
    "gpt2": _OF_GPT2,
    "gpt_neox": _OF_NEOX,
}
"""By transformers' model_type, the side and the submodule of a block that a hook point within it is."""
STREAM = {"hook_resid_pre": ("input", ""), "hook_resid_post": ("output", "")}
"""The residual stream before and after a block, in every architecture."""

_HOOK = re.compile(r"blocks\.(\d{1,4})\.(.+)")


class _Reached(Exception):
    """Ends the run at the hook: what comes after it is not needed."""


def load_model(place: str, dtype: str) -> Any:
    """The model in a folder or of a hub id, in `dtype` on the CPU, weights as they are.

    Raises:
        RecomputeError: it cannot be loaded.
    """
    logging.disable_progress_bar()
    if (Path(place).is_absolute() or place.startswith(".")) and not (Path(place) / "config.json").is_file():
        raise RecomputeError(f"{place} holds no model: there is no config.json")
    try:
        found: Any = AutoModelForCausalLM.from_pretrained(
            place,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise RecomputeError(f"the model {place} cannot be loaded: {in_a_line(error)}") from error
    model, info = found
    if info["missing_keys"]:
        raise RecomputeError(f"the weights of {place} lack {len(info['missing_keys'])} tensors")
    return model.eval()


def token_ids(place: str, text: str, prepend_bos: bool) -> list[int]:
    """What a recipe makes of a text: the tokenizer's ids without its own special tokens, after BOS where there is one.

    Raises:
        RecomputeError: the tokenizer cannot be loaded.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise RecomputeError(f"the tokenizer of {place} cannot be loaded: {in_a_line(error)}") from error
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    return [bos, *ids] if prepend_bos and bos is not None else ids


def module_of(model: Any, hook_name: str) -> tuple[str, torch.nn.Module]:
    """Side ("input" or "output") and module of a hook point.

    Raises:
        RecomputeError: it is not covered here, or the model has no such layer.
    """
    found = _HOOK.fullmatch(hook_name)
    config = model.config.get_text_config(decoder=True)
    places = STREAM | PLACES.get(config.model_type, {})
    if config.model_type == "gpt_neox" and not config.use_parallel_residual:
        places = places | {"hook_resid_mid": ("input", "post_attention_layernorm")}
    if found is None or found.group(2) not in places:
        raise RecomputeError(
            f"{hook_name} is not covered: of {config.model_type} {', '.join(sorted(places))} of a block are"
        )
    layer, count = int(found.group(1)), config.num_hidden_layers
    if layer >= count:
        raise RecomputeError(f"{hook_name}: the model has layers 0 to {count - 1}")
    lists = (one for one in model.base_model.modules() if isinstance(one, torch.nn.ModuleList) and len(one) == count)
    side, path = places[found.group(2)]
    return side, next(lists)[layer].get_submodule(path)


@torch.inference_mode()
def activations(model: Any, hook_name: str, ids: Sequence[int]) -> np.ndarray:
    """What is at the hook, (T, D) float64, when the model reads `ids` (T,).

    Raises:
        RecomputeError: as `module_of`, or an id that the model has not.
    """
    side, module = module_of(model, hook_name)
    if not 0 <= min(ids) <= max(ids) < model.get_input_embeddings().num_embeddings:
        raise RecomputeError(f"the model {model.name_or_path} has no token {max(ids)}: it is not the recipe's")
    kept: list[torch.Tensor] = []

    def keep(value: Any) -> None:
        kept.append(value[0] if isinstance(value, tuple) else value)
        raise _Reached

    if side == "input":
        handle = module.register_forward_pre_hook(
            lambda _module, args, kwargs: keep(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
    else:
        handle = module.register_forward_hook(lambda _module, _args, output: keep(output))
    try:
        model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    except _Reached:
        pass
    finally:
        handle.remove()
    return kept[0][0].double().numpy()
