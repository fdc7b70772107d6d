"""Check SAELens' configuration of a source for what cannot be served with right values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sae_lens.registry import SAE_CLASS_REGISTRY

from memicos_engine.errors import SourceError

TOP_K = "topk"

CROSS_LAYER = (
    "its features write to several layers (a cross-layer transcoder), and a source here writes to one: reconstructions "
    "and steering would be wrong"
)
CROSSCODER = (
    "its features read several layers or models at once (a crosscoder), and a source here reads one hook: values would "
    "be wrong"
)

REFUSED_ARCHITECTURES = {
    "abstopk": "its features fire with negative values as well, and rankings and searches here read only positive ones",
    "temporal": "its features depend on the other positions of the text, and sources here encode each position by "
    "itself",
}
"""Architectures of SAELens that are not served, and why."""

REFUSED_NORMALIZATIONS = {
    "covariance_whitening": "it was trained on whitened activations, which needs the whitening folded into its weights"
}
"""SAELens' normalisations of activations that are not served, and why."""


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """SAELens' configuration with `k` as an integer.

    `config` has the key `d_sae` where it is known.

    Raises:
        SourceError: its architecture or normalisation is not served, or `k` is not possible.
    """
    architecture = config["architecture"]
    if architecture not in SAE_CLASS_REGISTRY:
        raise SourceError(f"its architecture is {architecture}; SAELens has {', '.join(SAE_CLASS_REGISTRY)}")
    if architecture in REFUSED_ARCHITECTURES:
        raise SourceError(f"its architecture {architecture} is not served: {REFUSED_ARCHITECTURES[architecture]}")
    normalization = config.get("normalize_activations", "none")
    if normalization in REFUSED_NORMALIZATIONS:
        raise SourceError(REFUSED_NORMALIZATIONS[normalization])
    return {**config, "k": _top_k(config)} if architecture == TOP_K else dict(config)


def check_activation_function(config: Mapping[str, Any]) -> None:
    """Check the activation function that SAELens before 6.0 recorded; later versions run ReLU whatever it is.

    Raises:
        SourceError: it is neither ReLU nor top-k.
    """
    name = config.get("activation_fn") or config.get("activation_fn_str") or "relu"
    if name not in ("relu", TOP_K):
        raise SourceError(f"its activation function is {name}; SAELens no longer runs others than relu and topk")


def has_unit_directions(architecture: str, rescaled: bool) -> bool:
    """Whether a source's directions are scaled to length 1: where that does not change which features fire.

    `rescaled` is SAELens' `rescale_acts_by_decoder_norm`: features of top-k compete by their values times the length
    of their direction.
    """
    return rescaled if architecture == TOP_K else architecture != "matching_pursuit"


def _top_k(config: Mapping[str, Any]) -> int:
    k, d_sae = config.get("k"), config.get("d_sae")
    if isinstance(k, bool) or not isinstance(k, int | float) or not k >= 1 or (isinstance(k, float) and k % 1 != 0):
        raise SourceError(f"its k is {repr(k)[:80]}; expected a whole number of active features per token, at least 1")
    if d_sae is not None and k > d_sae:
        raise SourceError(f"its k is {k}, but it has only {d_sae} features")
    return int(k)
