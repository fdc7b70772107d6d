"""Which sources a list of sets means: local folders, folders of the hub, and SAELens' directory.

An entry is a set's name, `path:<folder>`, `hf:<owner>/<name>[/<folder>]` or `neurons`; a folder's may end in
`@<format>` where its files do not tell the format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch

from memicos_engine.errors import LoadError, RecipeError, SourceError
from memicos_engine.model import hub
from memicos_engine.sources import saelens_registry
from memicos_engine.sources.formats import FORMATS
from memicos_engine.sources.recipe import read_overrides
from memicos_engine.sources.source import (
    NEURON_ARCHITECTURE,
    Source,
    SourceInfo,
    load_pretrained,
    load_source,
    read_local_info,
    read_pretrained_info,
)

MAX_LISTED_NAMES = 30
MAX_ERROR_CHARACTERS = 400
_SOURCE_ID = re.compile(r"(?:\d+|e)-(.+)")
_UNFIT = re.compile(r"[^\w.-]")
"""What the name of a set cannot have."""
_REPO = re.compile(r"[\w.-]+/[\w.-]+")

T = TypeVar("T")


@dataclass(frozen=True)
class SourceSpec:
    """An entry of a list of sets. `name` is the set, the folder, or the repository with the folder in it."""

    text: str
    kind: Literal["set", "path", "hf", "neurons"]
    name: str
    format: str | None

    @property
    def repo(self) -> str | None:
        return "/".join(self.name.split("/")[:2]) if self.kind == "hf" else None


@dataclass(frozen=True)
class SourceSelection:
    """What is to be served: `sets` for the model called `models`, those that the patterns leave, local sets being in
    `folder`. `token` is the hub's.
    """

    sets: tuple[str, ...]
    models: tuple[str, ...]
    folder: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    device: str = "cpu"
    dtype: str = "float32"
    token: str | None = None

    def includes(self, source_id: str) -> bool:
        included = not self.include or any(re.search(one, source_id) for one in self.include)
        return included and not any(re.search(one, source_id) for one in self.exclude)


@dataclass(frozen=True)
class SourceCandidate:
    """A source that may be served. `place` says in words where it is; `facts` reads what it is, `load` its weights.
    `weights` names those without the path of a folder: a folder's name, or `hf:<owner>/<name>/<path>`.

    One that cannot be read so far has its place for an id. `folder` is where local files are, `repo` the hub's
    repository that others come from.
    """

    id: str
    location: str
    folder: Path | None
    repo: str | None
    read_info: Callable[[], SourceInfo]
    load: Callable[[], Source]
    weights: str


@dataclass(frozen=True)
class SelectedSources:
    """`owners`: models of SAELens' directory that have the sets. `neurons`: the model's own are wanted as well."""

    candidates: list[SourceCandidate]
    registry_models: list[str]
    include_neurons: bool


def parse_spec(text: str) -> SourceSpec:
    """Raises LoadError where the entry means nothing."""
    name, at, form = text.rpartition("@")
    if not at or "/" in form:
        name, form = text, ""
    elif form not in FORMATS:
        raise LoadError(f"{text}: there is no format {form}, only {', '.join(FORMATS)}.")
    kind, colon, rest = name.partition(":")
    if colon and kind == "path" and rest:
        return SourceSpec(text, "path", rest, form or None)
    if colon and kind == "hf":
        parts = rest.strip("/").split("/")
        if len(parts) < 2 or not _REPO.fullmatch("/".join(parts[:2])) or any(part in ("", ".", "..") for part in parts):
            raise LoadError(
                f"{text}: after hf: comes a repository of the hub, as hf:owner/name or hf:owner/name/folder."
            )
        return SourceSpec(text, "hf", "/".join(parts), form or None)
    if colon or not name:
        raise LoadError(
            f"{text!r} is no source set: there are a set's name, path:<folder>, hf:<owner>/<name>, neurons."
        )
    return SourceSpec(text, "neurons" if name == NEURON_ARCHITECTURE else "set", name, form or None)


def select_sources(selection: SourceSelection, on_progress: hub.ProgressCallback) -> SelectedSources:
    """The sources of `wanted`, by set and layer. A hub's folders are fetched.

    A set's sources are those whose id is `<layer>-<set>`; variants `<layer>-<set>__<variant>` are a set of their own.

    Raises:
        LoadError: a set is unknown, nothing is left, or two sources have the same id.
    """
    found: list[SourceCandidate] = []
    owners: list[str] = []
    specs = [parse_spec(text) for text in selection.sets]
    for spec in specs:
        try:
            folder = source_folder(spec, selection, on_progress)
        except LoadError as error:
            found.append(_unreadable(spec.text, None, spec.repo, error))
            continue
        candidates, owner = find_candidates(spec, selection, folder)
        found += candidates
        owners += [owner] if owner else []
    # what could not be read is told, whatever its id would be
    kept = [one for one in found if one.id == one.location or selection.includes(one.id)]
    with_neurons = any(spec.kind == "neurons" for spec in specs)
    if found and not kept and not with_neurons:
        patterns = f"INCLUDE_SAE={list(selection.include)}, EXCLUDE_SAE={list(selection.exclude)}"
        raise LoadError(f"No source is left by {patterns}, of: {_listed([one.id for one in found])}.")
    check_unique_ids(kept)
    return SelectedSources(kept, list(dict.fromkeys(owners)), with_neurons)


def check_unique_ids(candidates: Sequence[SourceCandidate]) -> None:
    """Raises LoadError where two have the same id."""
    places: dict[str, str] = {}
    for one in candidates:
        if one.id in places:
            raise LoadError(
                f"Two sources have the id {one.id}: {places[one.id]} and {one.location}. Give one another name, by "
                '{"set": "other-name"} in its memicos.json.'
            )
        places[one.id] = one.location


def source_folder(spec: SourceSpec, selection: SourceSelection, on_progress: hub.ProgressCallback) -> Path | None:
    """The folder that an entry names, fetched where it is the hub's; None where it names none.

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
    """What an entry means, by layer, and the model of SAELens' directory that has it. `folder` is what `locate` gives.
    Neurons are the model's to give.

    Raises:
        LoadError: the set is unknown.
    """
    if spec.kind == "set":
        return _of_set(spec, selection)
    if folder is None:
        return [], None
    name = spec.name.rpartition("/")[2] if spec.kind == "hf" else folder.resolve().name
    return list(_in_folder(spec, folder, name, spec.repo, selection)), None


