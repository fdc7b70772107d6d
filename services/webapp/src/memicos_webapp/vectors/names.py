"""Addresses of vectors: `<layer>-vectors-<hook>/<index>`, in the place of a feature's source and index."""

import re
from typing import Literal

HookType = Literal["hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out"]
"""Hook points of a block whose activations are as wide as the residual stream."""

SET_PREFIX = "vectors-"
"""Source sets of datasets may not have names that begin like this."""

SOURCE_PATTERN = rf"[0-9]+-{SET_PREFIX}[^/]+"
"""Regular expression of what is in the place of a source in a vector's address."""


def hook_name(layer: int, hook_type: HookType) -> str:
    """The hook point's name in TransformerLens."""
    return f"blocks.{layer}.{hook_type}"


def source_name(layer: int, hook_type: HookType) -> str:
    """The name in place of a source's: `15-vectors-resid-post`."""
    return f"{layer}-{SET_PREFIX}{hook_type.removeprefix('hook_').replace('_', '-')}"


def is_vector_source(name: str) -> bool:
    """Whether a name in place of a source's is of vectors, which exist or not."""
    return re.fullmatch(SOURCE_PATTERN, name) is not None
