"""Sources: SAEs loaded by SAELens, each with its recipe."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sae_lens import SAE

from memicos_engine.model import DTYPES
from memicos_engine.recipe import Recipe, read_extras

_LAYER = re.compile(r"blocks\.(\d+)\.")


@dataclass(frozen=True)
class Source:
    """One SAE at one hook point. `id` is `<layer>-<set>` with an optional `__<variant>`."""

    id: str
    sae: SAE[Any]
    recipe: Recipe
    layer: int
    d_in: int
    d_sae: int
    architecture: str

    @property
    def hook_name(self) -> str:
        return self.recipe.hook_name

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature activations (..., F) of `hidden` (..., D), in the SAE's dtype."""
        return self.sae.encode(hidden.to(self.sae.dtype))

    def decoder_row(self, index: int) -> torch.Tensor:
        """The feature's direction (D,) as it is added to the model."""
        return self.sae.W_dec[index]


def load_source(
    folder: Path, source_id: str, device: str = "cpu", dtype: str = "float32", default_context_size: int = 128
) -> Source:
    """Load a source from a local folder in SAELens' format (cfg.json, sae_weights.safetensors)."""
    sae = SAE.load_from_disk(folder, device=device, dtype=dtype)
    return make_source(sae, source_id, dtype, read_extras(folder), default_context_size)


def make_source(
    sae: SAE[Any],
    source_id: str,
    dtype: str,
    extras: dict[str, Any] | None = None,
    default_context_size: int = 128,
) -> Source:
    """Wrap a loaded SAE. Its recipe comes from SAELens' metadata and `extras` (ignored positions, norm cut)."""
    sae = sae.to(DTYPES[dtype]).eval()
    metadata = sae.cfg.metadata
    recipe = Recipe(
        hook_name=metadata.hook_name,
        prepend_bos=bool(metadata.get("prepend_bos", True)),
        context_size=int(metadata.get("context_size") or default_context_size),
        **(extras or {}),
    )
    found = _LAYER.match(recipe.hook_name)
    return Source(
        id=source_id,
        sae=sae,
        recipe=recipe,
        layer=int(found.group(1)) if found else 0,
        d_in=sae.cfg.d_in,
        d_sae=sae.cfg.d_sae,
        architecture=sae.cfg.architecture(),
    )