def with_load_errors(one: SourceCandidate, read: Callable[[], T], selection: SourceSelection) -> T:
    """What `read` gives; its faults as LoadError."""
    try:
        return read()
    except RecipeError as error:
        words = f"Source {one.id}: {one_line(error)}"
        if one.repo:
            words += f". It is {one.repo} of the hub: fetch it (hf download) and name its folder by path:"
        raise LoadError(words) from error
    except SourceError as error:
        raise LoadError(f"Source {one.id}: {one_line(error)}") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LoadError(
            f"Source {one.id} does not fit into the memory of {selection.device}. Set SAE_DTYPE, "
            "INFERENCE_SAE_BYTES or MAX_LOADED_SAES, or use a larger device."
        ) from error
    except OSError as error:
        words = hub.explain_error(error, one.repo, selection.token is not None) if one.repo else None
        raise LoadError(f"Source {one.id}: {words or f'{one.location}: {one_line(error)}'}") from error


def one_line(error: BaseException) -> str:
    """The error's text in one line."""
    return " ".join(str(error).split())[:MAX_ERROR_CHARACTERS].rstrip(".") or type(error).__name__


def _in_folder(
    spec: SourceSpec, folder: Path, name: str, repo: str | None, wanted: SourceSelection
) -> Iterator[SourceCandidate]:
    """A folder that is a source, or those in it that are; `name` is the set where nothing else says it."""
    try:
        folders = [folder] if _is_source(folder, spec.format) else []
        if not folders and folder.is_dir():
            folders = [one for one in folder.iterdir() if one.is_dir() and _is_source(one, spec.format)]
        name = read_overrides(folder).set or name
    except (RecipeError, OSError) as error:
        yield _unreadable(spec.text, folder, repo, error)
        return
    if not folders:
        words = "holds no source, nor does a folder in it" if folder.is_dir() else "is no folder"
        forms = [form for form in FORMATS.values() if spec.format in (None, form.name)]
        known = "; ".join(f"{form.name} ({form.files})" for form in forms)
        yield _unreadable(spec.text, folder, repo, SourceError(f"{folder} {words}. Formats: {known}"))
    named = f"hf:{spec.name}" if repo else folder.resolve().name
    candidates = [
        _from_folder(one, spec, name, repo, wanted, named if one == folder else f"{named}/{one.name}")
        for one in folders
    ]
    yield from sorted(candidates, key=lambda one: _order(one.id))


def _is_source(folder: Path, form: str | None) -> bool:
    try:
        extras = read_overrides(folder)
        return any(one.find_weights(folder, extras) for one in FORMATS.values() if form in (None, one.name))
    except (RecipeError, SourceError):
        return True  # reading it says what is wrong


