"""Sources: SAEs and transcoders in SAELens' classes, and a layer's MLP neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from sae_lens import SAE

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.language_model import DTYPES
from memicos_engine.sources.recipe import SourceRecipe

NEURON_ARCHITECTURE = "neurons"
VECTOR_ARCHITECTURE = "vectors"
"""The user's own vectors, which were not trained to reconstruct activations (`formats/vectors.py`)."""


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """Metadata of a source, known without its weights. `id` is `<layer>-<set>` with an optional `__<variant>`.

    The source reads activations of width `d_in`; its directions have width `d_out`, for a transcoder that of another
    hook. `k` is that of top-k; `l0` and `explained_variance` are the values of the training, from its files or
    SAELens' directory. All three are None where they are not recorded.
    `unit_directions`: directions are scaled to length 1 and values to match. False where SAELens does not allow that
    (top-k without rescaling, matching pursuit): directions and values are as stored.
    """

    id: str
    recipe: SourceRecipe
    layer: int
    d_in: int
    d_sae: int
    d_out: int
    architecture: str
    k: int | None = None
    l0: float | None = None
    explained_variance: float | None = None
    unit_directions: bool = True

    @property
    def hook_name(self) -> str:
        return self.recipe.hook_name

    @property
    def steer_hook(self) -> str:
        """The hook at which features are steered: the one that the source writes to."""
        return self.recipe.hook_name_out or self.recipe.hook_name

    def check_index(self, index: int) -> None:
        """Raises InvalidRequestError where the source has no such feature."""
        if not 0 <= index < self.d_sae:
            raise InvalidRequestError(f"Source {self.id} has features 0 to {self.d_sae - 1}; there is no {index}.")

    def nbytes(self, dtype: str) -> int:
        """Bytes of memory of the loaded source, with four numbers per feature for biases and thresholds."""
        if self.architecture == NEURON_ARCHITECTURE:
            return 0
        skip = self.d_in * self.d_out if "skip" in self.architecture else 0
        return (self.d_sae * (self.d_in + self.d_out + 4) + self.d_out + skip) * DTYPES[dtype].itemsize


@dataclass(frozen=True, kw_only=True)
class Source(SourceInfo):
    """Features at one hook point: an encoder, a decoder and the directions of the features.

    D is `d_in`, F is `d_sae`; tensors are on the source's device.
    """

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature activations (..., F) of `hidden` (..., D), in the source's dtype."""
        raise NotImplementedError

    def reconstruct(self, hidden: torch.Tensor) -> torch.Tensor:
        """Reconstruction (..., d_out) of `hidden` (..., D), in the source's dtype."""
        raise NotImplementedError

    def decoder_row(self, index: int) -> torch.Tensor:
        """Decoder direction (d_out,) of the feature, as steering adds it to the model."""
        raise NotImplementedError

    def decoder_rows(self) -> torch.Tensor:
        """All decoder directions (F, d_out).

        Raises:
            InvalidRequestError: the source is a layer's neurons, whose directions are one-hot.
        """
        raise NotImplementedError

    def encoder_column(self, index: int) -> torch.Tensor:
        """Encoder direction (D,): its dot product with an activation is the value before bias and threshold."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SaeSource(Source):
    """An SAE or transcoder of SAELens' classes. Directions have length 1 where their length could be folded into the
    encoder."""

    sae: SAE[Any]

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.sae.encode(hidden.to(self.sae.dtype))

    def reconstruct(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.sae(hidden.to(self.sae.dtype))

    def decoder_row(self, index: int) -> torch.Tensor:
        return self.sae.W_dec[index]

    def decoder_rows(self) -> torch.Tensor:
        return self.sae.W_dec

    def encoder_column(self, index: int) -> torch.Tensor:
        return self.sae.W_enc[:, index]


@dataclass(frozen=True, kw_only=True)
class NeuronSource(Source):
    """The MLP neurons of a layer: feature i is neuron i, its value the neuron's activation, its direction one-hot."""

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def reconstruct(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def decoder_row(self, index: int) -> torch.Tensor:
        row = torch.zeros(self.d_out)
        row[index] = 1
        return row

    def decoder_rows(self) -> torch.Tensor:
        raise InvalidRequestError(
            "Directions of neurons are one-hot: each is orthogonal to all others, so none is similar to another."
        )

    def encoder_column(self, index: int) -> torch.Tensor:
        return self.decoder_row(index)


def neuron_source(layer: int, width: int, prepend_bos: bool, context_size: int) -> NeuronSource:
    """The source of the `width` MLP neurons of a layer. Its id is the layer's number."""
    recipe = SourceRecipe(f"blocks.{layer}.mlp.hook_post", prepend_bos, context_size, (0,) if prepend_bos else ())
    return NeuronSource(
        id=str(layer),
        recipe=recipe,
        layer=layer,
        d_in=width,
        d_sae=width,
        d_out=width,
        architecture=NEURON_ARCHITECTURE,
    )
