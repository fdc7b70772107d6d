"""Sources: SAEs in SAELens' classes, from local folders or from its directory, and a model's raw neurons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from sae_lens import SAE
from sae_lens.loading.pretrained_sae_loaders import load_sae_config_from_huggingface
from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor
from sae_lens.registry import SAE_CLASS_REGISTRY
from safetensors import SafetensorError

from memicos_engine.errors import InvalidRequestError, RecipeError, SourceError
from memicos_engine.model.language_model import DTYPES
from memicos_engine.sources import saelens_registry
from memicos_engine.sources.formats import detect_format, saelens
from memicos_engine.sources.formats.files import read_shapes, read_weights
from memicos_engine.sources.recipe import Recipe, RecipeOverrides, read_overrides, resolve_recipe

_LAYER = re.compile(r"blocks\.(\d+)\.")
UNIT_LENGTH_TOLERANCE = 2e-3
"""How far from 1 the length of a direction is after it was unit and stored in 16 bits."""


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What is known of a source without its weights. `id` is `<layer>-<set>` with an optional `__<variant>`.

    It takes activations of width `d_in`, and its directions have width `d_out` (another hook's, of a transcoder).
    `k` is that of top-k; `l0` and `explained_variance` are what its files or SAELens' directory say that they were
    where it was trained. Each is None where nothing says it.
    `unit_directions`: a value is for a direction of length 1; where SAELens does not allow that (top-k without
    rescaling, matching pursuit, temporal), directions and values are as they are stored.
    """

    id: str
    recipe: Recipe
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
        """Where features are steered: what they write to, not what they read."""
        return self.recipe.hook_name_out or self.recipe.hook_name

    def check_index(self, index: int) -> None:
        """Raises InvalidRequestError where the source has no such feature."""
        if not 0 <= index < self.d_sae:
            raise InvalidRequestError(f"Source {self.id} has features 0 to {self.d_sae - 1}; there is no {index}.")

    def nbytes(self, dtype: str) -> int:
        """Memory that it takes when it is loaded; biases and thresholds are counted as four numbers a feature."""
        if self.architecture == NEURON_ARCHITECTURE:
            return 0
        skip = self.d_in * self.d_out if "skip" in self.architecture else 0
        return (self.d_sae * (self.d_in + self.d_out + 4) + self.d_out + skip) * DTYPES[dtype].itemsize


