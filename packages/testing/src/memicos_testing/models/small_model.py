"""A real model small enough for tests: glassllm (0.85M parameters, English stories) as a transformers Llama, and SAEs.

glassllm's wheel carries numpy weights (MIT). The conversion is exact; `small_model` checks its logits and tokens
against glassllm's own before it writes anything.
"""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from glassllm import load_pretrained
from sae_lens import SAE
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

NAME = "glassllm-en"
SAMPLE = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do. "
    "Once or twice she had peeped into the book her sister was reading, but it had no pictures or conversations "
    "in it. There was nothing so very remarkable in that; nor did she think it so very much out of the way to hear "
    "the Rabbit say to itself, I shall be late! The King and Queen of Hearts were seated on their throne when they "
    "arrived, with a great crowd about them: all sorts of little birds and beasts, as well as the whole pack of cards."
)
_WORD_START = "\u2581"


def small_model(folder: Path) -> Path:
    """Write the converted model and its tokenizer into `folder` and return it. BOS is 2, EOS 3; no chat template.

    Takes about a second.
    """
    model, tokenizer = _converted()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def small_sae(folder: Path, layer: int, width: int, seed: int = 0, architecture: str = "jumprelu") -> Path:
    """Write an SAE of `width` features on `blocks.<layer>.hook_resid_post` in SAELens' format; return `folder`.

    Directions are noisy differences between the model's own activations and their mean, biases and thresholds
    quantiles of what they give on SAMPLE: nearly every feature fires on 2 to 15% of positions ("topk": 8 at each).
    `architecture` is "jumprelu", "standard", "gated" or "topk".
    """
    rng = np.random.default_rng(seed)
    hidden = hidden_on_sample(layer)
    mean = hidden.mean(0)
    spread = (hidden - mean) / np.linalg.norm(hidden - mean, axis=1, keepdims=True)
    noise = rng.normal(size=(width, hidden.shape[1]))
    rows = spread[rng.integers(len(spread), size=width)] + 0.5 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pre = (hidden - mean) @ rows.T
    rates = rng.uniform(0.02, 0.15, size=width)
    threshold = np.array([np.quantile(pre[:, i], 1 - rates[i]) for i in range(width)]).clip(min=0.01)
    centre = -(rows @ mean)
    weights = {"W_dec": rows, "W_enc": rows.T, "b_dec": mean}
    extra: dict[str, Any] = {}
    if architecture == "jumprelu":
        weights |= {"b_enc": centre, "threshold": threshold}
    elif architecture == "standard":
        weights |= {"b_enc": centre - threshold}
    elif architecture == "gated":
        r_mag = rng.normal(0, 0.2, size=width)
        weights |= {"b_gate": centre - threshold, "r_mag": r_mag, "b_mag": centre * np.exp(r_mag)}
    elif architecture == "topk":
        weights |= {"b_enc": centre}
        extra = {"k": min(8, width)}
    else:
        raise ValueError(f"no small SAE of architecture {architecture!r}")
    config = {
        "architecture": architecture,
        "d_in": hidden.shape[1],
        "d_sae": width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "metadata": {
            "model_name": NAME,
            "hook_name": f"blocks.{layer}.hook_resid_post",
            "prepend_bos": True,
            "context_size": 128,
            "neuronpedia_id": f"{NAME}/{layer}-small",
        },
        **extra,
    }
    sae = SAE.from_dict(config)
    sae.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()})
    sae.save_model(folder)
    return folder


