"""Models of several architectures with random weights, 3 layers of width 32; the tokenizer is small_model's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    OPTConfig,
    Phi3Config,
    PhimoeConfig,
    Qwen2Config,
)

_SAME: dict[str, Any] = {"vocab_size": 1024, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
_USUAL: dict[str, Any] = _SAME | {
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_GROUPED: dict[str, Any] = _USUAL | {"num_key_value_heads": 2}
LONGROPE_LIMIT = 24
"""Tokens of the longest text with the short frequencies of the models with longrope."""
_LONGROPE_LIMIT: dict[str, Any] = {"original_max_position_embeddings": LONGROPE_LIMIT}
_LONGROPE: dict[str, Any] = _LONGROPE_LIMIT | {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0, 1.0, 1.5, 2.0],
    "long_factor": [1.0, 4.0, 16.0, 64.0],
}
CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaConfig(**_GROUPED),
    "gpt2": lambda: GPT2Config(**_SAME, n_embd=32, n_inner=56, n_layer=3, n_head=4, n_positions=64),
    "gpt_neox": lambda: GPTNeoXConfig(**_USUAL),
    "gemma2": lambda: Gemma2Config(**_GROUPED, head_dim=16),
    "gemma2-near": lambda: Gemma2Config(**_GROUPED, head_dim=16, sliding_window=6),
    "gemma3": lambda: Gemma3TextConfig(**_GROUPED, head_dim=16, sliding_window=16),
    "qwen2": lambda: Qwen2Config(**_GROUPED),
    "granite": lambda: GraniteConfig(**_GROUPED, residual_multiplier=0.3),
    "phi3-longrope": lambda: Phi3Config(**_GROUPED, rope_parameters=_LONGROPE, **_LONGROPE_LIMIT),
    "llama-longrope": lambda: LlamaConfig(**_GROUPED, rope_parameters=_LONGROPE),
    "phimoe-longrope": lambda: PhimoeConfig(
        **_GROUPED,
        num_local_experts=4,
        rope_parameters=_LONGROPE | {"short_mscale": 1.1, "long_mscale": 1.3},
        **_LONGROPE_LIMIT,
    ),
    "opt": lambda: OPTConfig(**_SAME, hidden_size=32, ffn_dim=56, num_hidden_layers=3, num_attention_heads=4),
}


def tiny_model(folder: Path, architecture: str, tokenizer: Path) -> Path:
    """Write a model of one of CONFIGS and the tokenizer at `tokenizer` into `folder`; return it. Qwen2 has no BOS."""
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(CONFIGS[architecture]())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # norms other than 1, so that values before and after a norm differ
            centre = float(
                ("norm" in name or "ln_" in name) and name.endswith("weight") and not architecture.startswith("gemma")
            )
            parameter.normal_(centre, 0.3)
    model.save_pretrained(folder)
    loaded_tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer)
    if architecture == "qwen2":
        loaded_tokenizer.bos_token = None
    loaded_tokenizer.save_pretrained(folder)
    return folder
