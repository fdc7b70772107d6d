"""Loads what the settings name. Runs in the worker's thread; torch is imported here and not before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from memicos_inference import hub, names, selection
from memicos_inference.serving import Served, set_of
from memicos_inference.settings import Settings
from memicos_inference.worker import Budget, LoadError, Report

if TYPE_CHECKING:
    from memicos_engine.model import LanguageModel
    from memicos_engine.shelf import Shelf, Stored
    from memicos_engine.sources import SourceFacts

IMPORTED, MODEL_LOADED = 0.2, 0.6
"""Shares of the loading that are done when torch is imported, and when the model is loaded."""

MOST_CHARACTERS = 400

T = TypeVar("T")


def load(settings: Settings, report: Report) -> Served:
    """The model and as many of its sources as may be in memory.

    Raises:
        LoadError: with what was wrong, where, and what to do.
    """
    report("importing torch", 0.0)
    _no_pickles()
    if settings.hf_token:
        # SAELens takes no token, huggingface_hub finds it here
        os.environ["HF_TOKEN"] = settings.hf_token.get_secret_value()
    device = pick_device(settings.device)
    place = names.place(settings)
    chosen, owners = selection.choose(settings, device)
    # before the weights are fetched: what is wrong with the settings shows early
    stored = _stored(settings, chosen, report)
    model = _model(settings, place, device, report)
    _check_sources(settings, model, [one.facts for one in stored])
    shelf = _shelf(settings, stored, report)
    return Served(
        settings=settings,
        names=names.accepted(settings, owners, place),
        weights=place.shown,
        model=model,
        shelf=shelf,
        sae_sets=tuple(dict.fromkeys(set_of(source_id) for source_id in shelf.ids)),
        kv=Budget(settings.kv_bytes),
    )


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


def _model(settings: Settings, place: names.Place, device: str, report: Report) -> LanguageModel:
    from memicos_engine.model import load_model
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    folder = place.folder
    if folder is None:
        assert place.repo is not None
        report(f"fetching {place.repo}", IMPORTED)
        folder = hub.fetch(place.repo, token, report, IMPORTED)
    where = f"{place.shown} ({place.setting})"
    _check_files(folder, where)
    report(f"loading {place.shown}", IMPORTED)
    try:
        model = load_model(settings.model_id or place.shown, str(folder), device, settings.model_dtype)
    except _no_memory() as error:
        raise LoadError(_too_large(where, device, "MODEL_DTYPE")) from error
    except (OSError, ValueError, LookupError, ImportError, RuntimeError, AttributeError, SafetensorError) as error:
        raise LoadError(f"{where} is not a model that can be loaded: {_words(error)}") from error
    return model if place.folder else replace(model, origin=place.shown)


def _check_files(folder: Path, where: str) -> None:
    """Whether the folder has what a model needs, its weights being whole safetensors."""
    from safetensors import SafetensorError, safe_open

    if not (folder / "config.json").is_file():
        raise LoadError(f"{where} has no config.json: it is not a model in the hub's layout.")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise LoadError(f"{where} has no weights as safetensors; other formats are not read.")
    for file in weights:
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise LoadError(f"{file.name} of {where} is damaged: {error}. Fetch it again.") from error


def _stored(settings: Settings, chosen: Sequence[selection.Chosen], report: Report) -> list[Stored]:
    """Each source with what is known of it without its weights."""
    from memicos_engine.shelf import Stored

    stored: list[Stored] = []
    for number, one in enumerate(chosen):
        report(f"reading what {one.id} is ({number + 1} of {len(chosen)})", IMPORTED)
        load = partial(_explained, one, one.load, settings)
        stored.append(Stored(_explained(one, one.facts, settings), load))
    return stored


def _shelf(settings: Settings, stored: Sequence[Stored], report: Report) -> Shelf:
    """All sources, as many loaded as may be."""
    from memicos_engine.shelf import Shelf

    shelf = Shelf(stored, settings.max_loaded_saes)
    first = shelf.ids[: settings.max_loaded_saes]
    for number, source_id in enumerate(first):
        share = MODEL_LOADED + (1 - MODEL_LOADED) * number / len(first)
        report(f"loading {source_id} ({number + 1} of {len(first)})", share)
        shelf.get(source_id)
    return shelf


def _explained(one: selection.Chosen, read: Callable[[], T], settings: Settings) -> T:
    """What `read` gives; its faults as LoadError."""
    from memicos_engine.recipe import RecipeError
    from memicos_engine.sources import SourceError

    try:
        return read()
    except (SourceError, RecipeError) as error:
        raise LoadError(f"Source {one.id}: {_words(error)}") from error
    except _no_memory() as error:
        raise LoadError(_too_large(f"Source {one.id}", settings.device, "SAE_DTYPE or MAX_LOADED_SAES")) from error
    except OSError as error:
        words = hub.explain(error, one.repo, settings.hf_token is not None) if one.repo else None
        raise LoadError(f"Source {one.id}: {words or f'{one.place}: {_words(error)}'}") from error


def _check_sources(settings: Settings, model: LanguageModel, facts: Sequence[SourceFacts]) -> None:
    """Runs the model on one token: the hook of each source must be there, and as wide as the source."""
    import torch
    from memicos_engine.capture import capture
    from memicos_engine.errors import Refused
    from memicos_engine.hooks import check_captured

    token = torch.tensor([[model.bos_token_id or 0]], device=model.device)
    for hook in dict.fromkeys(one.hook_name for one in facts):
        ours = [one for one in facts if one.hook_name == hook]
        try:
            check_captured(model, hook)
            # heads in an axis of their own are one activation to an SAE
            width = capture(model, token, None, [hook])[hook].flatten(2).shape[-1]
        except Refused as error:
            raise LoadError(f"Source {ours[0].id} does not fit {model.id}: {error}") from error
        except RuntimeError as error:
            raise LoadError(
                f"{model.id} does not run in {settings.model_dtype} on {model.device}: {_words(error)}. "
                "Set MODEL_DTYPE=float32."
            ) from error
        for one in ours:
            if one.d_in != width:
                raise LoadError(
                    f"Source {one.id} takes activations of width {one.d_in}, but {hook} of {model.id} has {width}: "
                    "the source belongs to another model."
                )


def _no_memory() -> tuple[type[BaseException], ...]:
    import torch

    return (torch.OutOfMemoryError, MemoryError)


def _too_large(what: str, device: str, settings: str) -> str:
    return f"{what} does not fit into the memory of {device}. Set {settings}, or use a larger device."


def _words(error: BaseException) -> str:
    """The error's text in one line."""
    return " ".join(str(error).split())[:MOST_CHARACTERS].rstrip(".") or type(error).__name__
