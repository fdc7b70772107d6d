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
from memicos_engine.sources.formats import describe_formats, detect_format, source_locations
from memicos_engine.sources.recipe import read_overrides
from memicos_engine.sources.source import Source, SourceInfo
from memicos_engine.sources.source_loading import (
    load_pretrained,
    load_source,
    read_local_info,
    read_pretrained_info,
)
from memicos_engine.sources.source_specs import SourceSelection, SourceSpec
from memicos_engine.user_paths import check_readable, printable, real_path

MAX_LISTED_NAMES = 30
MAX_ERROR_CHARACTERS = 1000
_SOURCE_ID = re.compile(r"(?:[0-9]+|e)-(.+)")
_INVALID_IN_SET_NAME = re.compile(r"[^\w.-]")

T = TypeVar("T")


@dataclass(frozen=True)
class SourceCandidate:
    """A source that can be served.

    `location` names where it is, for messages; `read_info` reads its metadata and `load` its weights. `weights`
    identifies the weights without a local path: a folder's name, or `hf:<owner>/<name>/<path>`. `folder` holds local
    files; `repo` is the hub repository that the others come from. `error` says why a source cannot be read; its
    location is then its id.
    """

    id: str
    location: str
    folder: Path | None
    repo: str | None
    read_info: Callable[[], SourceInfo]
    load: Callable[[], Source]
    weights: str
    error: Exception | None = None


def source_folder(spec: SourceSpec, selection: SourceSelection, on_progress: hub.ProgressCallback) -> Path | None:
    """The folder that an entry names, fetched if it is in the hub; None for a set's name or neurons.

    Raises:
        LoadError: it cannot be fetched or looked up.
    """
    if (folder := spec.folder) is not None:
        check_readable(folder)
        return folder
    if spec.kind == "hf":
        owner, name, *inner = spec.name.split("/")
        on_progress(f"fetching {spec.name}", 0.2)
        return hub.fetch_sources(f"{owner}/{name}", "/".join(inner), selection.token, on_progress, 0.2)
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
    if spec.kind == "saelens":
        return _release_candidates(spec, selection)
    if folder is None:
        return [], None
    name = spec.name.rpartition("/")[2] if spec.kind == "hf" else real_path(folder).name
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
    return printable(" ".join(str(error).split())[:MAX_ERROR_CHARACTERS].rstrip(".")) or type(error).__name__


def _folder_candidates(
    spec: SourceSpec, folder: Path, name: str, repo: str | None, selection: SourceSelection
) -> Iterator[SourceCandidate]:
    """The source in `folder`, or those in its sub-folders, by layer. `name` is the default name of the set."""
    try:
        paths = _locations(folder, spec.format)
        if not paths and folder.is_dir():
            children = sorted(child for child in folder.iterdir() if child.is_dir())
            paths = [path for child in children for path in _locations(child, spec.format)]
        name = read_overrides(folder).set or name
    except (RecipeError, OSError) as error:
        yield unreadable_candidate(spec.text, folder, repo, error)
        return
    if not paths:
        yield unreadable_candidate(spec.text, folder, repo, SourceError(_no_source_message(folder, spec.format)))
    weights = f"hf:{spec.name}" if repo else real_path(folder).name
    candidates = []
    for path in paths:
        inside = path.relative_to(folder).as_posix()
        # files of a folder in the named one are a set of their own
        set_name = name if path.is_dir() or path.parent == folder else path.parent.name
        where = weights if path == folder else f"{weights}/{inside}"
        candidates.append(_location_candidate(path, spec, set_name, repo, selection, where))
    yield from sorted(candidates, key=lambda candidate: _sort_key(candidate.id))


def _locations(folder: Path, format_name: str | None) -> list[Path]:
    """Where the sources in a folder are, as `source_locations`; the folder itself if they cannot be read."""
    try:
        return source_locations(folder, read_overrides(folder), format_name) if folder.is_dir() else []
    except (RecipeError, SourceError, OSError):
        return [folder]  # reading it will report the error


def _no_source_message(folder: Path, format_name: str | None) -> str:
    if not folder.is_dir():
        return f"{folder} is no folder"
    names = abbreviated_list(sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()))
    return (
        f"{folder} holds no source, nor does a folder in it; it has {names}. Formats, with the files that were looked "
        f"for: {describe_formats(format_name)}"
    )


def _location_candidate(
    path: Path, spec: SourceSpec, set_name: str, repo: str | None, selection: SourceSelection, weights: str
) -> SourceCandidate:
    location = f"{path} ({spec.text})"
    # a record of outputs beside the weights is that of one source
    folder = path if path.is_dir() else None
    try:
        info = read_local_info(path, "", spec.format)
        source_id = _source_id(path, info, set_name, spec)
    except (RecipeError, SourceError, OSError) as error:
        return unreadable_candidate(location, folder, repo, error)
    info = replace(info, id=source_id)
    load = partial(load_source, path, source_id, selection.device, selection.dtype, spec.format)
    return SourceCandidate(source_id, location, folder, repo, lambda: info, load, weights)


