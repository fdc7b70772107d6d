"""Load sources from local folders and from SAELens' directory; read their metadata without their weights."""

from __future__ import annotations

import math
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import torch
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from sae_lens import SAE
from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor
from safetensors import SafetensorError

from memicos_engine.errors import RecipeError, SourceError
from memicos_engine.model.language_model import DTYPES
from memicos_engine.sources import saelens_registry
from memicos_engine.sources.config_checks import CROSSCODER, check_config, has_unit_directions
from memicos_engine.sources.formats import detect_format, saelens
from memicos_engine.sources.formats.files import read_shapes, read_weights
from memicos_engine.sources.recipe import (
    RecipeOverrides,
    SourceRecipe,
    is_positive_number,
    read_overrides,
    resolve_recipe,
)
from memicos_engine.sources.saelens_support import read_published_config
from memicos_engine.sources.source import SaeSource, SourceInfo

_LAYER = re.compile(r"blocks\.([0-9]+)\.")
UNIT_LENGTH_TOLERANCE = 2e-3
"""A decoder row whose length differs from 1 by at most this is normalised: storing it in 16 bits changes its length."""


def read_local_info(location: Path, source_id: str, format_name: str | None = None) -> SourceInfo:
    """Metadata of a local source, from its configuration and the headers of its weights.

    `location` is a folder, or a file of weights in a format with a source in each file; `format_name` is one of
    `formats.FORMATS`, by default the format is detected from the files.

    Raises:
        SourceError: the files cannot be read, or tensors have wrong shapes.
        RecipeError: memicos.json cannot be read, or hook, BOS or context size is not given anywhere.
    """
    with _as_source_error(location):
        sae, recipe = _open_sae(location, format_name, "meta")
        return _sae_info(source_id, sae, recipe)


def load_source(
    location: Path, source_id: str, device: str = "cpu", dtype: str = "float32", format_name: str | None = None
) -> SaeSource:
    """Load a local source.

    Raises: as `read_local_info`.
    """
    with _as_source_error(location):
        sae, recipe = _open_sae(location, format_name, device)
        return make_source(sae, source_id, recipe, dtype)


def read_pretrained_info(release: str, sae_id: str, source_id: str) -> SourceInfo:
    """Metadata of a source in SAELens' directory, from its configuration on the hub or, as SAELens does, its name.

    Raises:
        SourceError: the configuration is not what SAELens expects, or the source cannot be served with right values.
        RecipeError: the hook is not given.
        OSError: the hub cannot be reached or refuses; huggingface_hub's errors derive from it.
    """
    location = f"{release} {sae_id}"
    with _as_source_error(location):
        config = read_published_config(release, sae_id)
        recipe = resolve_recipe(RecipeOverrides(), config["metadata"], saelens.FORMAT.recipe_defaults, location)
        normalized = config.get("normalize_activations", "none")
        factor = get_norm_scaling_factor(release, sae_id) if normalized == "expected_average_only_in" else None
        recipe = replace(recipe, normalize_activations=normalized, norm_scaling_factor=factor)
        architecture = str(config["architecture"])
        d_in = int(config["d_in"])
        return SourceInfo(
            id=source_id,
            recipe=recipe,
            layer=_layer(recipe),
            d_in=d_in,
            d_sae=int(config["d_sae"]),
            d_out=int(config.get("d_out", d_in)),
            architecture=architecture,
            unit_directions=has_unit_directions(architecture, config.get("rescale_acts_by_decoder_norm", False)),
            k=config.get("k"),
            **saelens_registry.recorded_metrics(release, sae_id),
        )


def load_pretrained(
    release: str, sae_id: str, source_id: str, device: str = "cpu", dtype: str = "float32"
) -> SaeSource:
    """Load a source of SAELens' directory from the hub or its cache.

    Raises: as `read_pretrained_info`.
    """
    location = f"{release} {sae_id}"
    with _as_source_error(location):
        # before the weights are downloaded: it refuses what cannot be served
        recipe = read_pretrained_info(release, sae_id, source_id).recipe
        sae = SAE.from_pretrained(release, sae_id, device=device, dtype="float32")
        return replace(make_source(sae, source_id, recipe, dtype), **saelens_registry.recorded_metrics(release, sae_id))


def make_source(sae: SAE[Any], source_id: str, recipe: SourceRecipe, dtype: str = "float32") -> SaeSource:
    """Wrap a loaded SAE as a source.

    Decoder rows that are not of length 1 are normalised and their length is folded into the encoder, in the SAE's
    precision. That changes no reconstruction; SAELens refuses where it would change which features fire.

    Raises:
        SourceError: weights are not finite in `dtype`.
    """
    # before the fold, which would spread NaN to other tensors
    _check_finite(sae, "float32")
    # activations of attention heads are already flat
    sae.turn_off_forward_pass_hook_z_reshaping()
    if (sae.get_W_dec_norm() - 1).abs().max() > UNIT_LENGTH_TOLERANCE:
        with suppress(NotImplementedError):
            sae.fold_W_dec_norm()
    sae = sae.to(DTYPES[dtype]).eval().requires_grad_(False)
    _check_finite(sae, dtype)
    return SaeSource(**vars(_sae_info(source_id, sae, recipe)), sae=sae)


