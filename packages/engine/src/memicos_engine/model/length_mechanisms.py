"""The lengths of text at which parts of a model begin to compute differently, from its configuration.

A sliding window has no effect on a text that fits into it, for example: an error in its mask shows only beyond that
length. The self-test therefore compares texts on both sides of each boundary (`memicos_engine.selftest.length_check`).
docs/inference.md has the table of kinds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STATE_CHUNK = 64
"""Tokens of a chunk of the gated delta rule, a constant in transformers' code of these classes."""


@dataclass(frozen=True)
class LengthMechanism:
    """`boundary` is the number of tokens of the longest text on which the mechanism has no effect."""

    kind: str
    boundary: int


ROPE_BOUNDARIES: Mapping[str, str | None] = {
    "default": None,
    "linear": None,
    "proportional": None,
    "dynamic": "max_position_embeddings",
    "llama3": "original_max_position_embeddings",
    "longrope": "original_max_position_embeddings",
    "yarn": "original_max_position_embeddings",
}
"""The field with the boundary of each type of rotary position embeddings; None: no length plays a part."""

_WINDOW, _CHUNKS, _INDEX, _STATE = "sliding window", "attention chunks", "indexed attention", "state chunks"

LAYER_BOUNDARIES: Mapping[str, tuple[str, Callable[[Any], int | None]] | None] = {
    "full_attention": None,
    "conv": None,
    "moe": None,
    "window_attention": None,  # of images
    "reference_sliding_attention": (_WINDOW, lambda config: _window(config)),
    "sliding_attention": (_WINDOW, lambda config: _window(config)),
    "hybrid_sliding": (_WINDOW, lambda config: _window(config)),
    "chunked_attention": (_CHUNKS, lambda config: _number(config, "attention_chunk_size")),
    "indexed_attention": (_INDEX, lambda config: _number(config, "index_topk", "indexer_budget")),
    "minimax_m3_sparse": (_INDEX, lambda config: config.index_topk_blocks * config.index_block_size),
    "compressed_sparse_attention": (_WINDOW, lambda config: _window(config)),
    "heavily_compressed_attention": (_WINDOW, lambda config: _window(config)),
    "linear_attention": (_STATE, lambda config: _state_chunk(config)),
    "hybrid": (_STATE, lambda config: _state_chunk(config)),
}
"""The kind of mechanism and its boundary by type of layer; None: no length plays a part."""


def length_mechanisms(config: Any) -> tuple[LengthMechanism, ...]:
    """The mechanisms of the model with the (text) configuration `config` that depend on length, by their boundary."""
    found = {
        mechanism
        for mechanisms in (_rope, _layers, _other_attention)
        for mechanism in mechanisms(config)
        if mechanism.boundary > 0
    }
    return tuple(sorted(found, key=lambda mechanism: (mechanism.boundary, mechanism.kind)))


def length_boundaries(config: Any, longest_text: int) -> dict[int, list[str]]:
    """Kinds of mechanisms by boundary, in ascending order, of the boundaries that texts of `longest_text` exceed."""
    kinds: dict[int, list[str]] = {}
    for mechanism in length_mechanisms(config):
        if mechanism.boundary < longest_text:
            kinds.setdefault(mechanism.boundary, []).append(mechanism.kind)
    return kinds


def single_run_length(config: Any) -> int | None:
    """The number of tokens beyond which a text has defined values only where it is run alone and whole; None: no such.

    Beyond `keep_window_size`, Doge's attention keeps the tokens with the largest scores. Equal tokens have equal scores
    in the first block, and which of them is kept depends on the number of columns of the forward pass.
    """
    return _number(config, "keep_window_size")


def _rope(config: Any) -> Iterator[LengthMechanism]:
    parameters = getattr(config, "rope_parameters", None) or {}
    by_layer_type = [value for value in parameters.values() if isinstance(value, Mapping)]
    for values in by_layer_type or [parameters]:
        rope_type = values.get("rope_type", "default")
        field = ROPE_BOUNDARIES.get(rope_type)
        original = values.get("original_max_position_embeddings")
        boundary = (original if field == "original_max_position_embeddings" else None) or (
            _number(config, field, "max_position_embeddings") if field else None
        )
        if boundary:
            yield LengthMechanism(rope_type, boundary)
        if values.get("llama_4_scaling_beta") and original:
            yield LengthMechanism("attention temperature", original - 1)


def _layers(config: Any) -> Iterator[LengthMechanism]:
    layer_types = getattr(config, "layer_types", None)
    if not layer_types:
        # one window for all layers
        if (window := _window(config)) and getattr(config, "use_sliding_window", True):
            yield LengthMechanism(_WINDOW, window)
        return
    for layer_type in dict.fromkeys(layer_types):
        entry = LAYER_BOUNDARIES.get(layer_type)
        if entry is not None and (boundary := entry[1](config)):
            yield LengthMechanism(entry[0], boundary)


def _other_attention(config: Any) -> Iterator[LengthMechanism]:
    """Mechanisms that are stated neither by the rotary embeddings nor by types of layers."""
    if "local" in (getattr(config, "attention_layers", None) or ()):  # GPT Neo
        yield LengthMechanism(_WINDOW, config.window_size)
    if keep := single_run_length(config):  # Doge
        yield LengthMechanism(_INDEX, keep)
    if getattr(config, "attn_temperature_tuning", False) and (floor := _number(config, "floor_scale")):  # Llama 4
        yield LengthMechanism("attention temperature", floor - 1)
    if floor := _number(config, "log_scaling_n_floor"):  # Inkling
        yield LengthMechanism("attention temperature", floor)
    if getattr(config, "layer_types", None) is None and (chunk := _number(config, *_CHUNK_FIELDS)):
        yield LengthMechanism(_STATE, chunk)


_CHUNK_FIELDS = ("chunk_size", "mamba_chunk_size")


def _state_chunk(config: Any) -> int | None:
    """Tokens of a chunk in which a recurrent state is computed; None where it is computed token by token (Mamba)."""
    has_delta_rule = hasattr(config, "linear_conv_kernel_dim")
    return _number(config, *_CHUNK_FIELDS, "block_size") or (STATE_CHUNK if has_delta_rule else None)


def _window(config: Any) -> int | None:
    return _number(config, "sliding_window", "sliding_window_size")


def _number(config: Any, *fields: str | None) -> int | None:
    """The first of the fields that is a positive number."""
    values = (getattr(config, field, None) for field in fields if field)
    return next((value for value in values if isinstance(value, int) and value > 0), None)
