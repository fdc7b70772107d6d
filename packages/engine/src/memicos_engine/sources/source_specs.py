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
from memicos_engine.sources.recipe import read_extras
from memicos_engine.sources.source import (
    NEURONS,
    Source,
    SourceFacts,
    load_pretrained,
    load_source,
    local_facts,
    pretrained_facts,
)

MOST_LISTED = 30
MOST_CHARACTERS = 400
_SOURCE_ID = re.compile(r"(?:\d+|e)-(.+)")
_UNFIT = re.compile(r"[^\w.-]")
"""What the name of a set cannot have."""
_REPO = re.compile(r"[\w.-]+/[\w.-]+")

T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """An entry of a list of sets. `name` is the set, the folder, or the repository with the folder in it."""

    text: str
    kind: Literal["set", "path", "hf", "neurons"]
    name: str
    format: str | None

    @property
    def repo(self) -> str | None:
        return "/".join(self.name.split("/")[:2]) if self.kind == "hf" else None


@dataclass(frozen=True)
class Wanted:
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

    def wants(self, source_id: str) -> bool:
        included = not self.include or any(re.search(one, source_id) for one in self.include)
        return included and not any(re.search(one, source_id) for one in self.exclude)


@dataclass(frozen=True)
class Candidate:
    """A source that may be served. `place` says in words where it is; `facts` reads what it is, `load` its weights.
    `weights` names those without the path of a folder: a folder's name, or `hf:<owner>/<name>/<path>`.

    One that cannot be read so far has its place for an id. `folder` is where local files are, `repo` the hub's
    repository that others come from.
    """

    id: str
    place: str
    folder: Path | None
    repo: str | None
    facts: Callable[[], SourceFacts]
    load: Callable[[], Source]
    weights: str


@dataclass(frozen=True)
class Choice:
    """`owners`: models of SAELens' directory that have the sets. `neurons`: the model's own are wanted as well."""

    candidates: list[Candidate]
    owners: list[str]
    neurons: bool


def parse(text: str) -> Spec:
    """Raises LoadError where the entry means nothing."""
    name, at, form = text.rpartition("@")
    if not at or "/" in form:
        name, form = text, ""
    elif form not in FORMATS:
        raise LoadError(f"{text}: there is no format {form}, only {', '.join(FORMATS)}.")
    kind, colon, rest = name.partition(":")
    if colon and kind == "path" and rest:
        return Spec(text, "path", rest, form or None)
    if colon and kind == "hf":
        parts = rest.strip("/").split("/")
        if len(parts) < 2 or not _REPO.fullmatch("/".join(parts[:2])) or any(part in ("", ".", "..") for part in parts):
            raise LoadError(
                f"{text}: after hf: comes a repository of the hub, as hf:owner/name or hf:owner/name/folder."
            )
        return Spec(text, "hf", "/".join(parts), form or None)
    if colon or not name:
        raise LoadError(
            f"{text!r} is no source set: there are a set's name, path:<folder>, hf:<owner>/<name>, neurons."
        )
    return Spec(text, "neurons" if name == NEURONS else "set", name, form or None)


def choose(wanted: Wanted, report: hub.Report) -> Choice:
    """The sources of `wanted`, by set and layer. A hub's folders are fetched.

    A set's sources are those whose id is `<layer>-<set>`; variants `<layer>-<set>__<variant>` are a set of their own.

    Raises:
        LoadError: a set is unknown, nothing is left, or two sources have the same id.
    """
    found: list[Candidate] = []
    owners: list[str] = []
    specs = [parse(text) for text in wanted.sets]
    for spec in specs:
        try:
            folder = locate(spec, wanted, report)
        except LoadError as error:
            found.append(_unreadable(spec.text, None, spec.repo, error))
            continue
        candidates, owner = find(spec, wanted, folder)
        found += candidates
        owners += [owner] if owner else []
    # what could not be read is told, whatever its id would be
    kept = [one for one in found if one.id == one.place or wanted.wants(one.id)]
    with_neurons = any(spec.kind == "neurons" for spec in specs)
    if found and not kept and not with_neurons:
        patterns = f"INCLUDE_SAE={list(wanted.include)}, EXCLUDE_SAE={list(wanted.exclude)}"
        raise LoadError(f"No source is left by {patterns}, of: {_listed([one.id for one in found])}.")
    check_ids(kept)
    return Choice(kept, list(dict.fromkeys(owners)), with_neurons)


