"""Loads the model and its sources by the settings. Runs in the model's thread, and imports torch there."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memicos_engine.errors import InvalidRequestError, LoadError
from memicos_engine.model import hub, model_names
from memicos_engine.model.hub import ProgressCallback

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.memory_check import check_memory
from memicos_inference.scheduler.caches import ActivationCache, TextCache
from memicos_inference.settings import Settings

if TYPE_CHECKING:
    from memicos_engine.model.language_model import LanguageModel
    from memicos_engine.sources.source_cache import CacheEntry
    from memicos_engine.sources.source_candidates import SourceCandidate
    from memicos_engine.sources.source_specs import SourceSelection

IMPORTED = 0.2
"""Fraction of the loading that is done when torch is imported."""

log = logging.getLogger(__name__)


def load_model(settings: Settings, report: ProgressCallback, *, require_sources: bool = False) -> LoadedModel:
    """Load the model, and the metadata of its sources; weights of sources are loaded on first use.

    A source that cannot be read or does not fit the model is logged and listed as unavailable; the model and the other
    sources are served, also where no source is left. `require_sources` raises an error instead.

    Raises:
        LoadError: the model cannot be loaded, the patterns exclude every source, or with `require_sources` a source
            cannot be served. The message has the reason and what to do.
    """
    report("importing torch", 0.0)
    _forbid_pickles()
    from memicos_engine.generation.decoder import Decoder
    from memicos_engine.sources.source_cache import SourceCache
    from memicos_engine.sources.source_selection import select_sources

    if settings.hf_token:
        # SAELens takes no token; huggingface_hub reads this variable
        os.environ["HF_TOKEN"] = settings.hf_token.get_secret_value()
    device = pick_device(settings.device)
    location = model_names.locate_weights(settings.models)
    selection = source_selection(settings, device)
    choice = select_sources(selection, report)
    # before the weights are fetched, so that wrong settings are reported early
    entries, errors = read_source_info(choice.candidates, selection, report)
    _report_errors(errors, require_sources)
    model = _model(settings, location, device, max((entry.nbytes for entry in entries), default=0), report)
    entries, unfit = _fitting_entries(settings, model, entries, selection if choice.include_neurons else None)
    _report_errors(unfit, require_sources)
    source_cache = SourceCache(entries, settings.max_loaded_saes, settings.sae_bytes, errors | unfit)
    return LoadedModel(
        settings=settings,
        accepted_names=model_names.accepted_model_names(settings.models, choice.registry_models, location),
        weights=location.display_name,
        model=model,
        source_cache=source_cache,
        decoder=Decoder(model, settings.max_rows, settings.kv_bytes),
        text_cache=TextCache(settings.text_cache_bytes),
        activation_cache=ActivationCache(settings.residual_cache_bytes),
    )


def source_selection(settings: Settings, device: str) -> SourceSelection:
    """The sources that the settings name."""
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
    candidates: Sequence[SourceCandidate], selection: SourceSelection, report: ProgressCallback
) -> tuple[list[CacheEntry], dict[str, str]]:
    """Read the metadata of each source, without weights. Returns entries, and by id the errors of other sources.

    Once the hub cannot be reached, further sources are read from its cache only.
    """
    from memicos_engine.sources.source_cache import CacheEntry
    from memicos_engine.sources.source_candidates import with_load_errors

    entries: list[CacheEntry] = []
    errors: dict[str, str] = {}
    unreachable: str | None = None
    for number, candidate in enumerate(candidates, 1):
        report(f"reading the configuration of {candidate.id} ({number} of {len(candidates)})", IMPORTED)
        try:
            with hub.cache_only(unreachable) if unreachable else nullcontext():
                info = with_load_errors(candidate, candidate.read_info, selection)
        except LoadError as error:
            errors[candidate.id] = str(error)
            unreachable = unreachable or hub.network_error(error)
        else:
            load = partial(with_load_errors, candidate, candidate.load, selection)
            nbytes = info.nbytes(selection.dtype)
            entries.append(CacheEntry(info, nbytes, candidate.location, load, candidate.folder, candidate.weights))
    return entries, errors


def neurons(model: LanguageModel, selection: SourceSelection) -> list[CacheEntry]:
    """The model's own neurons, one source per layer; they take no memory.

    Raises:
        LoadError: the model's neurons cannot be captured.
    """
    from memicos_engine.selftest.compatibility import neuron_sources
    from memicos_engine.sources.source_cache import CacheEntry

    try:
        sources = neuron_sources(model)
    except InvalidRequestError as error:
        raise LoadError(f"{model.id} has no neurons to serve (neurons in SAE_SETS): {error}") from error
    return [
        CacheEntry(source, 0, f"neurons of {model.id}", lambda source=source: source)
        for source in sources
        if selection.includes(source.id)
    ]


def split_compatible(
    settings: Settings, model: LanguageModel, entries: Sequence[CacheEntry]
) -> tuple[list[CacheEntry], dict[str, str]]:
    """Entries that fit the model, and by id the reasons why others do not.

    Raises:
        LoadError: the model does not run.
    """
    from memicos_engine.selftest.compatibility import find_incompatible

    try:
        incompatible = find_incompatible(model, [entry.info for entry in entries])
    except RuntimeError as error:
        raise LoadError(_does_not_run(settings, model, error)) from error
    return [entry for entry in entries if entry.info.id not in incompatible], incompatible


def _fitting_entries(
    settings: Settings, model: LanguageModel, entries: Sequence[CacheEntry], neurons_of: SourceSelection | None
) -> tuple[list[CacheEntry], dict[str, str]]:
    """Entries that fit the model, those of its neurons for `neurons_of` included, and by id the errors of others."""
    errors: dict[str, str] = {}
    if neurons_of is not None:
        try:
            entries = [*entries, *neurons(model, neurons_of)]
        except LoadError as error:
            errors["neurons"] = str(error)
    compatible, incompatible = split_compatible(settings, model, entries)
    return compatible, errors | incompatible


def _report_errors(errors: Mapping[str, str], require_sources: bool) -> None:
    """Log the errors of sources, or raise them as one LoadError."""
    if errors and require_sources:
        raise LoadError(first_and_count(list(errors.values())))
    for message in errors.values():
        log.error("%s", message)


def first_and_count(reasons: Sequence[str]) -> str:
    """The first reason, and how many more there are."""
    more = len(reasons) - 1
    return reasons[0].rstrip(".") + (f" (and {more} more)" if more else "")


def pick_device(name: str) -> str:
    """The device of the setting `DEVICE`; for auto the first that exists of cuda, mps and cpu.

    Raises:
        LoadError: there is no such device.
    """
    import torch

    cuda, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    kind, _, number = name.partition(":")
    if (kind == "cuda" and int(number or 0) >= cuda) or (kind == "mps" and not mps):
        available = [f"cuda:{index}" for index in range(cuda)] + (["mps"] if mps else []) + ["cpu"]
        raise LoadError(f"There is no device {name} (DEVICE) that torch can use here, only {', '.join(available)}.")
    return name


def _forbid_pickles() -> None:
    """Make torch.load refuse pickles: some loaders of SAELens do not pass `weights_only`."""
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"


def _model(
    settings: Settings,
    location: model_names.WeightsLocation,
    device: str,
    largest_source: int,
    report: ProgressCallback,
) -> LanguageModel:
    """`largest_source` is the number of bytes of the largest source, for the check of the memory."""
    from memicos_engine.model.language_model import load_model
    from memicos_engine.selftest.execution_modes import with_execution_modes
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    folder = location.folder
    if folder is None:
        assert location.repo is not None
        report(f"fetching {location.repo}", IMPORTED)
        folder = hub.fetch(location.repo, token, report, IMPORTED)
    description = f"{location.display_name} ({location.setting})"
    _check_layout(folder, description)
    # before the files are mapped into memory, which the kernel refuses for files larger than the memory
    check_memory(settings, folder, description, device, largest_source)
    _check_files(folder, description)
    report(f"loading {location.display_name}", IMPORTED)
    try:
        model = load_model(settings.model_id or location.display_name, str(folder), device, settings.model_dtype)
    except _memory_errors() as error:
        raise LoadError(_too_large(description, device, "MODEL_DTYPE")) from error
    except (OSError, ValueError, LookupError, ImportError, RuntimeError, AttributeError, SafetensorError) as error:
        raise LoadError(f"{description} is not a model that can be loaded: {_error_line(error)}") from error
    report(f"trying how {location.display_name} may be run", IMPORTED)
    try:
        model = with_execution_modes(model)
    except _memory_errors() as error:
        raise LoadError(_too_large(description, device, "MODEL_DTYPE")) from error
    except RuntimeError as error:
        raise LoadError(_does_not_run(settings, model, error)) from error
    except _STRUCTURE_ERRORS as error:
        raise LoadError(_cannot_be_served(description, error)) from error
    return model if location.folder else replace(model, origin=location.display_name)


def load_outline(location: model_names.WeightsLocation, folder: Path) -> LanguageModel:
    """The model in `folder` without its weights.

    Raises:
        LoadError: the folder has no model that could be served, for the reasons of `load_model` that the weights play
            no part in.
    """
    _forbid_pickles()
    from memicos_engine.model.language_model import load_model_outline
    from memicos_engine.selftest.execution_modes import check_residual_stream

    description = f"{location.display_name} ({location.setting})"
    _check_layout(folder, description)
    try:
        model = load_model_outline(location.display_name, str(folder))
    except (OSError, ValueError, LookupError, ImportError, RuntimeError, AttributeError) as error:
        raise LoadError(f"{description} is not a model that can be loaded: {_error_line(error)}") from error
    try:
        check_residual_stream(model)
    except RuntimeError as error:
        log.info("%s does not run without its weights: %s", description, _error_line(error))
    except _STRUCTURE_ERRORS as error:
        raise LoadError(_cannot_be_served(description, error)) from error
    return model


def _check_layout(folder: Path, description: str) -> None:
    if not (folder / "config.json").is_file():
        raise LoadError(f"{description} has no config.json: it is not a model in the hub's layout.")


def _check_files(folder: Path, description: str) -> None:
    """Raises LoadError where the folder has no complete weights as safetensors."""
    from safetensors import SafetensorError, safe_open

    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise LoadError(f"{description} has no weights as safetensors; other formats are not read.")
    for file in weights:
        try:
            # safe_open says of every file that it may not open that it does not exist
            file.open("rb").close()
        except OSError as error:
            raise LoadError(f"{file.name} of {description} cannot be read: {error.strerror}.") from error
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise LoadError(f"{file.name} of {description} is damaged: {error}. Fetch it again.") from error
        except RuntimeError as error:  # it cannot be mapped into memory
            raise LoadError(_too_large(description, "cpu", "MODEL_DTYPE")) from error


_STRUCTURE_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""Errors of the first runs of a model that cannot be run block by block, whatever its weights."""


def _cannot_be_served(description: str, error: Exception) -> str:
    return f"{description} cannot be served: {_error_line(error)}"


def _does_not_run(settings: Settings, model: LanguageModel, error: Exception) -> str:
    advice = "" if settings.model_dtype == "float32" else " Set MODEL_DTYPE=float32."
    return f"{model.id} does not run in {settings.model_dtype} on {model.device}: {_error_line(error)}.{advice}"


def _memory_errors() -> tuple[type[BaseException], ...]:
    import torch

    return (torch.OutOfMemoryError, MemoryError)


def _too_large(description: str, device: str, settings: str) -> str:
    return f"{description} does not fit into the memory of {device}. Set {settings}, or use a larger device."


def _error_line(error: BaseException) -> str:
    from memicos_engine.sources.source_candidates import one_line

    return one_line(error)