def _from_folder(
    folder: Path, spec: SourceSpec, set_name: str, repo: str | None, wanted: SourceSelection, weights: str
) -> SourceCandidate:
    place = f"{folder} ({spec.text})"
    try:
        facts = read_local_info(folder, "", spec.format)
        source_id = _id(folder, facts, set_name)
    except (RecipeError, SourceError, OSError) as error:
        return _unreadable(place, folder, repo, error)
    facts = replace(facts, id=source_id)
    load = partial(load_source, folder, source_id, wanted.device, wanted.dtype, spec.format)
    return SourceCandidate(source_id, place, folder, repo, lambda: facts, load, weights)


def _id(folder: Path, facts: SourceInfo, set_name: str) -> str:
    """`<layer>-<set>`, the set being what memicos.json says, else the folder's name without the layer in front, else
    the name of the folder that was named.
    """
    layer = "e" if facts.hook_name.startswith("hook_embed") else str(facts.layer)
    own = read_overrides(folder).set
    if own is None and (found := _SOURCE_ID.fullmatch(folder.name)) and folder.name.startswith(f"{layer}-"):
        own = found.group(1)
    return f"{layer}-{own or _UNFIT.sub('-', set_name)}"


def _unreadable(place: str, folder: Path | None, repo: str | None, error: Exception) -> SourceCandidate:
    def raised() -> SourceInfo:
        raise error

    def unloadable() -> Source:
        raise error

    return SourceCandidate(place, place, folder, repo, raised, unloadable, place)


def _of_set(spec: SourceSpec, wanted: SourceSelection) -> tuple[list[SourceCandidate], str | None]:
    local = [one for one in _local(wanted.folder) if _set_of(one) == spec.name and _is_source(one, spec.format)]
    if local:
        return [_named(one, spec.format, wanted) for one in sorted(local, key=lambda one: _order(one.name))], None
    candidates = saelens_registry.matching_models(wanted.models)
    owner = next((one for one in candidates if spec.name in saelens_registry.published_saes(one)), None)
    if owner is None:
        raise LoadError(_unknown(spec.name, candidates, wanted))
    if spec.format:
        raise LoadError(f"{spec.text}: SAELens' directory knows the format of its sets; leave @{spec.format} out.")
    published = sorted(saelens_registry.published_saes(owner)[spec.name], key=lambda one: _order(one.source_id))
    return [_from_directory(one, wanted) for one in published], owner


def _local(folder: Path | None) -> list[Path]:
    """Folders in SAE_FOLDER that may be sources."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise LoadError(f"There is no folder {folder} (SAE_FOLDER).")
    return list(folder.glob("*-*"))


def _set_of(folder: Path) -> str:
    return folder.name.partition("-")[2]


def _named(folder: Path, form: str | None, wanted: SourceSelection) -> SourceCandidate:
    """A source of SAE_FOLDER: its folder is its id."""
    name = folder.name
    load = partial(load_source, folder, name, wanted.device, wanted.dtype, form)
    return SourceCandidate(name, str(folder), folder, None, partial(read_local_info, folder, name, form), load, name)


def _from_directory(one: saelens_registry.PublishedSae, wanted: SourceSelection) -> SourceCandidate:
    which = (one.release, one.sae_id, one.source_id)
    load = partial(load_pretrained, *which, wanted.device, wanted.dtype)
    place = f"{one.repo} ({one.release}, {one.sae_id})"
    weights = f"hf:{one.repo}/{one.path}"
    return SourceCandidate(one.source_id, place, None, one.repo, partial(read_pretrained_info, *which), load, weights)


def _order(source_id: str) -> tuple[int, str]:
    """By layer; the embeddings' `e` first."""
    layer = source_id.partition("-")[0]
    return (int(layer) if layer.isdecimal() else -1, source_id)


def _unknown(name: str, candidates: Sequence[str], wanted: SourceSelection) -> str:
    local = {_set_of(one) for one in _local(wanted.folder) if _is_source(one, None)}
    known = [f"SAE_FOLDER has {_listed(sorted(local))}"] if wanted.folder else []
    known += [
        f"SAELens' directory has for {one}: {_listed(sorted(saelens_registry.published_saes(one)))}"
        for one in candidates
    ]
    if not candidates:
        known.append(f"SAELens' directory has no sources for {next(iter(wanted.models), 'this model')}")
    return f"There is no source set {name} (SAE_SETS). {'. '.join(known)}."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED_NAMES
    return (", ".join(names[:MAX_LISTED_NAMES]) or "nothing") + (f" and {more} others" if more > 0 else "")