def check_ids(candidates: Sequence[Candidate]) -> None:
    """Raises LoadError where two have the same id."""
    places: dict[str, str] = {}
    for one in candidates:
        if one.id in places:
            raise LoadError(
                f"Two sources have the id {one.id}: {places[one.id]} and {one.place}. Give one another name, by "
                '{"set": "other-name"} in its memicos.json.'
            )
        places[one.id] = one.place


def locate(spec: Spec, wanted: Wanted, report: hub.Report) -> Path | None:
    """The folder that an entry names, fetched where it is the hub's; None where it names none.

    Raises:
        LoadError: it cannot be fetched.
    """
    if spec.kind == "path":
        return Path(spec.name).expanduser()
    if spec.kind == "hf":
        owner, name, *folder = spec.name.split("/")
        report(f"fetching {spec.name}", 0.2)
        return hub.fetch_sources(f"{owner}/{name}", "/".join(folder), wanted.token, report, 0.2)
    return None


def find(spec: Spec, wanted: Wanted, folder: Path | None) -> tuple[list[Candidate], str | None]:
    """What an entry means, by layer, and the model of SAELens' directory that has it. `folder` is what `locate` gives.
    Neurons are the model's to give.

    Raises:
        LoadError: the set is unknown.
    """
    if spec.kind == "set":
        return _of_set(spec, wanted)
    if folder is None:
        return [], None
    name = spec.name.rpartition("/")[2] if spec.kind == "hf" else folder.resolve().name
    return list(_in_folder(spec, folder, name, spec.repo, wanted)), None


def explained(one: Candidate, read: Callable[[], T], wanted: Wanted) -> T:
    """What `read` gives; its faults as LoadError."""
    try:
        return read()
    except RecipeError as error:
        words = f"Source {one.id}: {in_a_line(error)}"
        if one.repo:
            words += f". It is {one.repo} of the hub: fetch it (hf download) and name its folder by path:"
        raise LoadError(words) from error
    except SourceError as error:
        raise LoadError(f"Source {one.id}: {in_a_line(error)}") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LoadError(
            f"Source {one.id} does not fit into the memory of {wanted.device}. Set SAE_DTYPE, INFERENCE_SAE_BYTES or "
            "MAX_LOADED_SAES, or use a larger device."
        ) from error
    except OSError as error:
        words = hub.explain(error, one.repo, wanted.token is not None) if one.repo else None
        raise LoadError(f"Source {one.id}: {words or f'{one.place}: {in_a_line(error)}'}") from error


def in_a_line(error: BaseException) -> str:
    """The error's text in one line."""
    return " ".join(str(error).split())[:MOST_CHARACTERS].rstrip(".") or type(error).__name__


def _in_folder(spec: Spec, folder: Path, name: str, repo: str | None, wanted: Wanted) -> Iterator[Candidate]:
    """A folder that is a source, or those in it that are; `name` is the set where nothing else says it."""
    try:
        folders = [folder] if _is_source(folder, spec.format) else []
        if not folders and folder.is_dir():
            folders = [one for one in folder.iterdir() if one.is_dir() and _is_source(one, spec.format)]
        name = read_extras(folder).set or name
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
        extras = read_extras(folder)
        return any(one.weights(folder, extras) for one in FORMATS.values() if form in (None, one.name))
    except (RecipeError, SourceError):
        return True  # reading it says what is wrong


