"""A few features of a source at the cost of a few, not of all."""

from collections.abc import Sequence
from typing import Any

import torch

from memicos_engine.sources.source import SaeSource, Source

_THRESHOLD = {"jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder"}
_PLAIN = {"standard", "transcoder", "skip_transcoder"}


@torch.inference_mode()
def encode_features(source: Source, hidden: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
    """Activations (..., n) of the features `indices` for `hidden` (..., D), as `source.encode` gives them.

    Where a feature's value depends on its own encoder column alone (standard, JumpReLU, gated and their transcoders),
    only those columns are computed. Top-k features compete, and need the whole encode.
    """
    architecture = source.architecture
    if not isinstance(source, SaeSource) or architecture not in {*_THRESHOLD, *_PLAIN, "gated"}:
        return source.encode(hidden)[..., list(indices)]
    sae: Any = source.sae  # types know what every architecture has
    chosen = torch.as_tensor(indices, dtype=torch.long, device=sae.W_enc.device)
    weights = sae.W_enc[:, chosen]
    inputs = sae.process_sae_in(hidden)
    if architecture == "gated":
        gate = inputs @ weights + sae.b_gate[chosen]
        magnitude = inputs @ (weights * sae.r_mag[chosen].exp()) + sae.b_mag[chosen]
        return magnitude.relu() * (gate > 0)
    before = inputs @ weights + sae.b_enc[chosen]
    if architecture in _THRESHOLD:
        return before.relu() * (before > sae.threshold[chosen])
    return before.relu()