def _check_finite(sae: SAE[Any], dtype: str) -> None:
    for name, tensor in sae.named_parameters():
        # an infinite threshold is valid: the feature never fires
        if tensor.isnan().any() or (name != "threshold" and not tensor.isfinite().all()):
            raise SourceError(f"{name} has numbers that are not finite in {dtype}")


def _open_sae(location: Path, format_name: str | None, device: str) -> tuple[SAE[Any], SourceRecipe]:
    """The SAE at a location, as stored. On the meta device it has shapes only, and no weights are read."""
    overrides = read_overrides(location.parent if location.is_file() else location)
    file_format, weights = detect_format(location, overrides, format_name)
    overrides = file_format.adapt_overrides(weights, overrides)
    stored = read_shapes(weights) if device == "meta" else read_weights(weights)
    config = file_format.read_config(
        weights if file_format.list_weights(weights.parent) else location, overrides, stored
    )
    check_config(config)
    recipe = resolve_recipe(overrides, config["metadata"], file_format.recipe_defaults, str(location))
    tensors = file_format.convert_tensors(stored, config)
    widths = _tensor_widths(tensors)
    for name in widths:
        if config.get(name, widths[name]) != widths[name]:
            raise SourceError(f"its weights have {name} {widths[name]}, but its configuration has {config[name]}")
    config = check_config({**widths, **config, "device": device, "dtype": "float32"})
    config["metadata"] = {**config["metadata"], "hook_name": recipe.hook_name, "hook_name_out": recipe.hook_name_out}
    normalized = config.get("normalize_activations", "none")
    scaled = normalized == "expected_average_only_in"
    factor = overrides.norm_scaling_factor or config.get("norm_scaling_factor")
    if scaled and factor is not None and not is_positive_number(factor):
        raise RecipeError(f"{location}: expected a number above 0 as norm_scaling_factor, not {str(factor)[:80]}")
    if scaled and factor is None:
        raise RecipeError(
            f"{location}: it was trained on activations scaled to a norm, and the factor is not given "
            '(norm_scaling_factor). Write a memicos.json beside the weights, for example {"norm_scaling_factor": 0.31}'
        )
    if "transcoder" in config["architecture"] and recipe.hook_name_out is None:
        raise RecipeError(
            f"{location}: the hook of its output is not given (hook_name_out). Write a memicos.json beside the "
            'weights, for example {"hook_name_out": "blocks.5.hook_mlp_out"}'
        )

    def converted(path: object, device: str, cfg_overrides: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return config, tensors

    sae = SAE.load_from_disk(location, device=device, dtype="float32", converter=converted)
    if scaled and factor is not None:
        sae.fold_activation_norm_scaling_factor(factor)
        recipe = replace(recipe, norm_scaling_factor=factor)
    return sae, replace(recipe, normalize_activations=normalized)


def _tensor_widths(tensors: dict[str, Any]) -> dict[str, int]:
    """d_in, d_sae and d_out from the shapes of the weights: some configurations lack them."""
    by_name = {}
    for name, widths in (("W_enc", ("d_in", "d_sae")), ("W_dec", ("d_sae", "d_out"))):
        if name in tensors:
            if tensors[name].ndim != 2:
                axes = tensors[name].ndim
                # one for each layer or model
                raise SourceError(f"its {name} has {axes} axes instead of 2" + (f": {CROSSCODER}" if axes == 3 else ""))
            by_name = {**dict(zip(widths, tensors[name].shape, strict=True)), **by_name}
    return by_name


def _sae_info(source_id: str, sae: SAE[Any], recipe: SourceRecipe) -> SourceInfo:
    return SourceInfo(
        id=source_id,
        recipe=recipe,
        layer=_layer(recipe),
        d_in=sae.cfg.d_in,
        d_sae=sae.cfg.d_sae,
        d_out=getattr(sae.cfg, "d_out", sae.cfg.d_in),
        architecture=sae.cfg.metadata.get("memicos_architecture") or sae.cfg.architecture(),
        k=getattr(sae.cfg, "k", None),
        l0=_float_or_none(sae.cfg.metadata.get("l0")),
        explained_variance=_float_or_none(sae.cfg.metadata.get("explained_variance")),
        unit_directions=has_unit_directions(
            sae.cfg.architecture(), getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
        ),
    )


def _float_or_none(value: object) -> float | None:
    """The value where it is a finite number: files may record Infinity or NaN, which no answer can have."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
        return None
    return None if math.isnan(value) else float(value)


def _layer(recipe: SourceRecipe) -> int:
    match = _LAYER.match(recipe.hook_name)
    return int(match.group(1)) if match else 0


@contextmanager
def _as_source_error(location: object) -> Iterator[None]:
    """Convert errors about a source's files to SourceError; errors of the hub and of a full device pass."""
    try:
        yield
    except (RecipeError, EntryNotFoundError, HfHubHTTPError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except KeyError as error:
        raise SourceError(f"{location} is not a source that can be loaded: {error} is missing") from error
    except (
        SourceError,
        FileNotFoundError,
        SafetensorError,
        BadZipFile,
        zlib.error,
        # numpy, for the header of an array
        TokenError,
        ArithmeticError,
        LookupError,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
    ) as error:
        raise SourceError(f"{location} is not a source that can be loaded: {error}") from error
