"""The jump box: finds the pages that match a name, an id or an address."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository
from memicos_webapp.catalog.rows import ModelInfo, ReleaseInfo, SetInfo, SourceKey
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.features.schemas import MAX_INDEX
from memicos_webapp.formatting import url_segment

Item = TypeVar("Item")

MAX_TARGETS = 60
"""Largest number of pages listed for one input."""
MIN_PREFIX = 3
"""Fewest characters of a name's beginning that find it."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*(?P<path>[^?#]*)(?:[?#].*)?", re.IGNORECASE)
_LAYER = re.compile(r"(?:layer|l)[\s-]*(?P<layer>\d+)", re.IGNORECASE | re.ASCII)
_INDEX = re.compile(r"(?:(?:feature|latent|index)\s*)?#?(?P<index>\d+)", re.IGNORECASE | re.ASCII)
_SPACED = re.compile(
    r"(?P<source>layer\s*[0-9]+|(?!(?:layer|feature|latent|index)\b)\S+)\s+(?P<index>(?:feature\s*)?#?[0-9]+)", re.I
)
_SEPARATORS = re.compile(r"[/:@#]+")


@dataclass(frozen=True)
class JumpTarget:
    """A page: its path, its name, the kind of entry that it shows and, for lists, what that entry belongs to."""

    path: str
    name: str
    kind: str
    detail: str = ""


@dataclass(frozen=True)
class _Catalogue:
    models: list[ModelInfo]
    releases: list[ReleaseInfo]
    sets: list[SetInfo]
    sources: list[SourceKey]

    def narrowed(self, models: Iterable[str]) -> "_Catalogue":
        """The entries of `models`."""
        model_ids = set(models)
        return replace(
            self,
            models=[model for model in self.models if model.id in model_ids],
            sets=[item for item in self.sets if item.model_id in model_ids],
            sources=[source for source in self.sources if source.model_id in model_ids],
        )


def _segments(text: str) -> list[str]:
    """The segments of an address or of an abbreviated one: names, of which the last may be an index."""
    if address := _ADDRESS.fullmatch(text):
        parts = address["path"].split("/")
    elif _SEPARATORS.search(text):
        parts = _SEPARATORS.split(text.split("?")[0])
    elif pair := _SPACED.fullmatch(text):
        parts = [pair["source"], pair["index"]]
    else:
        parts = [text]
    return [part.strip() for part in parts if part.strip()]


def _index(text: str) -> int | None:
    match = _INDEX.fullmatch(text)
    if match is None or len(match["index"]) > 10:
        return None
    return index if (index := int(match["index"])) <= MAX_INDEX else None


def _source_targets(sources: Iterable[SourceKey]) -> list[JumpTarget]:
    return [
        JumpTarget(source.path, source.name, "source", f"{source.model_id}, layer {source.layer}") for source in sources
    ]


def _feature_targets(sources: Iterable[SourceKey], index: int) -> list[JumpTarget]:
    """The feature in each source. Of several sources, those without a feature of that index are left out."""
    candidates = list(sources)
    if len(candidates) > 1:
        candidates = [source for source in candidates if index < source.features]
    return [
        JumpTarget(f"{source.path}/{index}", f"{source.name}/{index}", "feature", source.model_id)
        for source in candidates
    ]


def _named(items: Sequence[Item], names: Callable[[Item], Sequence[str]], text: str, prefix: bool) -> list[Item]:
    """Items of which a name is `text`, or with `prefix` begins with it; case makes no difference."""
    folded = text.casefold()
    if prefix:
        if len(folded) < MIN_PREFIX:
            return []
        return [item for item in items if any(name.casefold().startswith(folded) for name in names(item))]
    return [item for item in items if any(name.casefold() == folded for name in names(item))]


def _models(catalogue: _Catalogue, text: str) -> list[ModelInfo]:
    """Models whose id or name is `text`, else those whose id or name begins with it."""

    def names(model: ModelInfo) -> tuple[str, str]:
        return model.id, model.name

    return _named(catalogue.models, names, text, False) or _named(catalogue.models, names, text, True)


def _sources(catalogue: _Catalogue, text: str) -> list[SourceKey]:
    """Sources of the name, else those of the layer (`15`, `layer 15`), else those of the set."""
    exact = _named(catalogue.sources, lambda source: (source.name,), text, False)
    if exact:
        return exact
    if layer := re.fullmatch(r"\d{1,6}", text, re.ASCII) or _LAYER.fullmatch(text):
        number = int(layer[layer.lastgroup or 0])
        return [source for source in catalogue.sources if source.layer == number]
    sets = _named(catalogue.sets, lambda item: (item.name, item.title), text, False)
    paths = {(item.model_id, item.name) for item in sets}
    return [source for source in catalogue.sources if (source.model_id, source.set_name) in paths]