def _source_id(path: Path, info: SourceInfo, set_name: str, spec: SourceSpec) -> str:
    """`<layer>-<set>`. The set is that of memicos.json, else the folder's name after `<layer>-`, else `set_name` with
    what the format adds to it."""
    layer = "e" if info.hook_name.startswith("hook_embed") else str(info.layer)
    overrides = read_overrides(path if path.is_dir() else path.parent)
    set_override = overrides.set
    if set_override is None and path.is_dir():
        match = _SOURCE_ID.fullmatch(path.name)
        if match and path.name.startswith(f"{layer}-"):
            set_override = match.group(1)
        elif suffix := detect_format(path, overrides, spec.format)[0].set_suffix(path):
            set_name = suffix if set_name == path.name else f"{set_name}-{suffix}"
    return f"{layer}-{set_override or _INVALID_IN_SET_NAME.sub('-', set_name)}"


def unreadable_candidate(location: str, folder: Path | None, repo: str | None, error: Exception) -> SourceCandidate:
    """A candidate whose `read_info` and `load` raise `error`."""
    location = printable(location)

    def read_info() -> SourceInfo:
        raise error

    def load() -> Source:
        raise error

    return SourceCandidate(location, location, folder, repo, read_info, load, location, error)


def _set_candidates(spec: SourceSpec, selection: SourceSelection) -> tuple[list[SourceCandidate], str | None]:
    local = [
        folder
        for folder in _local_folders(selection.folder)
        if _set_name(folder) == spec.name and _locations(folder, spec.format)
    ]
    if local:
        local.sort(key=lambda folder: _sort_key(folder.name))
        return [_local_candidate(folder, spec.format, selection) for folder in local], None
    models = saelens_registry.matching_models(selection.models)
    owner = next((model for model in models if spec.name in saelens_registry.published_saes(model)), None)
    if owner is None:
        raise LoadError(_unknown_set_message(spec.name, models, selection))
    if spec.format:
        raise LoadError(f"{spec.text}: SAELens' directory knows the format of its sets; leave @{spec.format} out.")
    published = sorted(saelens_registry.published_saes(owner)[spec.name], key=lambda sae: _sort_key(sae.source_id))
    return [_registry_candidate(sae, selection) for sae in published], owner


def _release_candidates(spec: SourceSpec, selection: SourceSelection) -> tuple[list[SourceCandidate], str | None]:
    if spec.format:
        raise LoadError(f"{spec.text}: SAELens' directory knows the format of its sets; leave @{spec.format} out.")
    release, slash, sae_id = spec.name.partition("/")
    try:
        saes = saelens_registry.release_saes(release, sae_id if slash else None)
    except KeyError as error:
        sae_ids, releases = saelens_registry.release_names(release)
        if sae_ids:
            raise LoadError(f"{spec.text}: the release has no {sae_id}, only {abbreviated_list(sae_ids)}.") from error
        raise LoadError(
            f"{spec.text}: SAELens' directory has no release {release}; similar: {abbreviated_list(releases)}."
        ) from error
    models = saelens_registry.release_models(release)
    owner = next((model for model in saelens_registry.matching_models(selection.models) if model in models), None)
    saes.sort(key=lambda sae: _sort_key(sae.source_id))
    return [_registry_candidate(sae, selection) for sae in saes], owner


def _local_folders(folder: Path | None) -> list[Path]:
    """Folders in SAE_FOLDER that are named like a source."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise LoadError(f"There is no folder {folder} (SAE_FOLDER).")
    return list(folder.glob("*-*"))


def _set_name(folder: Path) -> str:
    return folder.name.partition("-")[2]


def _local_candidate(folder: Path, format_name: str | None, selection: SourceSelection) -> SourceCandidate:
    """A source of SAE_FOLDER: the name of its folder is its id."""
    name = folder.name
    load = partial(load_source, folder, name, selection.device, selection.dtype, format_name)
    read_info = partial(read_local_info, folder, name, format_name)
    return SourceCandidate(name, str(folder), folder, None, read_info, load, name)


def _registry_candidate(sae: saelens_registry.PublishedSae, selection: SourceSelection) -> SourceCandidate:
    key = (sae.release, sae.sae_id, sae.source_id)
    load = partial(load_pretrained, *key, selection.device, selection.dtype)
    location = f"{sae.repo} ({sae.release}, {sae.sae_id})"
    weights = f"hf:{sae.repo}/{sae.path}"
    return SourceCandidate(sae.source_id, location, None, sae.repo, partial(read_pretrained_info, *key), load, weights)


def _sort_key(source_id: str) -> tuple[int, str]:
    """Sort key: by layer, with the embeddings' `e` first."""
    layer = source_id.partition("-")[0]
    return (int(layer) if layer.isdecimal() else -1, source_id)


def _unknown_set_message(name: str, models: Sequence[str], selection: SourceSelection) -> str:
    if "/" in name:
        # without a look at the disk: a client may not learn which folders a server has
        return f"There is no source set {name} (SAE_SETS). Put path: before it if it is a folder of sources."
    local = {_set_name(folder) for folder in _local_folders(selection.folder) if _locations(folder, None)}
    available = [f"SAE_FOLDER has {abbreviated_list(sorted(local))}"] if selection.folder else []
    available += [
        f"SAELens' directory has for {model}: {abbreviated_list(sorted(saelens_registry.published_saes(model)))}"
        for model in models
    ]
    if not models:
        available.append(f"SAELens' directory has no sources for {next(iter(selection.models), 'this model')}")
    return f"There is no source set {name} (SAE_SETS). {'. '.join(available)}."


def abbreviated_list(names: Sequence[str]) -> str:
    """The first MAX_LISTED_NAMES names, and how many more there are."""
    n_others = len(names) - MAX_LISTED_NAMES
    return (", ".join(names[:MAX_LISTED_NAMES]) or "nothing") + (f" and {n_others} others" if n_others > 0 else "")