def random_sae(folder: Path, hook_name: str, d_in: int, width: int, seed: int = 0, prepend_bos: bool = True) -> Path:
    """Write a standard SAE of random weights at any hook in SAELens' format; return `folder`.

    Decoder rows are of length 1, and every feature fires on about half of the positions.
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(width, d_in))
    weights = {
        "W_dec": rows / np.linalg.norm(rows, axis=1, keepdims=True),
        "W_enc": rng.normal(size=(d_in, width)),
        "b_dec": np.zeros(d_in),
        "b_enc": 0.1 * rng.normal(size=width),
    }
    sae = SAE.from_dict(
        {
            "architecture": "standard",
            "d_in": d_in,
            "d_sae": width,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": False,
            "metadata": {"hook_name": hook_name, "prepend_bos": prepend_bos, "context_size": 128},
        }
    )
    sae.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()})
    sae.save_model(folder)
    return folder


def without_bos(folder: Path, target: Path) -> Path:
    """Copy the model in `folder` to `target`, its tokenizer without a BOS token; return `target`."""
    return _without_token(folder, target, "bos_token")


def without_eos(folder: Path, target: Path) -> Path:
    """Copy the model in `folder` to `target`, its tokenizer without an EOS token; return `target`."""
    return _without_token(folder, target, "eos_token")


def _without_token(folder: Path, target: Path, name: str) -> Path:
    shutil.copytree(folder, target, dirs_exist_ok=True)
    config = target / "tokenizer_config.json"
    content = json.loads(config.read_text())
    del content[name]
    config.write_text(json.dumps(content))
    return target


def write_extras(folder: Path, ignored_positions: list[int], norm_cut: float | None) -> None:
    """The recipe's fields that SAELens' cfg.json lacks."""
    extras = {"ignored_positions": ignored_positions, "norm_cut": norm_cut}
    (folder / "memicos.json").write_text(json.dumps(extras), encoding="utf-8")


@cache
def hidden_on_sample(layer: int) -> np.ndarray:
    """Residual stream (T, D) after `layer` on SAMPLE, without BOS."""
    model, tokenizer = _converted()
    captured: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        captured.append(output)

    handle = model.model.layers[layer].register_forward_hook(keep)
    try:
        with torch.inference_mode():
            ids = [tokenizer.bos_token_id, *tokenizer.encode(SAMPLE, add_special_tokens=False)]
            model(torch.tensor([ids[: model.config.max_position_embeddings]]))
    finally:
        handle.remove()
    return captured[0][0, 1:].double().numpy()


@cache
def _converted() -> tuple[Any, PreTrainedTokenizerFast]:
    glass, glass_tokenizer = load_pretrained("en")
    config = glass.cfg
    d_head = config.d_model // config.n_heads

    def unchanged(parameter: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(parameter.data, dtype=np.float32))

    def turned(parameter: Any) -> torch.Tensor:
        return unchanged(parameter).T.contiguous()

    def half_split(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
        """Reorder rows from glassllm's rotary layout (adjacent pairs) to Llama's (halves of a head)."""
        return weight.view(n_heads, d_head // 2, 2, -1).transpose(1, 2).reshape(n_heads * d_head, -1)

    model: Any = LlamaForCausalLM(  # transformers' types lack the attributes of a loaded model
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            intermediate_size=glass.blocks[0].ffn.W1.data.shape[1],
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            max_position_embeddings=config.max_len,
            rms_norm_eps=config.eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base},
            tie_word_embeddings=True,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        )
    )
    state = {
        "model.embed_tokens.weight": unchanged(glass.E),
        "lm_head.weight": unchanged(glass.E),
        "model.norm.weight": unchanged(glass.norm_f.gamma),
    }
    for i, block in enumerate(glass.blocks):
        layer = f"model.layers.{i}"
        state |= {
            f"{layer}.input_layernorm.weight": unchanged(block.norm1.gamma),
            f"{layer}.self_attn.q_proj.weight": half_split(turned(block.attn.W_Q), config.n_heads),
            f"{layer}.self_attn.k_proj.weight": half_split(turned(block.attn.W_K), config.n_kv_heads),
            f"{layer}.self_attn.v_proj.weight": turned(block.attn.W_V),
            f"{layer}.self_attn.o_proj.weight": turned(block.attn.W_O),
            f"{layer}.post_attention_layernorm.weight": unchanged(block.norm2.gamma),
            f"{layer}.mlp.gate_proj.weight": turned(block.ffn.W1),
            f"{layer}.mlp.up_proj.weight": turned(block.ffn.W3),
            f"{layer}.mlp.down_proj.weight": turned(block.ffn.W2),
        }
    model.load_state_dict(state)
    model.eval()
    tokenizer = _tokenizer(glass_tokenizer)
    _check(glass, glass_tokenizer, model, tokenizer)
    return model, tokenizer


def _tokenizer(glass_tokenizer: Any) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE(vocab=glass_tokenizer.token_to_id, merges=glass_tokenizer.merges, unk_token="<unk>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", _WORD_START)])
    words = Regex(f"\\n|{_WORD_START}*[^{_WORD_START}\\n]+|{_WORD_START}+")
    bpe.pre_tokenizer = pre_tokenizers.Split(words, "isolated")
    bpe.decoder = decoders.Replace(_WORD_START, " ")
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, unk_token="<unk>", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )


def _check(glass: Any, glass_tokenizer: Any, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    sentence = SAMPLE[:105]
    ids = glass_tokenizer.encode(sentence)
    if ids != tokenizer.encode(sentence, add_special_tokens=False):
        raise AssertionError("the converted tokenizer splits the text differently")
    with torch.inference_mode():
        converted = model(torch.tensor([ids])).logits[0].numpy()
    difference = np.abs(glass.forward(ids).data[0] - converted).max()
    if difference > 1e-4:
        raise AssertionError(f"converted logits differ by {difference}")
