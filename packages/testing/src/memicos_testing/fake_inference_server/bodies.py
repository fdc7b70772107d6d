"""Values and response bodies of the fake inference server."""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

BOS = "<|bos|>"
END = "<|end|>"
"""Special token at the end of a chat's raw text."""
FEATURES = 64
UNTESTED = {"state": "off", "allowed": False, "seconds": 0, "checks": []}


def tokens_of(text: str) -> list[str]:
    """BOS, then the words with the space before them."""
    # a text that begins with a space begins with a word that has it
    words = text.removeprefix(" ").split(" ")
    return [BOS, *(word if i == 0 and not text.startswith(" ") else f" {word}" for i, word in enumerate(words))]


def prompts_of(body: dict[str, Any]) -> list[list[str]]:
    """Tokens of each prompt of a request. A conversation's text is its turns, each after its role."""
    if "messages" in body:
        chats = body["messages"] if isinstance(body["messages"][0], list) else [body["messages"]]
        end = ["assistant:"] if body.get("add_generation_prompt", True) else []
        texts = [" ".join([*(f"{turn['role']}: {turn['content']}" for turn in chat), *end]) for chat in chats]
    elif isinstance(body.get("prompt"), list):
        texts = [" ".join(turn["content"] for turn in body["prompt"])]
    else:
        texts = body["prompts"] if "prompts" in body else [body["prompt"]]
    start = int(body.get("prepend_bos") is False)
    return [tokens_of(text)[start:] for text in texts]


def ignored_of(tokens: Sequence[str]) -> list[int]:
    return [0] if tokens[:1] == [BOS] else []


def value_of(source: str, index: int, token: str) -> float:
    """Activation of a feature on a token: 0 on three of four tokens, up to 16 on the others, 100 on BOS."""
    if token == BOS:
        return 100.0
    number = crc32(f"{source}/{index}/{token.strip()}".encode())
    return 0.0 if number % 4 else 0.25 * (1 + number // 4 % 64)


def projection_of(vector: Sequence[float], token: str) -> float:
    """Dot product of a vector with the activation of a token, whose every entry is the same whole number, -8 to 7."""
    return sum(vector) * (crc32(token.strip().encode()) % 16 - 8)


def capabilities_body(
    model: str,
    sources_served: Sequence[str],
    token_limit: int,
    max_num_results: int,
    max_text_characters: int | None = None,
) -> dict[str, Any]:
    """The body of /v1/capabilities."""
    limits = {
        "token_limit": token_limit,
        "max_text_characters": max_text_characters,
        "context": 256,
        "max_completion_tokens": 256,
        "max_prompts": 64,
        "batch_tokens": 1000,
        "capture_bytes": 2**31,
        "max_values": 100_000,
        "max_hooks": 64,
        "max_num_results": max_num_results,
        "max_top_k": 100,
        "max_steered": 64,
        "max_logprobs": 10,
        "max_loaded_saes": 10,
        "sae_bytes": 2**30,
        "max_waiting": 8,
        "body_bytes": 100_000,
    }
    sources = [
        {
            "id": source,
            "source_set": source.split("-", 1)[1],
            "hook": f"blocks.{source[0]}.hook_resid_post",
            "steer_hook": f"blocks.{source[0]}.hook_resid_post",
            "layer": int(source[0]),
            "d_in": 16,
            "d_sae": FEATURES,
            "architecture": "jumprelu",
            "prepend_bos": True,
            "context_size": 32,
            "ignored_positions": [0],
            "norm_cut": None,
            "loaded": True,
            "recipe": recipe_body(model, source),
        }
        for source in sources_served
    ]
    return {
        "model": model,
        "accepted_models": [model],
        "weights": "none",
        "origin": "arithmetic",
        "dtype": "float32",
        "sae_dtype": "float32",
        "device": "cpu",
        "num_layers": 4,
        "d_model": 16,
        "d_vocab": 100,
        "chat_template": True,
        "sae_sets": sorted({source.split("-", 1)[1] for source in sources_served}),
        "sources": sources,
        "unavailable_sources": [],
        "steer_methods": ["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP"],
        "steer_hooks": ["blocks.N.hook_resid_post"],
        "unsteerable_hooks": [],
        "endpoints": [],
        "limitations": [],
        "limits": limits,
        "selftest": UNTESTED,
    }


def recipe_body(model: str, source: str) -> dict[str, Any]:
    """The recipe of a source in responses."""
    return {
        "model": model,
        "weights": "arithmetic",
        "dtype": "bfloat16",
        "weight_processing": "none",
        "prepend_bos": True,
        "hook_name": f"blocks.{source[0]}.hook_resid_post",
        "context_size": 32,
        "ignored_positions": [0],
        "norm_cut": None,
        "sae": {
            "weights": source,
            "architecture": "jumprelu",
            "dtype": "bfloat16",
            "normalize_activations": "none",
            "norm_scaling_factor": None,
            "unit_directions": True,
        },
    }