def _from_folder(folder: Path, spec: Spec, set_name: str, repo: str | None, wanted: Wanted, weights: str) -> Candidate:
    place = f"{folder} ({spec.text})"
    try:
        facts = local_facts(folder, "", spec.format)
        source_id = _id(folder, facts, set_name)
    except (RecipeError, SourceError, OSError) as error:
        return _unreadable(place, folder, repo, error)
    facts = replace(facts, id=source_id)
    load = partial(load_source, folder, source_id, wanted.device, wanted.dtype, spec.format)
    return Candidate(source_id, place, folder, repo, lambda: facts, load, weights)


def _id(folder: Path, facts: SourceFacts, set_name: str) -> str:
    """`<layer>-<set>`, the set being what memicos.json says, else the folder's name without the layer in front, else
    the name of the folder that was named.
    """
    layer = "e" if facts.hook_name.startswith("hook_embed") else str(facts.layer)
    own = read_extras(folder).set
    if own is None and (found := _SOURCE_ID.fullmatch(folder.name)) and folder.name.startswith(f"{layer}-"):
        own = found.group(1)
    return f"{layer}-{own or _UNFIT.sub('-', set_name)}"


def _unreadable(place: str, folder: Path | None, repo: str | None, error: Exception) -> Candidate:
    def raised() -> SourceFacts:
        raise error

    def unloadable() -> Source:
        raise error

    return Candidate(place, place, folder, repo, raised, unloadable, place)


def _of_set(spec: Spec, wanted: Wanted) -> tuple[list[Candidate], str | None]:
    local = [one for one in _local(wanted.folder) if _set_of(one) == spec.name and _is_source(one, spec.format)]
    if local:
        return [_named(one, spec.format, wanted) for one in sorted(local, key=lambda one: _order(one.name))], None
    candidates = saelens_registry.owners(wanted.models)
    owner = next((one for one in candidates if spec.name in saelens_registry.published(one)), None)
    if owner is None:
        raise LoadError(_unknown(spec.name, candidates, wanted))
    if spec.format:
        raise LoadError(f"{spec.text}: SAELens' directory knows the format of its sets; leave @{spec.format} out.")
    published = sorted(saelens_registry.published(owner)[spec.name], key=lambda one: _order(one.id))
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


def _named(folder: Path, form: str | None, wanted: Wanted) -> Candidate:
    """A source of SAE_FOLDER: its folder is its id."""
    name = folder.name
    load = partial(load_source, folder, name, wanted.device, wanted.dtype, form)
    return Candidate(name, str(folder), folder, None, partial(local_facts, folder, name, form), load, name)


def _from_directory(one: saelens_registry.Published, wanted: Wanted) -> Candidate:
    which = (one.release, one.sae_id, one.id)
    load = partial(load_pretrained, *which, wanted.device, wanted.dtype)
    place = f"{one.repo} ({one.release}, {one.sae_id})"
    weights = f"hf:{one.repo}/{one.path}"
    return Candidate(one.id, place, None, one.repo, partial(pretrained_facts, *which), load, weights)


def _order(source_id: str) -> tuple[int, str]:
    """By layer; the embeddings' `e` first."""
    layer = source_id.partition("-")[0]
    return (int(layer) if layer.isdecimal() else -1, source_id)


def _unknown(name: str, candidates: Sequence[str], wanted: Wanted) -> str:
    local = {_set_of(one) for one in _local(wanted.folder) if _is_source(one, None)}
    known = [f"SAE_FOLDER has {_listed(sorted(local))}"] if wanted.folder else []
    known += [
        f"SAELens' directory has for {one}: {_listed(sorted(saelens_registry.published(one)))}" for one in candidates
    ]
    if not candidates:
        known.append(f"SAELens' directory has no sources for {next(iter(wanted.models), 'this model')}")
    return f"There is no source set {name} (SAE_SETS). {'. '.join(known)}."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_LISTED
    return (", ".join(names[:MOST_LISTED]) or "nothing") + (f" and {more} others" if more > 0 else "")
