"""Loads what the settings name. Runs in the model's thread; torch is imported here and not before."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memicos_engine.errors import InvalidRequestError, LoadError
from memicos_engine.model import hub, model_names
from memicos_engine.model.hub import ProgressCallback

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.scheduler.caches import ActivationCache, TextCache
from memicos_inference.settings import Settings

if TYPE_CHECKING:
    from memicos_engine.model.language_model import LanguageModel
    from memicos_engine.sources.source_cache import CacheEntry, SourceCache
    from memicos_engine.sources.source_candidates import SourceCandidate
    from memicos_engine.sources.source_specs import SourceSelection

IMPORTED = 0.2
"""Share of the loading that is done when torch is imported."""

log = logging.getLogger(__name__)


def load_model(settings: Settings, report: ProgressCallback) -> LoadedModel:
    """The model, and what its sources are; they are loaded when asked for.

    A source that cannot be read, or does not fit the model, is left out and told: the others are served.

    Raises:
        LoadError: with what was wrong, where, and what to do.
    """
    report("importing torch", 0.0)
    _no_pickles()
    from memicos_engine.generation.decoder import Decoder
    from memicos_engine.sources.source_selection import select_sources

    if settings.hf_token:
        # SAELens takes no token, huggingface_hub finds it here
        os.environ["HF_TOKEN"] = settings.hf_token.get_secret_value()
    device = pick_device(settings.device)
    place = model_names.locate_weights(settings.models)
    want = source_selection(settings, device)
    choice = select_sources(want, report)
    # before the weights are fetched: what is wrong with the settings shows early
    stored, broken = read_source_info(choice.candidates, want, report)
    if broken and not stored and not choice.include_neurons:
        raise LoadError(next(iter(broken.values())))
    model = _model(settings, place, device, report)
    if choice.include_neurons:
        stored += neurons(model, want)
    source_cache = _source_cache(settings, model, stored, broken)
    return LoadedModel(
        settings=settings,
        accepted_names=model_names.accepted_model_names(settings.models, choice.registry_models, place),
        weights=place.display_name,
        model=model,
        source_cache=source_cache,
        decoder=Decoder(model, settings.max_rows, settings.kv_bytes),
        text_cache=TextCache(settings.text_cache_bytes),
        activation_cache=ActivationCache(settings.residual_cache_bytes),
    )


def source_selection(settings: Settings, device: str) -> SourceSelection:
    from memicos_engine.sources.source_specs import SourceSelection

    return SourceSelection(
        sets=settings.sae_sets,
        models=settings.models.configured,
        folder=settings.sae_folder,
        include=settings.include_sae,
        exclude=settings.exclude_sae,
        device=device,
        dtype=settings.sae_dtype,
        token=settings.hf_token.get_secret_value() if settings.hf_token else None,
    )


def read_source_info(
    candidates: Sequence[SourceCandidate], wanted: SourceSelection, report: ProgressCallback
) -> tuple[list[CacheEntry], dict[str, str]]:
    """Each source with what is known of it without its weights; and why others cannot be read, by id."""
    from memicos_engine.sources.source_cache import CacheEntry
    from memicos_engine.sources.source_candidates import with_load_errors

    stored: list[CacheEntry] = []
    broken: dict[str, str] = {}
    for number, one in enumerate(candidates):
        report(f"reading what {one.id} is ({number + 1} of {len(candidates)})", IMPORTED)
        try:
            facts = with_load_errors(one, one.read_info, wanted)
        except LoadError as error:
            broken[one.id] = str(error)
        else:
            load = partial(with_load_errors, one, one.load, wanted)
            stored.append(CacheEntry(facts, facts.nbytes(wanted.dtype), one.location, load, one.folder, one.weights))
    return stored, broken


def neurons(model: LanguageModel, wanted: SourceSelection) -> list[CacheEntry]:
    """The model's own neurons, a source a layer; they take no memory."""
    from memicos_engine.selftest.compatibility import neuron_sources
    from memicos_engine.sources.source_cache import CacheEntry

    try:
        sources = neuron_sources(model)
    except InvalidRequestError as error:
        raise LoadError(f"{model.id} has no neurons to serve (neurons in SAE_SETS): {error}") from error
    return [
        CacheEntry(one, 0, f"neurons of {model.id}", lambda one=one: one) for one in sources if wanted.includes(one.id)
    ]


