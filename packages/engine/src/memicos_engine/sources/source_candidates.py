"""Find the sources that an entry of SAE_SETS means: in local folders, folders of the hub and SAELens' directory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from memicos_engine.errors import LoadError, RecipeError, SourceError
from memicos_engine.model import hub
from memicos_engine.sources import saelens_registry
from memicos_engine.sources.formats import FORMATS
from memicos_engine.sources.recipe import read_overrides
from memicos_engine.sources.source import Source, SourceInfo
from memicos_engine.sources.source_loading import (
    load_pretrained,
    load_source,
    read_local_info,
    read_pretrained_info,
)
from memicos_engine.sources.source_specs import SourceSelection, SourceSpec

MAX_LISTED_NAMES = 30
MAX_ERROR_CHARACTERS = 400
_SOURCE_ID = re.compile(r"(?:\d+|e)-(.+)")
_INVALID_IN_SET_NAME = re.compile(r"[^\w.-]")

T = TypeVar("T")


@dataclass(frozen=True)
class SourceCandidate:
    """A source that can be served.

    `location` names where it is, for messages; `read_info` reads its metadata and `load` its weights. `weights`
    identifies the weights without a local path: a folder's name, or `hf:<owner>/<name>/<path>`. `folder` holds local
    files; `repo` is the hub repository that the others come from. A source that cannot be read has its location as id.
    """

    id: str
    location: str
    folder: Path | None
    repo: str | None
    read_info: Callable[[], SourceInfo]
    load: Callable[[], Source]
    weights: str


def source_folder(spec: SourceSpec, selection: SourceSelection, on_progress: hub.ProgressCallback) -> Path | None:
    """The folder that an entry names, fetched if it is in the hub; None for a set's name or neurons.

    Raises:
        LoadError: it cannot be fetched.
    """
    if spec.kind == "path":
        return Path(spec.name).expanduser()
    if spec.kind == "hf":
        owner, name, *folder = spec.name.split("/")
        on_progress(f"fetching {spec.name}", 0.2)
        return hub.fetch_sources(f"{owner}/{name}", "/".join(folder), selection.token, on_progress, 0.2)
    return None


def find_candidates(
    spec: SourceSpec, selection: SourceSelection, folder: Path | None
) -> tuple[list[SourceCandidate], str | None]:
    """The sources of an entry by layer, and the model of SAELens' directory that owns the set, if one does.

    `folder` is what `source_folder` returned. Empty for neurons: they need the loaded model.

    Raises:
        LoadError: the set is unknown.
    """
    if spec.kind == "set":
        return _set_candidates(spec, selection)
    if folder is None:
        return [], None
    name = spec.name.rpartition("/")[2] if spec.kind == "hf" else folder.resolve().name
    return list(_folder_candidates(spec, folder, name, spec.repo, selection)), None


def with_load_errors(candidate: SourceCandidate, read: Callable[[], T], selection: SourceSelection) -> T:
    """The result of `read`, which reads `candidate`. Errors of the files, the hub and the device become LoadError."""
    try:
        return read()
    except RecipeError as error:
        reason = f"Source {candidate.id}: {one_line(error)}"
        if candidate.repo:
            reason += f". It is {candidate.repo} of the hub: fetch it (hf download) and name its folder by path:"
        raise LoadError(reason) from error
    except SourceError as error:
        raise LoadError(f"Source {candidate.id}: {one_line(error)}") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LoadError(
            f"Source {candidate.id} does not fit into the memory of {selection.device}. Set SAE_DTYPE, "
            "INFERENCE_SAE_BYTES or MAX_LOADED_SAES, or use a larger device."
        ) from error
    except OSError as error:
        reason = hub.explain_error(error, candidate.repo, selection.token is not None) if candidate.repo else None
        raise LoadError(f"Source {candidate.id}: {reason or f'{candidate.location}: {one_line(error)}'}") from error


def one_line(error: BaseException) -> str:
    """The message of an error in one line, at most MAX_ERROR_CHARACTERS."""
    return " ".join(str(error).split())[:MAX_ERROR_CHARACTERS].rstrip(".") or type(error).__name__


def _folder_candidates(
    spec: SourceSpec, folder: Path, name: str, repo: str | None, wanted: SourceSelection
) -> Iterator[SourceCandidate]:
    """The source in `folder`, or those in its sub-folders, by layer. `name` is the default name of the set."""
    try:
        folders = [folder] if _is_source(folder, spec.format) else []
        if not folders and folder.is_dir():
            folders = [one for one in folder.iterdir() if one.is_dir() and _is_source(one, spec.format)]
        name = read_overrides(folder).set or name
    except (RecipeError, OSError) as error:
        yield unreadable_candidate(spec.text, folder, repo, error)
        return
    if not folders:
        words = "holds no source, nor does a folder in it" if folder.is_dir() else "is no folder"
        forms = [form for form in FORMATS.values() if spec.format in (None, form.name)]
        known = "; ".join(f"{form.name} ({form.files})" for form in forms)
        yield unreadable_candidate(spec.text, folder, repo, SourceError(f"{folder} {words}. Formats: {known}"))
    named = f"hf:{spec.name}" if repo else folder.resolve().name
    candidates = [
        _folder_candidate(one, spec, name, repo, wanted, named if one == folder else f"{named}/{one.name}")
        for one in folders
    ]
    yield from sorted(candidates, key=lambda one: _sort_key(one.id))


def _is_source(folder: Path, form: str | None) -> bool:
    try:
        extras = read_overrides(folder)
        return any(one.find_weights(folder, extras) for one in FORMATS.values() if form in (None, one.name))
    except (RecipeError, SourceError):
        return True  # reading it will report the error


def _folder_candidate(
    folder: Path, spec: SourceSpec, set_name: str, repo: str | None, wanted: SourceSelection, weights: str
) -> SourceCandidate:
    place = f"{folder} ({spec.text})"
    try:
        facts = read_local_info(folder, "", spec.format)
        source_id = _source_id(folder, facts, set_name)
    except (RecipeError, SourceError, OSError) as error:
        return unreadable_candidate(place, folder, repo, error)
    facts = replace(facts, id=source_id)
    load = partial(load_source, folder, source_id, wanted.device, wanted.dtype, spec.format)
    return SourceCandidate(source_id, place, folder, repo, lambda: facts, load, weights)


def _source_id(folder: Path, facts: SourceInfo, set_name: str) -> str:
    """`<layer>-<set>`. The set is that of memicos.json, else the folder's name after `<layer>-`, else `set_name`."""
    layer = "e" if facts.hook_name.startswith("hook_embed") else str(facts.layer)
    own = read_overrides(folder).set
    if own is None and (found := _SOURCE_ID.fullmatch(folder.name)) and folder.name.startswith(f"{layer}-"):
        own = found.group(1)
    return f"{layer}-{own or _INVALID_IN_SET_NAME.sub('-', set_name)}"