def _by_name(catalogue: _Catalogue, text: str, prefix: bool) -> list[JumpTarget]:
    models = _named(catalogue.models, lambda item: (item.id, item.name), text, prefix)
    releases = _named(catalogue.releases, lambda item: (item.id, item.name), text, prefix)
    sets = _named(catalogue.sets, lambda item: (item.name, item.title), text, prefix)
    sources = _named(catalogue.sources, lambda item: (item.name,), text, prefix)
    return [
        *(JumpTarget(f"/{model.id}", model.name, "model", model.id) for model in models),
        *(JumpTarget(f"/{release.id}", release.name, "release", f"by {release.creator}") for release in releases),
        *(JumpTarget(item.path, item.title, "source set", f"{item.model_id}/{item.name}") for item in sets),
        *_source_targets(sources),
    ]


def _one_segment(catalogue: _Catalogue, text: str, current: list[SourceKey]) -> list[JumpTarget]:
    exact = _by_name(catalogue, text, prefix=False)
    if exact:
        return exact
    if _LAYER.fullmatch(text):
        return _source_targets(_sources(catalogue, text))
    if (index := _index(text)) is not None:
        return _feature_targets(current or catalogue.sources, index)
    return _by_name(catalogue, text, prefix=True)


def _two_segments(catalogue: _Catalogue, first: str, second: str) -> list[JumpTarget]:
    models = _models(catalogue, first)
    index = _index(second)
    if index is not None and (sources := _sources(catalogue, first)):
        return _feature_targets(sources, index)
    if not models:
        return []
    inside = catalogue.narrowed(model.id for model in models)
    sets = _named(inside.sets, lambda item: (item.name, item.title), second, False)
    targets = [JumpTarget(item.path, item.title, "source set", f"{item.model_id}/{item.name}") for item in sets]
    targets = targets or _source_targets(_sources(inside, second))
    # the page of an unknown name lists the names that the model has
    return targets or [
        JumpTarget(f"/{model.id}/{url_segment(second)}", f"{model.id}/{second}", "page") for model in models
    ]


def _three_segments(catalogue: _Catalogue, first: str, second: str, index: int) -> list[JumpTarget]:
    models = _models(catalogue, first)
    inside = catalogue.narrowed(model.id for model in models)
    targets = _feature_targets(_sources(inside, second), index)
    # the page of an unknown model or source lists those that exist
    path = f"{url_segment(models[0].id if models else first)}/{url_segment(second)}/{index}"
    return targets or [JumpTarget(f"/{path}", path, "feature")]


def _targets(catalogue: _Catalogue, text: str, current: list[SourceKey]) -> list[JumpTarget]:
    # first: titles have spaces and commas
    if exact := _by_name(catalogue, text, prefix=False):
        return exact
    segments = _segments(text)
    index = _index(segments[-1]) if segments else None
    if len(segments) >= 3:
        return _three_segments(catalogue, segments[-3], segments[-2], index) if index is not None else []
    if len(segments) == 2:
        return _two_segments(catalogue, segments[0], segments[1])
    return _one_segment(catalogue, segments[0], current) if segments else []


def _path_of(referrer: str) -> list[str]:
    match = _ADDRESS.match(referrer)
    return [part for part in match["path"].split("/") if part] if match else []


async def find_targets(session: AsyncSession, viewer: Viewer, text: str, referrer: str) -> list[JumpTarget]:
    """Pages that match `text`, best first, at most `MAX_TARGETS`; empty where it is no name, id or address.

    Takes ids and names of models, releases, source sets and sources (or the beginning of one), `layer 15`,
    `15-res-4k/87`, `15-res-4k:87`, `15/87` (layer and index), `model/source/index`, the address of a page on any site
    with such addresses, and an index alone. `referrer` is the address of the page that the box is on: an index alone
    belongs to that page's source, and of several targets those of that page's model are kept.
    """
    catalogue = _Catalogue(
        await repository.models(session, viewer),
        await repository.releases(session, viewer),
        await repository.sets(session, viewer),
        await repository.source_keys(session, viewer),
    )
    segments = _path_of(referrer)
    current = [source for source in catalogue.sources if [source.model_id, source.name] == segments[:2]]
    targets = _targets(catalogue, text, current)
    if len(targets) > 1 and segments and any(model.id == segments[0] for model in catalogue.models):
        prefix = f"/{segments[0]}"
        targets = [target for target in targets if f"{target.path}/".startswith(f"{prefix}/")] or targets
    unique = {target.path: target for target in targets}
    return list(unique.values())[:MAX_TARGETS]
