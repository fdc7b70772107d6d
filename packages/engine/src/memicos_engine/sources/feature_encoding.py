"""Encode selected features of a source without encoding all of them."""

from collections.abc import Sequence
from typing import Any

import torch

from memicos_engine.sources.source import VECTOR_ARCHITECTURE, SaeSource, Source

_THRESHOLD = {"jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder"}
_PLAIN = {"standard", "transcoder", "skip_transcoder", VECTOR_ARCHITECTURE}


@torch.inference_mode()
def encode_features(source: Source, hidden: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
    """Activations (..., n) of the features `indices` for `hidden` (..., D), as `source.encode` gives them.

    Where a feature's value depends on its own encoder column alone (standard, JumpReLU, gated, their transcoders, and
    vectors), only those columns are computed. Top-k features compete, and need the whole encode.
    """
    architecture = source.architecture
    if not isinstance(source, SaeSource) or architecture not in {*_THRESHOLD, *_PLAIN, "gated"}:
        return source.encode(hidden)[..., list(indices)]
    sae: Any = source.sae  # SAELens' types lack the attributes of single architectures
    columns = torch.as_tensor(indices, dtype=torch.long, device=sae.W_enc.device)
    weights = sae.W_enc[:, columns]
    inputs = sae.process_sae_in(hidden)
    if architecture == "gated":
        gate = inputs @ weights + sae.b_gate[columns]
        magnitude = inputs @ (weights * sae.r_mag[columns].exp()) + sae.b_mag[columns]
        return magnitude.relu() * (gate > 0)
    pre_activations = inputs @ weights + sae.b_enc[columns]
    if architecture in _THRESHOLD:
        return pre_activations.relu() * (pre_activations > sae.threshold[columns])
    return pre_activations.relu()