def unreadable_candidate(place: str, folder: Path | None, repo: str | None, error: Exception) -> SourceCandidate:
    def raised() -> SourceInfo:
        raise error

    def unloadable() -> Source:
        raise error

    return SourceCandidate(place, place, folder, repo, raised, unloadable, place)


def _set_candidates(spec: SourceSpec, wanted: SourceSelection) -> tuple[list[SourceCandidate], str | None]:
    local = [
        one for one in _local_folders(wanted.folder) if _set_name(one) == spec.name and _is_source(one, spec.format)
    ]
    if local:
        return [
            _local_candidate(one, spec.format, wanted) for one in sorted(local, key=lambda one: _sort_key(one.name))
        ], None
    candidates = saelens_registry.matching_models(wanted.models)
    owner = next((one for one in candidates if spec.name in saelens_registry.published_saes(one)), None)
    if owner is None:
        raise LoadError(_unknown_set_message(spec.name, candidates, wanted))
    if spec.format:
        raise LoadError(f"{spec.text}: SAELens' directory knows the format of its sets; leave @{spec.format} out.")
    published = sorted(saelens_registry.published_saes(owner)[spec.name], key=lambda one: _sort_key(one.source_id))
    return [_registry_candidate(one, wanted) for one in published], owner


def _local_folders(folder: Path | None) -> list[Path]:
    """Folders in SAE_FOLDER that are named like a source."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise LoadError(f"There is no folder {folder} (SAE_FOLDER).")
    return list(folder.glob("*-*"))


def _set_name(folder: Path) -> str:
    return folder.name.partition("-")[2]


def _local_candidate(folder: Path, form: str | None, wanted: SourceSelection) -> SourceCandidate:
    """A source of SAE_FOLDER: the name of its folder is its id."""
    name = folder.name
    load = partial(load_source, folder, name, wanted.device, wanted.dtype, form)
    return SourceCandidate(name, str(folder), folder, None, partial(read_local_info, folder, name, form), load, name)


def _registry_candidate(one: saelens_registry.PublishedSae, wanted: SourceSelection) -> SourceCandidate:
    which = (one.release, one.sae_id, one.source_id)
    load = partial(load_pretrained, *which, wanted.device, wanted.dtype)
    place = f"{one.repo} ({one.release}, {one.sae_id})"
    weights = f"hf:{one.repo}/{one.path}"
    return SourceCandidate(one.source_id, place, None, one.repo, partial(read_pretrained_info, *which), load, weights)


def _sort_key(source_id: str) -> tuple[int, str]:
    """Sort key: by layer, with the embeddings' `e` first."""
    layer = source_id.partition("-")[0]
    return (int(layer) if layer.isdecimal() else -1, source_id)


def _unknown_set_message(name: str, candidates: Sequence[str], wanted: SourceSelection) -> str:
    local = {_set_name(one) for one in _local_folders(wanted.folder) if _is_source(one, None)}
    known = [f"SAE_FOLDER has {abbreviated_list(sorted(local))}"] if wanted.folder else []
    known += [
        f"SAELens' directory has for {one}: {abbreviated_list(sorted(saelens_registry.published_saes(one)))}"
        for one in candidates
    ]
    if not candidates:
        known.append(f"SAELens' directory has no sources for {next(iter(wanted.models), 'this model')}")
    return f"There is no source set {name} (SAE_SETS). {'. '.join(known)}."


def abbreviated_list(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED_NAMES
    return (", ".join(names[:MAX_LISTED_NAMES]) or "nothing") + (f" and {more} others" if more > 0 else "")
