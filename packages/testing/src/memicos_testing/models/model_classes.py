"""Causal language model classes of transformers with random weights: a few layers of width 32, windows of a few tokens.

CASES has a configuration for each class whose captures and generations equal those of transformers, and one for each
kind of scaled rotary position embeddings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

WINDOW = 6
"""Positions that a block with a sliding window attends to."""
CHUNK = 8
"""Positions of a chunk, for blocks that attend within chunks."""
ORIGINAL_LENGTH = 24
"""`original_max_position_embeddings` of the cases with scaled rotary embeddings."""
CONTEXT = 96

_COMMON: dict[str, Any] = {
    "vocab_size": 1024,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    "is_decoder": True,
    # names that differ between configurations
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "d_ff"), 56),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_attention_heads", "n_head", "n_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"), CONTEXT),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "sliding_window": WINDOW,
    "attention_chunk_size": CHUNK,
    # mixtures of experts
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    **dict.fromkeys(("n_group", "topk_group"), 1),
    # latent attention
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 8),
}
"""Sizes by the names of configurations; each class takes those that it has."""


def _rope(kind: str, **values: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **values}}


_ORIGINAL = {"original_max_position_embeddings": ORIGINAL_LENGTH}
_FACTORS = {"short_factor": [1.0, 1.0, 1.5, 2.0], "long_factor": [1.0, 4.0, 16.0, 64.0]}
_LONGROPE = _rope("longrope", **_FACTORS, **_ORIGINAL)


@dataclass(frozen=True)
class ModelCase:
    """`model_type` of transformers; `changes` to the common sizes, `without` those that do not go together with it.

    `boundary`: the largest length with the positions of short texts; None where nothing depends on the length.
    `float64`: False where parts of the class compute in float32, or do not run in float64 at all.
    """

    model_type: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    boundary: int | None = None
    float64: bool = True


def _classes(*model_types: str, float64: bool = True) -> dict[str, ModelCase]:
    return {model_type: ModelCase(model_type, float64=float64) for model_type in model_types}


CASES: dict[str, ModelCase] = {
    **_classes(
        "apertus", "arcee", "biogpt", "bitnet", "cohere", "cohere2", "ctrl", "cwm", "diffllama", "doge", "ernie4_5",
        "exaone4", "falcon", "gemma", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neox",
        "gpt_neox_japanese", "granite", "helium", "hunyuan_v1_dense", "jais2", "jetmoe", "lfm2", "llama", "ministral",
        "ministral3", "mistral", "modernbert-decoder", "nanochat", "nemotron", "olmo", "olmo2", "olmo3", "opt",
        "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "falcon_mamba",
        "gpt-sw3", "hyperclovax", "internlm3", "iquestcoder", "lfm3", "mamba", "megatron-bert", "openai-gpt",
        "qwen3_5_text", "rembert", "roberta", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "zamba",
        "persimmon", "phi", "phi3", "qwen2", "qwen3", "seed_oss", "smollm3", "stablelm", "starcoder2",
    ),
    **_classes(
        "afmoe", "aria_text", "dots1", "ernie4_5_moe", "flex_olmo", "gemma2", "glm4_moe", "gpt_oss", "granitemoe",
        "hunyuan_v1_moe", "llama4_text", "minimax_m2", "mixtral", "mpt", "olmoe", "phimoe", "qwen2_moe", "qwen3_moe",
        "vaultgemma", "xglm",
        "beam", "cohere2_moe", "exaone_moe", "flint", "gemma4_unified_text", "granite_swa", "granitemoe_swa",
        "granitemoeshared", "hy_v3", "inkling2_text", "inkling_text", "jamba", "kolibri1", "laguna", "mellum",
        "mimo_v2_flash", "minimax", "minimax_m3_vl_text", "nemotron_h", "olmo_hybrid", "qwen3_5_moe_text",
        "qwen3_next", "recurrent_gemma", "solar_open", "trocr",
        float64=False,
    ),
    "bloom": ModelCase("bloom", {"seq_length": CONTEXT}, float64=False),
    "codegen": ModelCase("codegen", {"rotary_dim": 4}, float64=False),
    "gptj": ModelCase("gptj", {"rotary_dim": 4}, float64=False),
    **{
        name: ModelCase(name, {"num_key_value_heads": 4}, float64=False)
        for name in ("deepseek_v2", "deepseek_v3", "glm4_moe_lite", "youtu")
    },
    "minicpm3": ModelCase("minicpm3", without=("head_dim", "num_key_value_heads")),
    "phi3 longrope": ModelCase("phi3", _LONGROPE | _ORIGINAL, boundary=ORIGINAL_LENGTH),
    "phimoe longrope": ModelCase(
        "phimoe",
        _rope("longrope", **_FACTORS, **_ORIGINAL, short_mscale=1.1, long_mscale=1.3) | _ORIGINAL,
        boundary=ORIGINAL_LENGTH,
        float64=False,
    ),
    "llama longrope": ModelCase("llama", _LONGROPE, boundary=ORIGINAL_LENGTH),
    "llama yarn": ModelCase("llama", _rope("yarn", factor=4.0, attention_factor=1.2, **_ORIGINAL)),
    "llama dynamic": ModelCase("llama", _rope("dynamic", factor=2.0)),
    "llama linear": ModelCase("llama", _rope("linear", factor=4.0)),
    "llama llama3": ModelCase(
        "llama", _rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, **_ORIGINAL)
    ),
}  # fmt: skip


REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "hrm_text", "longcat_flash", "marian", "mbart",
            "mvp", "pegasus",
        ),
        r"has no list of \d+ blocks",
    ),
    **dict.fromkeys(("deepseek_v4", "hy_v4", "prophetnet", "xlnet"), "has no residual stream of width 32"),
}  # fmt: skip
"""Classes that are refused when a model is loaded, with the reason in the message."""
UNTESTED: dict[str, str] = {
    **dict.fromkeys(
        (
            "blt", "dots3_note", "emu3", "fuyu", "gemma3", "gemma3n", "gemma4", "gemma4_unified", "git", "got_ocr2",
            "llama4", "mllama", "moss_transcribe_diarize", "musicgen", "musicgen_melody", "phi4_multimodal", "qwen3_5",
            "qwen3_5_moe", "qwen4_exp",
        ),
        "needs a configuration of several parts (images, sound or bytes)",
    ),
    **dict.fromkeys(
        (
            "axk1", "axk2", "bamba", "cohere_compass_text", "dbrx", "deepseek_v32", "dots3_note_text", "falcon_h1",
            "gemma3n_text", "gemma4_text", "glm_moe_dsa", "gpt_neo", "granitemoehybrid", "kimi_linear", "lfm2_moe",
            "mamba2", "qwen4_exp_text", "reformer", "zamba2", "zaya",
        ),
        "its configuration needs sizes of its own",
    ),
    **dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant"), "drafts tokens for another model"),
    **dict.fromkeys(("plbart", "whisper"), "the decoder of an encoder-decoder model"),
    "bailing_hybrid": "only single runs are compared: its cache fails in transformers",
    "cpmant": "puts prompt tokens of its own before the text",
    "moshi": "the text part of a speech model",
    "roberta-prelayernorm": "float32 rounding of a batch exceeds 1e-5",
    "rwkv": "runs without an attention mask; only its modes are tested",
    "xlstm": "runs without an attention mask; only its modes are tested",
    "xlm": "not causal by default: a token sees those after it",
    "xmod": "needs a language of the text",
}  # fmt: skip
"""Classes that are in none of the comparisons, with the reason. The checks at load compare what they run."""


def tiny_config(case: ModelCase) -> PreTrainedConfig:
    """The configuration of a case, with `_COMMON` as far as its class has these names."""
    defaults = AutoConfig.for_model(case.model_type)
    names = {*defaults.to_dict(), *type(defaults).attribute_map, *vars(defaults)}
    sizes = {name: value for name, value in _COMMON.items() if name in names and name not in case.without}
    if getattr(defaults, "sliding_window", None) is None:
        sizes.pop("sliding_window", None)
    return AutoConfig.for_model(case.model_type, **sizes | dict(case.changes))


def write_model(folder: Path, case: ModelCase, tokenizer: Path) -> Path:
    """Write the model of a case with random weights, and the tokenizer at `tokenizer`, into `folder`; return it."""
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(tiny_config(case))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # norms other than 1, so that values before and after a norm differ
            parameter.normal_(float("norm" in name and name.endswith("weight")), 0.15)
    model.save_pretrained(folder)
    loaded: Any = AutoTokenizer.from_pretrained(tokenizer)
    loaded.save_pretrained(folder)
    return folder
