"""Sources: SAEs loaded by SAELens, each with its recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from sae_lens import SAE
from sae_lens.loading.pretrained_sae_loaders import (
    get_sae_lens_config_from_disk,
    handle_config_defaulting,
    load_sae_config_from_huggingface,
)
from safetensors import SafetensorError

from memicos_engine.errors import Refused
from memicos_engine.model import DTYPES
from memicos_engine.recipe import Recipe, RecipeError, read_extras

_LAYER = re.compile(r"blocks\.(\d+)\.")
DEFAULT_CONTEXT_SIZE = 128
STORED_UNIT = 2e-3
"""How far from 1 the length of a direction is after it was unit and stored in 16 bits."""


class SourceError(ValueError):
    """Files that are not a source which SAELens can load; the message names the place."""


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What is known of a source without its weights. `id` is `<layer>-<set>` with an optional `__<variant>`."""

    id: str
    recipe: Recipe
    layer: int
    d_in: int
    d_sae: int
    architecture: str

    @property
    def hook_name(self) -> str:
        return self.recipe.hook_name

    @property
    def steer_hook(self) -> str:
        """Where features are steered: what they write to, not what they read."""
        return self.recipe.hook_name_out or self.recipe.hook_name


@dataclass(frozen=True, kw_only=True)
class Source(SourceFacts):
    """One SAE at one hook point."""

    sae: SAE[Any]

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature activations (..., F) of `hidden` (..., D), in the SAE's dtype."""
        return self.sae.encode(hidden.to(self.sae.dtype))

    def decoder_row(self, index: int) -> torch.Tensor:
        """The feature's direction (D,) as it is added to the model; of length 1 where SAELens can fold it."""
        return self.sae.W_dec[index]

    def encoder_column(self, index: int) -> torch.Tensor:
        """What the feature reads (D,): its value is this times the activation, before bias and threshold."""
        return self.sae.W_enc[:, index]

    def decoder_rows(self) -> torch.Tensor:
        """Every `decoder_row`, (F, D)."""
        return self.sae.W_dec

    def check_index(self, index: int) -> None:
        """Raises Refused where the source has no such feature."""
        if not 0 <= index < self.d_sae:
            raise Refused(f"Source {self.id} has features 0 to {self.d_sae - 1}; there is no {index}.")


def local_facts(folder: Path, source_id: str) -> SourceFacts:
    """Facts of a source in a local folder in SAELens' format, from its cfg.json.

    Raises:
        SourceError: it cannot be read.
        RecipeError: the recipe beside it cannot.
    """
    with _usable(str(folder)):
        config = handle_config_defaulting(get_sae_lens_config_from_disk(folder))
        return _facts(source_id, config, config["metadata"], read_extras(folder))


def load_source(folder: Path, source_id: str, device: str = "cpu", dtype: str = "float32") -> Source:
    """Load a source from a local folder in SAELens' format (cfg.json, sae_weights.safetensors).

    Raises: as `local_facts`.
    """
    with _usable(str(folder)):
        sae = SAE.load_from_disk(folder, device=device, dtype="float32")
        return make_source(sae, source_id, dtype, read_extras(folder))


def pretrained_facts(release: str, sae_id: str, source_id: str) -> SourceFacts:
    """Facts of a source in SAELens' directory, from its configuration on the hub (or from its name, as SAELens does).

    Raises:
        SourceError: it is not what SAELens expects.
        OSError: huggingface_hub's errors, all but EntryNotFoundError's local kind derive from it.
    """
    with _usable(f"{release} {sae_id}"):
        config = load_sae_config_from_huggingface(release, sae_id)
        return _facts(source_id, config, config["metadata"], {})


def load_pretrained(release: str, sae_id: str, source_id: str, device: str = "cpu", dtype: str = "float32") -> Source:
    """Load a source of SAELens' directory from the hub or its cache.

    Raises: as `pretrained_facts`.
    """
    with _usable(f"{release} {sae_id}"):
        sae = SAE.from_pretrained(release, sae_id, device=device, dtype="float32")
        return make_source(sae, source_id, dtype)


def make_source(
    sae: SAE[Any], source_id: str, dtype: str = "float32", extras: Mapping[str, Any] | None = None
) -> Source:
    """Wrap a loaded SAE. Its recipe comes from SAELens' metadata and `extras` (ignored positions, norm cut).

    Where directions are not of length 1 their length is folded into the encoder, in the precision that the SAE was
    loaded in. That changes no reconstruction, and SAELens refuses it where it would change which features fire.
    """
    if (sae.get_W_dec_norm() - 1).abs().max() > STORED_UNIT:
        with suppress(NotImplementedError):
            sae.fold_W_dec_norm()
    sae = sae.to(DTYPES[dtype]).eval().requires_grad_(False)
    config = {"d_in": sae.cfg.d_in, "d_sae": sae.cfg.d_sae, "architecture": sae.cfg.architecture()}
    facts = _facts(source_id, config, sae.cfg.metadata.to_dict(), extras or {})
    return Source(**vars(facts), sae=sae)


def _facts(
    source_id: str, config: Mapping[str, Any], metadata: Mapping[str, Any], extras: Mapping[str, Any]
) -> SourceFacts:
    prepend_bos = bool(metadata.get("prepend_bos", True))
    recipe = Recipe(
        hook_name=str(metadata["hook_name"]),
        prepend_bos=prepend_bos,
        context_size=int(metadata.get("context_size") or DEFAULT_CONTEXT_SIZE),
        # a BOS in front says nothing about the text, trained on or not
        ignored_positions=extras.get("ignored_positions", (0,) if prepend_bos else ()),
        norm_cut=extras.get("norm_cut"),
        hook_name_out=metadata.get("hook_name_out"),
    )
    found = _LAYER.match(recipe.hook_name)
    return SourceFacts(
        id=source_id,
        recipe=recipe,
        layer=int(found.group(1)) if found else 0,
        d_in=int(config["d_in"]),
        d_sae=int(config["d_sae"]),
        architecture=str(config["architecture"]),
    )


@contextmanager
def _usable(where: str) -> Iterator[None]:
    """Faults of a source's files as SourceError; the hub's own faults and a full device pass."""
    try:
        yield
    except (RecipeError, EntryNotFoundError, HfHubHTTPError, torch.OutOfMemoryError):
        raise
    except KeyError as error:
        raise SourceError(f"{where} is not an SAE that SAELens can load: {error} is missing") from error
    except (
        FileNotFoundError,
        SafetensorError,
        UnpicklingError,
        BadZipFile,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise SourceError(f"{where} is not an SAE that SAELens can load: {error}") from error
