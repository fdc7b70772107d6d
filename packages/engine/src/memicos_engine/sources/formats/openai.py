"""The format of OpenAI's sparse_autoencoder (github.com/openai/sparse_autoencoder): the state dict of an Autoencoder.

latents = activation(encoder(x - pre_bias) + latent_bias). With TopK, x is first normalised to mean 0 and
standard deviation 1; as in that library, the name of the activation decides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memicos_engine.errors import SourceError
from memicos_engine.sources.formats.base import (
    Format,
    SaeConfig,
    StoredTensors,
    first_stored,
    saelens_config,
    transpose,
)
from memicos_engine.sources.recipe import RecipeOverrides


def _weights(folder: Path, _overrides: RecipeOverrides) -> Path | None:
    files = [file for file in sorted(folder.glob("*.pt")) if file.name != "ae.pt"]
    if len(files) > 1:
        raise SourceError(f"{folder} has {len(files)} files of weights; put each source into a folder of its own")
    return files[0] if files else None


def _config(_folder: Path, _overrides: RecipeOverrides, stored: StoredTensors) -> SaeConfig:
    activation = stored.get("activation", "ReLU")
    if activation == "ReLU":
        return saelens_config("standard", {}, apply_b_dec_to_input=True)
    settings = stored.get("activation_state_dict", {})
    if activation == "TopK" and settings.get("postact_fn", "ReLU") == "ReLU":
        return saelens_config(
            "topk", {}, k=settings.get("k"), apply_b_dec_to_input=True, normalize_activations="layer_norm"
        )
    raise SourceError(f"its activation is {activation} ({settings}); ReLU, and TopK with ReLU, are supported")


def _tensors(stored: StoredTensors, _config: SaeConfig) -> dict[str, Any]:
    encoder = first_stored(stored, "encoder.weight")
    return {
        "W_enc": transpose(encoder),
        "b_enc": first_stored(stored, "latent_bias"),
        # tied weights: the decoder is the transposed encoder
        "W_dec": transpose(stored["decoder.weight"]) if "decoder.weight" in stored else encoder.clone(),
        "b_dec": first_stored(stored, "pre_bias"),
    }


FORMAT = Format("openai", "one .pt", _weights, _config, _tensors)
