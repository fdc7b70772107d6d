"""Which sources the settings name: local ones in SAE_FOLDER, others in SAELens' directory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memicos_inference import directory
from memicos_inference.settings import Settings
from memicos_inference.worker import LoadError

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources import Source, SourceFacts

MOST_LISTED = 30


@dataclass(frozen=True)
class Chosen:
    """A source to serve. `place` says in words where it is; `facts` reads its configuration, `load` its weights."""

    id: str
    place: str
    repo: str | None
    facts: Callable[[], SourceFacts]
    load: Callable[[], Source]


def choose(settings: Settings, device: str) -> tuple[list[Chosen], list[str]]:
    """The sources of SAE_SETS that INCLUDE_SAE and EXCLUDE_SAE leave, by set and layer, and who owns them.

    A set's sources are those whose id is `<layer>-<set>`; variants `<layer>-<set>__<variant>` are a set of their own.
    Owners are the models of SAELens' directory that have the sets.

    Raises:
        LoadError: a set is unknown, or nothing is left.
    """
    local = _local(settings.sae_folder)
    names = [name for name in (settings.model_id, settings.override_model_id, settings.custom_hf_model_id) if name]
    found: list[Chosen] = []
    owners: list[str] = []
    for name in settings.sae_sets:
        if name in local:
            found += [_from_folder(folder, settings, device) for folder in _sorted(local[name])]
            continue
        candidates = directory.owners(names)
        owner = next((one for one in candidates if name in directory.published(one)), None)
        if owner is None:
            raise LoadError(_unknown(name, candidates, list(local), settings))
        owners.append(owner)
        published = sorted(directory.published(owner)[name], key=lambda one: _order(one.id))
        found += [_from_directory(one, settings, device) for one in published]
    kept = [one for one in found if _wanted(one.id, settings)]
    if found and not kept:
        patterns = f"INCLUDE_SAE={list(settings.include_sae)}, EXCLUDE_SAE={list(settings.exclude_sae)}"
        raise LoadError(f"No source is left by {patterns}, of: {_listed([one.id for one in found])}.")
    return kept, list(dict.fromkeys(owners))


def _local(folder: Path | None) -> dict[str, list[Path]]:
    """Folders of sources by set."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise LoadError(f"There is no folder {folder} (SAE_FOLDER).")
    sets: dict[str, list[Path]] = {}
    for file in folder.glob("*-*/cfg.json"):
        sets.setdefault(file.parent.name.partition("-")[2], []).append(file.parent)
    return sets


def _sorted(folders: list[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: _order(folder.name))


def _order(source_id: str) -> tuple[int, str]:
    """By layer; the embeddings' `e` first."""
    layer = source_id.partition("-")[0]
    return (int(layer) if layer.isdecimal() else -1, source_id)


def _wanted(source_id: str, settings: Settings) -> bool:
    included = not settings.include_sae or any(re.search(one, source_id) for one in settings.include_sae)
    return included and not any(re.search(one, source_id) for one in settings.exclude_sae)


def _from_folder(folder: Path, settings: Settings, device: str) -> Chosen:
    from memicos_engine import sources

    name = folder.name
    load = partial(sources.load_source, folder, name, device, settings.sae_dtype)
    return Chosen(name, str(folder), None, partial(sources.local_facts, folder, name), load)


def _from_directory(one: directory.Published, settings: Settings, device: str) -> Chosen:
    from memicos_engine import sources

    which = (one.release, one.sae_id, one.id)
    load = partial(sources.load_pretrained, *which, device, settings.sae_dtype)
    place = f"{one.repo} ({one.release}, {one.sae_id})"
    return Chosen(one.id, place, one.repo, partial(sources.pretrained_facts, *which), load)


def _unknown(name: str, candidates: Sequence[str], local: Sequence[str], settings: Settings) -> str:
    known = [f"SAE_FOLDER has {_listed(sorted(local))}"] if settings.sae_folder else []
    known += [f"SAELens' directory has for {one}: {_listed(sorted(directory.published(one)))}" for one in candidates]
    if not candidates:
        known.append(f"SAELens' directory has no sources for {settings.model_id}")
    return f"There is no source set {name} (SAE_SETS). {'. '.join(known)}."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_LISTED
    return (", ".join(names[:MOST_LISTED]) or "nothing") + (f" and {more} others" if more > 0 else "")
