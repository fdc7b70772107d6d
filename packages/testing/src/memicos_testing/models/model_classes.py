"""Causal language model classes of transformers with random weights: a few layers of width 32, windows of a few tokens.

CASES has a configuration for each class whose captures and generations equal those of transformers, and for each kind
of computation that depends on the length of the text (`memicos_engine.model.length_mechanisms`).
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
    # lengths at which something else is computed
    **dict.fromkeys(("index_topk", "indexer_budget"), 16),
    "index_block_size": 8,
    "index_topk_blocks": 2,
    "window_size": WINDOW,
    **dict.fromkeys(("chunk_size", "mamba_chunk_size", "block_size"), CHUNK),
    # enough heads that scores of an index, of which many are 0, have no ties
    "index_n_heads": 16,
    "index_head_dim": 16,
    # recurrent states
    **dict.fromkeys(("mamba_n_heads", "n_mamba_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_headdim", "mamba_d_state", "state_size", "linear_head_dim"), 8),
    "linear_num_heads": 4,
    **dict.fromkeys(("mamba_n_groups", "n_groups"), 1),
    # embeddings per layer
    "vocab_size_per_layer_input": 1024,
    "hidden_size_per_layer_input": 8,
    # images
    "image_size": 28,
    "patch_size": 14,
    # latent attention
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 8),
}
"""Sizes by the names of configurations; each class takes those that it has."""


def _rope(kind: str, **values: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **values}}


_ORIGINAL = {"original_max_position_embeddings": ORIGINAL_LENGTH}
_FACTORS = {"short_factor": [1.0, 1.0, 1.5, 2.0], "long_factor": [1.0, 4.0, 16.0, 64.0]}
_LAYER_ROPE = {
    "rope_parameters": {
        layer_type: {"rope_type": "default", "rope_theta": 10_000.0}
        for layer_type in ("full_attention", "sliding_attention")
    }
}
_DECODER = {
    **dict.fromkeys(("decoder_layers", "decoder_attention_heads", "encoder_layers", "encoder_attention_heads"), 4),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim"), 56),
}
_DOTS3 = {
    **dict.fromkeys(("num_key_value_heads", "swa_num_attention_heads", "swa_num_key_value_heads"), 4),
    **dict.fromkeys(("swa_q_lora_rank", "swa_kv_lora_rank", "head_dim", "swa_head_dim"), 16),
    **dict.fromkeys(("swa_qk_nope_head_dim", "swa_v_head_dim"), 8),
    "shared_experts_intermediate_size": 24,
}
_GEMMA4_ASSISTANT = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}
_QWEN4 = {
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "hc_lowrank": 8, "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_compress_ratio": 4,
    "ple_embed_dim": 16, "ngram_vocab_size_base": 100, "split_ngram_parts": 1, "shared_expert_intermediate_size": 24,
}  # fmt: skip
_LONGROPE = _rope("longrope", **_FACTORS, **_ORIGINAL)


@dataclass(frozen=True)
class ModelCase:
    """`model_type` of transformers; `changes` to the common sizes, `without` those that do not go together with it.

    `boundary`: the largest length with the positions of short texts; None where nothing depends on the length.
    `float64`: False where parts of the class compute in float32, or do not run in float64 at all. `causal`: False where
    transformers' values at a position depend on the number of tokens after it. `parts`: changes to the configurations
    of the parts of a class that reads text and images, say. `defaults`: values without which the class has no valid
    configuration.
    """

    model_type: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    boundary: int | None = None
    float64: bool = True
    causal: bool = True
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


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
    "axk1": ModelCase("axk1", {"num_key_value_heads": 4}, float64=False),
    **{
        name: ModelCase(name, {"num_key_value_heads": 4}, float64=False)
        for name in ("axk2", "deepseek_v32", "glm_moe_dsa")
    },
    "bamba": ModelCase("bamba", {"attn_layer_indices": [1, 3]}, float64=False),
    "cohere_compass_text": ModelCase("cohere_compass_text", _LAYER_ROPE, float64=False),
    "dbrx": ModelCase(
        "dbrx",
        {
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10_000.0},
            "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
        },
    ),
    "roberta-prelayernorm": ModelCase("roberta-prelayernorm"),
    "falcon_h1": ModelCase("falcon_h1", {"mamba_d_ssm": 64}, float64=False),
    "falcon alibi": ModelCase("falcon", {"alibi": True}),
    "gemma4_text": ModelCase("gemma4_text", float64=False),
    "gpt_neo": ModelCase(
        "gpt_neo", {"num_layers": 4, "num_heads": 4, "attention_types": [[["global", "local"], 2]]},
        ("num_hidden_layers", "num_attention_heads"), float64=False,
    ),
    "granitemoehybrid": ModelCase(
        "granitemoehybrid", {"shared_intermediate_size": 24, "layer_types": ["mamba", "attention"] * 2}, float64=False
    ),
    "kimi_linear": ModelCase(
        "kimi_linear", {"num_key_value_heads": 4, "num_experts_per_token": 2}, ("head_dim",), float64=False
    ),
    "lfm2_moe": ModelCase(
        "lfm2_moe", {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1}, float64=False
    ),
    "mamba2": ModelCase("mamba2", {"num_heads": 8}, float64=False),
    "zamba2": ModelCase(
        "zamba2",
        {
            "layers_block_type": ["mamba", "hybrid"] * 2, "attention_hidden_size": 64, "attention_head_dim": 16,
            "num_key_value_heads": 4, "adapter_rank": 8,
        },
        float64=False,
    ),
    "zaya": ModelCase("zaya", {"router_hidden_size": 16, "num_experts_per_tok": 1}, float64=False),
    "ministral3 yarn": ModelCase(
        "ministral3", _rope("yarn", factor=4.0, llama_4_scaling_beta=0.1, **_ORIGINAL)
    ),
    "minimax_m3 indexed": ModelCase(
        "minimax_m3_vl_text",
        {"layer_types": ["full_attention", "minimax_m3_sparse"] * 2, "index_n_heads": 2, "index_head_dim": 8},
        float64=False,
    ),
    **{
        name: ModelCase(name, float64=False)
        for name in ("gemma3", "gemma4", "gemma4_unified", "got_ocr2", "llama4", "fuyu", "qwen3_5", "qwen3_5_moe")
    },
    "llama4 temperature": ModelCase("llama4_text", {"floor_scale": CHUNK * 2, "attn_scale": 0.5}, float64=False),
    "inkling temperature": ModelCase(
        "inkling_text",
        {
            "log_scaling_n_floor": CHUNK * 2, "log_scaling_alpha": 0.5, "layer_types": ["hybrid_sliding", "hybrid"] * 2,
        },
        float64=False,
    ),
    "doge indexed": ModelCase("doge", {"keep_window_size": 16}, causal=False),
    "minicpm3": ModelCase("minicpm3", without=("head_dim", "num_key_value_heads")),
    **_classes("emu3", "git", "moshi", "moss_transcribe_diarize", "phi4_multimodal", "rwkv", float64=False),
    "bailing_hybrid": ModelCase("bailing_hybrid", {"num_key_value_heads": 4, "layer_group_size": 2}, float64=False),
    "dots3_note_text": ModelCase("dots3_note_text", _DOTS3, float64=False),
    "dots3_note": ModelCase(
        "dots3_note",
        parts={
            "text_config": _DOTS3,
            "vision_config": {"adapter_in_dim": 32, "adapter_out_dim": 32, "mlp_layer_types": ["dense"] * 4},
            "audio_config": {"adapter_input_size": 32, "adapter_out_dim": 32},
        },
        float64=False,
    ),
    "plbart": ModelCase("plbart", _DECODER),
    "whisper": ModelCase("whisper", _DECODER | {"max_target_positions": CONTEXT}),
    "xlstm": ModelCase(
        "xlstm", {"num_heads": 4, "num_blocks": 4, "embedding_dim": 32, "ffn_round_up_to_multiple_of": 8}, float64=False
    ),
    "xmod": ModelCase("xmod", {"default_language": "en_XX"}),
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


REFUSED: dict[str, tuple[ModelCase, str]] = {
    **{
        name: (ModelCase(name), r"has no list of \d+ blocks")
        for name in (
            "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "hrm_text", "longcat_flash", "marian", "mbart",
            "mvp", "pegasus",
        )
    },
    **{
        name: (ModelCase(name), "has no residual stream of width 32")
        for name in ("deepseek_v4", "hy_v4", "prophetnet", "xlnet")
    },
    "gemma3n_text": (
        ModelCase(
            "gemma3n_text",
            {
                "layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2, "laurel_rank": 8,
                "intermediate_size": [56] * 4, "activation_sparsity_pattern": [0.0] * 4,
            },
        ),
        "has no residual stream of width 32",
    ),
    "qwen4_exp_text": (ModelCase("qwen4_exp_text", _QWEN4), "has no residual stream of width 32"),
    "qwen4_exp": (ModelCase("qwen4_exp", parts={"text_config": _QWEN4}), "has no residual stream of width 32"),
    "cpmant": (ModelCase("cpmant", {"dim_head": 8, "dim_ff": 56}), "has no residual stream of width 32"),
    "xlm": (ModelCase("xlm", {"causal": True}), "has no list of 4 blocks"),
    "blt": (ModelCase("blt"), "has no attribute 'num_hidden_layers'"),
    "mllama": (ModelCase("mllama"), r"does not run the module of blocks\.3\.hook_resid_post on a text"),
    "reformer": (
        ModelCase(
            "reformer",
            {
                "axial_pos_embds": False, "attention_head_size": 8, "feed_forward_size": 56, "num_buckets": 4,
                "attn_layers": ["local", "lsh"] * 2, "local_attn_chunk_length": 8, "lsh_attn_chunk_length": 8,
            },
            ("num_hidden_layers",),
        ),
        "has no residual stream of width 32",
    ),
}  # fmt: skip
"""Classes that are refused when a model is loaded, with the reason in the message."""
NOT_BUILT: dict[str, tuple[ModelCase, str]] = {
    **{
        name: (ModelCase(name), "has no attribute 'dropout'") for name in ("musicgen", "musicgen_melody")
    },
    "gemma3n": (ModelCase("gemma3n"), "requires the timm library"),
    "gemma4_assistant": (
        ModelCase(
            "gemma4_assistant",
            parts={"text_config": _GEMMA4_ASSISTANT},
            defaults={"text_config": {"model_type": "gemma4_text", **_GEMMA4_ASSISTANT}},
        ),
        "The set of layer types producing a cache is different",
    ),
    "gemma4_unified_assistant": (
        ModelCase("gemma4_unified_assistant"), "The set of layer types producing a cache is different",
    ),
}  # fmt: skip
"""Classes that transformers cannot build from such a configuration, with the reason in its message."""


def tiny_config(case: ModelCase) -> PreTrainedConfig:
    """The configuration of a case, with `_COMMON` as far as its class has these names."""
    defaults: Any = AutoConfig.for_model(case.model_type, **case.defaults)
    parts = {name: getattr(defaults, name, None) for name in defaults.sub_configs}
    sizes = {
        name: _sizes(part) | dict(case.parts.get(name, {}))
        for name, part in parts.items()
        if isinstance(part, PreTrainedConfig)
    }
    own = {name: value for name, value in _sizes(defaults).items() if name not in case.without}
    return AutoConfig.for_model(case.model_type, **sizes | own | dict(case.changes))


def _sizes(defaults: PreTrainedConfig) -> dict[str, Any]:
    """Those of `_COMMON` that the configuration `defaults` has."""
    names = {*defaults.to_dict(), *type(defaults).attribute_map, *vars(defaults)}
    sizes = {name: value for name, value in _COMMON.items() if name in names}
    if getattr(defaults, "sliding_window", None) is None:
        sizes.pop("sliding_window", None)
    return sizes


def write_model(folder: Path, case: ModelCase, tokenizer: Path) -> Path:
    """Write the model of a case with random weights, and the tokenizer at `tokenizer`, into `folder`; return it."""
    torch.manual_seed(0)
    config = tiny_config(case)
    model: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # norms other than 1, so that values before and after a norm differ; modules with norms may have "norm" in
            # their names too
            is_norm = parameter.ndim == 1 and "norm" in name and name.endswith("weight")
            parameter.normal_(float(is_norm), 0.15)
    model.save_pretrained(folder)
    # a published checkpoint has the configuration of all parts, whatever class reads its text
    config.save_pretrained(folder)
    loaded: Any = AutoTokenizer.from_pretrained(tokenizer)
    loaded.save_pretrained(folder)
    return folder
