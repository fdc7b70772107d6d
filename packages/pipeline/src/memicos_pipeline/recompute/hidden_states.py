"""Activations at hook points with TransformerLens' names, by plain transformers and PyTorch hooks.

The module of each hook point is listed here by architecture. The engine finds modules by TransformerLens instead, so
the two ways check each other.
"""

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from memicos_pipeline.recompute.errors import RecomputeError, in_a_line
from memicos_pipeline.recompute.own_prompt import OwnPrompt

_OF_LLAMA = {
    "hook_resid_mid": ("input", "post_attention_layernorm"),
    "hook_attn_out": ("output", "self_attn"),
    "hook_mlp_out": ("output", "mlp"),
    "attn.hook_z": ("input", "self_attn.o_proj"),
    "mlp.hook_in": ("input", "mlp"),
    "mlp.hook_post": ("input", "mlp.down_proj"),
}
_OF_GEMMA2 = _OF_LLAMA | {
    # the outputs of attention and MLP are normed before they are added to the residual stream
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
HOOK_MODULES: dict[str, dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "smollm3", "phi3"), _OF_LLAMA),
    **dict.fromkeys(("gemma2", "gemma3_text"), _OF_GEMMA2),
    "gpt2": _OF_GPT2,
    "gpt_neox": _OF_NEOX,
}
"""By transformers' model_type and hook point: side ("input" or "output") and submodule of the block."""
RESIDUAL_STREAM = {"hook_resid_pre": ("input", ""), "hook_resid_post": ("output", "")}
"""The residual stream before and after a block, in every architecture."""

_HOOK = re.compile(r"blocks\.([0-9]{1,4})\.(.+)")


class _HookReached(Exception):
    """Ends the forward pass at the hook: later modules are not needed."""


def load_model(location: str, dtype: str) -> Any:
    """Load the model in a folder or of a hub id in `dtype` on the CPU, with unprocessed weights.

    Raises:
        RecomputeError: it cannot be loaded.
    """
    logging.disable_progress_bar()
    if (Path(location).is_absolute() or location.startswith(".")) and not (Path(location) / "config.json").is_file():
        raise RecomputeError(f"{location} holds no model: there is no config.json")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            location,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise RecomputeError(f"the model {location} cannot be loaded: {in_a_line(error)}") from error
    model, info = loaded
    if info["missing_keys"]:
        raise RecomputeError(f"the weights of {location} lack {len(info['missing_keys'])} tensors")
    return model.eval()


def token_ids(location: str, prompt: OwnPrompt, prepend_bos: bool) -> list[int]:
    """Token ids of a text, or of a conversation in the model's chat template, without the tokenizer's own special
    tokens; with `prepend_bos` after BOS, if the prompt does not begin with it.

    Raises:
        RecomputeError: the tokenizer cannot be loaded, or its chat template rejects the conversation.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise RecomputeError(f"the tokenizer of {location} cannot be loaded: {in_a_line(error)}") from error
    text = prompt.text
    if prompt.messages:
        try:
            text = tokenizer.apply_chat_template(
                list(prompt.messages), tokenize=False, add_generation_prompt=prompt.add_generation_prompt
            )
        except (ValueError, TemplateError) as error:
            raise RecomputeError(
                f"the chat template of {location} rejects the conversation: {in_a_line(error)}"
            ) from error
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    return [bos, *ids] if prepend_bos and bos is not None and ids[:1] != [bos] else ids


def module_of(model: Any, hook_name: str) -> tuple[str, torch.nn.Module]:
    """Side ("input" or "output") and module of a hook point.

    Raises:
        RecomputeError: the hook point is not covered, or the model has no such layer.
    """
    match = _HOOK.fullmatch(hook_name)
    config = model.config.get_text_config(decoder=True)
    covered = RESIDUAL_STREAM | HOOK_MODULES.get(config.model_type, {})
    if config.model_type == "gpt_neox" and not config.use_parallel_residual:
        covered = covered | {"hook_resid_mid": ("input", "post_attention_layernorm")}
    if match is None or match.group(2) not in covered:
        raise RecomputeError(
            f"{hook_name} is not covered; covered hooks of a block of {config.model_type}: {', '.join(sorted(covered))}"
        )
    layer, count = int(match.group(1)), config.num_hidden_layers
    if layer >= count:
        raise RecomputeError(f"{hook_name}: the model has layers 0 to {count - 1}")
    # the part that reads text comes first: a part for images may have as many blocks
    modules = chain(model.get_decoder().modules(), model.base_model.modules())
    blocks = next(module for module in modules if isinstance(module, torch.nn.ModuleList) and len(module) == count)
    side, path = covered[match.group(2)]
    return side, blocks[layer].get_submodule(path)


@torch.inference_mode()
def activations(model: Any, hook_name: str, ids: Sequence[int]) -> np.ndarray:
    """Activations (T, D) float64 at the hook point when the model reads `ids` (T,).

    Raises:
        RecomputeError: as `module_of`, or an id is not in the model's vocabulary.
    """
    side, module = module_of(model, hook_name)
    if not 0 <= min(ids) <= max(ids) < model.get_input_embeddings().num_embeddings:
        raise RecomputeError(f"the model {model.name_or_path} has no token {max(ids)}, so it is not the recipe's model")
    captured: list[torch.Tensor] = []

    def capture(value: Any) -> None:
        captured.append(value[0] if isinstance(value, tuple) else value)
        raise _HookReached

    if side == "input":
        handle = module.register_forward_pre_hook(
            lambda _module, args, kwargs: capture(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
    else:
        handle = module.register_forward_hook(lambda _module, _args, output: capture(output))
    try:
        model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    except _HookReached:
        pass
    finally:
        handle.remove()
    return captured[0][0].double().numpy()