@dataclass(frozen=True, kw_only=True)
class Source(SourceInfo):
    """Features at one hook point: what they read off activations, and the directions that they stand for."""

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature activations (..., F) of `hidden` (..., D), in the source's dtype."""
        raise NotImplementedError

    def reconstruct(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the source makes of `hidden` (..., D): (..., d_out), in the source's dtype."""
        raise NotImplementedError

    def decoder_row(self, index: int) -> torch.Tensor:
        """The feature's direction (d_out,) as it is added to the model."""
        raise NotImplementedError

    def decoder_rows(self) -> torch.Tensor:
        """Every `decoder_row`, (F, d_out). Raises InvalidRequestError where that says nothing."""
        raise NotImplementedError

    def encoder_column(self, index: int) -> torch.Tensor:
        """What the feature reads (D,): its value is this times the activation, before bias and threshold."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SaeSource(Source):
    """One SAE or transcoder. Directions have length 1 where SAELens can fold their length into the encoder."""

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


NEURON_ARCHITECTURE = "neurons"


@dataclass(frozen=True, kw_only=True)
class NeuronSource(Source):
    """A layer's MLP neurons as they are: a feature is a neuron, its value the neuron's, its direction one-hot."""

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
            "Neurons are the axes of a space of their own: each points its own way, at right angles to others."
        )

    def encoder_column(self, index: int) -> torch.Tensor:
        return self.decoder_row(index)


def neuron_source(layer: int, width: int, prepend_bos: bool, context_size: int) -> NeuronSource:
    """The MLP neurons of a layer, `width` of them. The id is the bare layer number."""
    recipe = Recipe(f"blocks.{layer}.mlp.hook_post", prepend_bos, context_size, (0,) if prepend_bos else ())
    return NeuronSource(
        id=str(layer),
        recipe=recipe,
        layer=layer,
        d_in=width,
        d_sae=width,
        d_out=width,
        architecture=NEURON_ARCHITECTURE,
    )


def read_local_info(folder: Path, source_id: str, format_name: str | None = None) -> SourceInfo:
    """Facts of a source in a local folder, from its configuration and the headers of its weights.

    `format_name` is one of `formats.FORMATS`; without it the files tell.

    Raises:
        SourceError: it cannot be read, or tensors have other shapes than they should.
        RecipeError: the recipe beside it cannot, or nothing says the hook, BOS or context size.
    """
    with _as_source_error(folder):
        extras = read_overrides(folder)
        sae, recipe = _open_sae(folder, format_name, extras, "meta")
        return _sae_info(source_id, sae, recipe)


def load_source(
    folder: Path, source_id: str, device: str = "cpu", dtype: str = "float32", format_name: str | None = None
) -> SaeSource:
    """Load a source from a local folder.

    Raises: as `local_facts`.
    """
    with _as_source_error(folder):
        extras = read_overrides(folder)
        sae, recipe = _open_sae(folder, format_name, extras, device)
        return make_source(sae, source_id, recipe, dtype)


def read_pretrained_info(release: str, sae_id: str, source_id: str) -> SourceInfo:
    """Facts of a source in SAELens' directory, from its configuration on the hub (or from its name, as SAELens does).

    Raises:
        SourceError: it is not what SAELens expects.
        RecipeError: nothing says its hook.
        OSError: huggingface_hub's errors, all but EntryNotFoundError's local kind derive from it.
    """
    where = f"{release} {sae_id}"
    with _as_source_error(where):
        config = load_sae_config_from_huggingface(release, sae_id)
        recipe = resolve_recipe(RecipeOverrides(), config["metadata"], saelens.FORMAT.recipe_defaults, where)
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
            unit_directions=_unit_directions(architecture, config.get("rescale_acts_by_decoder_norm", False)),
            k=config.get("k"),
            **saelens_registry.recorded_metrics(release, sae_id),
        )


def load_pretrained(
    release: str, sae_id: str, source_id: str, device: str = "cpu", dtype: str = "float32"
) -> SaeSource:
    """Load a source of SAELens' directory from the hub or its cache.

    Raises: as `pretrained_facts`.
    """
    where = f"{release} {sae_id}"
    with _as_source_error(where):
        sae = SAE.from_pretrained(release, sae_id, device=device, dtype="float32")
        recipe = read_pretrained_info(release, sae_id, source_id).recipe
        return replace(make_source(sae, source_id, recipe, dtype), **saelens_registry.recorded_metrics(release, sae_id))


def make_source(sae: SAE[Any], source_id: str, recipe: Recipe, dtype: str = "float32") -> SaeSource:
    """Wrap a loaded SAE.

    Where directions are not of length 1 their length is folded into the encoder, in the precision that the SAE was
    loaded in. That changes no reconstruction, and SAELens refuses it where it would change which features fire.

    Raises:
        SourceError: weights are not finite in `dtype`.
    """
    # before the fold, which would carry a number that is none into other tensors
    _check_finite(sae, "float32")
    # activations of attention heads come flat
    sae.turn_off_forward_pass_hook_z_reshaping()
    if (sae.get_W_dec_norm() - 1).abs().max() > UNIT_LENGTH_TOLERANCE:
        with suppress(NotImplementedError):
            sae.fold_W_dec_norm()
    sae = sae.to(DTYPES[dtype]).eval().requires_grad_(False)
    _check_finite(sae, dtype)
    return SaeSource(**vars(_sae_info(source_id, sae, recipe)), sae=sae)


def _check_finite(sae: SAE[Any], dtype: str) -> None:
    for name, tensor in sae.named_parameters():
        # a threshold that is never reached may be infinite
        if tensor.isnan().any() or (name != "threshold" and not tensor.isfinite().all()):
            raise SourceError(f"{name} has numbers that are not finite in {dtype}")


def _open_sae(folder: Path, format_name: str | None, extras: RecipeOverrides, device: str) -> tuple[SAE[Any], Recipe]:
    """The SAE in a folder, as its files have it. On the meta device it has shapes only, and no weights are read."""
    form, weights = detect_format(folder, extras, format_name)
    stored = read_shapes(weights) if device == "meta" else read_weights(weights)
    config = form.read_config(folder, extras, stored)
    architecture = config["architecture"]
    if architecture not in SAE_CLASS_REGISTRY:
        raise SourceError(f"its architecture is {architecture}; SAELens has {', '.join(SAE_CLASS_REGISTRY)}")
    recipe = resolve_recipe(extras, config["metadata"], form.recipe_defaults, str(folder))
    tensors = form.convert_tensors(stored, config)
    widths = _tensor_widths(tensors)
    for name in widths:
        if config.get(name, widths[name]) != widths[name]:
            raise SourceError(f"its weights have {name} {widths[name]}, and its configuration says {config[name]}")
    config = {**widths, **config, "device": device, "dtype": "float32"}
    config["metadata"] = {**config["metadata"], "hook_name": recipe.hook_name, "hook_name_out": recipe.hook_name_out}
    normalized = config.get("normalize_activations", "none")
    scaled = normalized == "expected_average_only_in"
    if scaled and extras.norm_scaling_factor is None:
        raise RecipeError(
            f"{folder}: it was trained on activations brought to a norm, and nothing says by which factor "
            '(norm_scaling_factor). Write a memicos.json beside the weights, for example {"norm_scaling_factor": 0.31}'
        )
    if normalized == "covariance_whitening":
        raise SourceError("it was trained on whitened activations, and that is not folded into its weights")
    if "transcoder" in architecture and recipe.hook_name_out is None:
        raise RecipeError(
            f"{folder}: nothing says where its output belongs (hook_name_out). Write a memicos.json beside the "
            'weights, for example {"hook_name_out": "blocks.5.hook_mlp_out"}'
        )

    def converted(path: object, device: str, cfg_overrides: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return config, tensors

    sae = SAE.load_from_disk(folder, device=device, dtype="float32", converter=converted)
    if scaled and extras.norm_scaling_factor is not None:
        sae.fold_activation_norm_scaling_factor(extras.norm_scaling_factor)
        recipe = replace(recipe, norm_scaling_factor=extras.norm_scaling_factor)
    return sae, replace(recipe, normalize_activations=normalized)


def _tensor_widths(tensors: dict[str, Any]) -> dict[str, int]:
    """Some formats' configuration does not say them."""
    found = {}
    for name, widths in (("W_enc", ("d_in", "d_sae")), ("W_dec", ("d_sae", "d_out"))):
        if name in tensors:
            if tensors[name].ndim != 2:
                raise SourceError(f"its {name} has {tensors[name].ndim} axes, and not 2")
            found = {**dict(zip(widths, tensors[name].shape, strict=True)), **found}
    return found


def _sae_info(source_id: str, sae: SAE[Any], recipe: Recipe) -> SourceInfo:
    return SourceInfo(
        id=source_id,
        recipe=recipe,
        layer=_layer(recipe),
        d_in=sae.cfg.d_in,
        d_sae=sae.cfg.d_sae,
        d_out=getattr(sae.cfg, "d_out", sae.cfg.d_in),
        architecture=sae.cfg.architecture(),
        k=getattr(sae.cfg, "k", None),
        l0=_float_or_none(sae.cfg.metadata.get("l0")),
        explained_variance=_float_or_none(sae.cfg.metadata.get("explained_variance")),
        unit_directions=_unit_directions(
            sae.cfg.architecture(), getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
        ),
    )


def _float_or_none(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _unit_directions(architecture: str, rescaled: bool) -> bool:
    return rescaled if architecture == "topk" else architecture not in ("matching_pursuit", "temporal")


def _layer(recipe: Recipe) -> int:
    found = _LAYER.match(recipe.hook_name)
    return int(found.group(1)) if found else 0


@contextmanager
def _as_source_error(where: object) -> Iterator[None]:
    """Faults of a source's files as SourceError; the hub's own faults and a full device pass."""
    try:
        yield
    except (RecipeError, EntryNotFoundError, HfHubHTTPError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except KeyError as error:
        raise SourceError(f"{where} is not a source that can be loaded: {error} is missing") from error
    except (
        SourceError,
        FileNotFoundError,
        SafetensorError,
        BadZipFile,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
    ) as error:
        raise SourceError(f"{where} is not a source that can be loaded: {error}") from error