def split_compatible(
    settings: Settings, model: LanguageModel, stored: Sequence[CacheEntry]
) -> tuple[list[CacheEntry], dict[str, str]]:
    """Those that fit the model, and why others do not, by id.

    Raises:
        LoadError: the model does not run.
    """
    from memicos_engine.selftest.compatibility import find_incompatible

    try:
        wrong = find_incompatible(model, [one.info for one in stored])
    except RuntimeError as error:
        raise LoadError(
            f"{model.id} does not run in {settings.model_dtype} on {model.device}: {_words(error)}. "
            "Set MODEL_DTYPE=float32."
        ) from error
    return [one for one in stored if one.info.id not in wrong], wrong


def _source_cache(
    settings: Settings, model: LanguageModel, stored: Sequence[CacheEntry], broken: dict[str, str]
) -> SourceCache:
    """Raises LoadError where there are sources and none of them can be served."""
    from memicos_engine.sources.source_cache import SourceCache

    good, wrong = split_compatible(settings, model, stored)
    broken = broken | wrong
    if broken and not good:
        raise LoadError(next(iter(broken.values())))
    for words in broken.values():
        log.error("%s", words)
    return SourceCache(good, settings.max_loaded_saes, settings.sae_bytes, broken)


def pick_device(wanted: str) -> str:
    """The device of `DEVICE`; auto takes cuda, then mps, then cpu.

    Raises:
        LoadError: it isn't there.
    """
    import torch

    cuda, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    kind, _, number = wanted.partition(":")
    if (kind == "cuda" and int(number or 0) >= cuda) or (kind == "mps" and not mps):
        there = [f"cuda:{one}" for one in range(cuda)] + (["mps"] if mps else []) + ["cpu"]
        raise LoadError(f"There is no device {wanted} (DEVICE) that torch can use here, only {', '.join(there)}.")
    return wanted


def _no_pickles() -> None:
    """Some of SAELens' loaders call torch.load and leave `weights_only` to its default, which a variable can undo."""
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"


def _model(
    settings: Settings, place: model_names.WeightsLocation, device: str, report: ProgressCallback
) -> LanguageModel:
    from memicos_engine.model.language_model import load_model
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    folder = place.folder
    if folder is None:
        assert place.repo is not None
        report(f"fetching {place.repo}", IMPORTED)
        folder = hub.fetch(place.repo, token, report, IMPORTED)
    where = f"{place.display_name} ({place.setting})"
    _check_files(folder, where)
    report(f"loading {place.display_name}", IMPORTED)
    try:
        model = load_model(settings.model_id or place.display_name, str(folder), device, settings.model_dtype)
    except _no_memory() as error:
        raise LoadError(_too_large(where, device, "MODEL_DTYPE")) from error
    except (OSError, ValueError, LookupError, ImportError, RuntimeError, AttributeError, SafetensorError) as error:
        raise LoadError(f"{where} is not a model that can be loaded: {_words(error)}") from error
    return model if place.folder else replace(model, origin=place.display_name)


def load_outline(place: model_names.WeightsLocation, folder: Path) -> LanguageModel:
    """The model in `folder` without its weights.

    Raises:
        LoadError: it is none that could be served.
    """
    _no_pickles()
    from memicos_engine.model.language_model import load_model_outline

    where = f"{place.display_name} ({place.setting})"
    _check_layout(folder, where)
    try:
        return load_model_outline(place.display_name, str(folder))
    except (OSError, ValueError, LookupError, ImportError, RuntimeError, AttributeError) as error:
        raise LoadError(f"{where} is not a model that can be loaded: {_words(error)}") from error


def _check_layout(folder: Path, where: str) -> None:
    if not (folder / "config.json").is_file():
        raise LoadError(f"{where} has no config.json: it is not a model in the hub's layout.")


def _check_files(folder: Path, where: str) -> None:
    """Whether the folder has what a model needs, its weights being whole safetensors."""
    from safetensors import SafetensorError, safe_open

    _check_layout(folder, where)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise LoadError(f"{where} has no weights as safetensors; other formats are not read.")
    for file in weights:
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise LoadError(f"{file.name} of {where} is damaged: {error}. Fetch it again.") from error


def _no_memory() -> tuple[type[BaseException], ...]:
    import torch

    return (torch.OutOfMemoryError, MemoryError)


def _too_large(what: str, device: str, settings: str) -> str:
    return f"{what} does not fit into the memory of {device}. Set {settings}, or use a larger device."


def _words(error: BaseException) -> str:
    from memicos_engine.sources.source_candidates import one_line

    return one_line(error)
