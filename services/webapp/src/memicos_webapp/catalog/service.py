"""Looking things up in the catalogue, and saying what is unknown and what exists."""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository
from memicos_webapp.catalog.rows import ModelInfo, ReleaseInfo, SetInfo, SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import NotFound, Unavailable


def listed(names: list[str], limit: int = 8) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


async def unknown_model(session: AsyncSession, viewer: Viewer, model_id: str) -> NotFound:
    names = [model.id for model in await repository.models(session, viewer)]
    if not names:
        return NotFound(f"There is no model {model_id!r}: nothing has been imported yet. `make demo` does it.")
    return NotFound(f"There is no model {model_id!r} here; there is {listed(names)}.")


async def get_source(session: AsyncSession, viewer: Viewer, model_id: str, name: str) -> SourceInfo:
    """A source by its names.

    Raises:
        NotFound: the message says whether the model or the source is unknown, and which exist.
    """
    source = await repository.source(session, viewer, model_id, name)
    if source is None:
        raise await unknown_source(session, viewer, model_id, name)
    return source


MOST_ATTEMPTS = 3
"""How often a request is started again because an import replaced the load that it was reading."""


def replaced(names: list[str]) -> Unavailable:
    """The fault of a request whose loads were replaced again and again while it ran."""
    return Unavailable(f"New data of {listed(names)} arrived while this request ran; send it again.", retry_after=2)


async def unknown_source(session: AsyncSession, viewer: Viewer, model_id: str, name: str) -> NotFound:
    names = await repository.source_names(session, viewer, model_id)
    if not names:
        return await unknown_model(session, viewer, model_id)
    return NotFound(f"{model_id} has no source {name!r}; it has {listed(names)}.")


@dataclass(frozen=True)
class Home:
    models: list[ModelInfo]
    releases: list[ReleaseInfo]
    sets: list[SetInfo]


async def home(session: AsyncSession, viewer: Viewer) -> Home:
    return Home(
        await repository.models(session, viewer),
        await repository.releases(session, viewer),
        await repository.sets(session, viewer),
    )


@dataclass(frozen=True)
class ModelPage:
    model: ModelInfo
    sets: list[tuple[SetInfo, list[SourceInfo]]]


async def model_page(session: AsyncSession, viewer: Viewer, model: ModelInfo) -> ModelPage:
    sets = await repository.sets(session, viewer, model_id=model.id)
    sources = await repository.sources(session, viewer, model_id=model.id)
    return ModelPage(model, [(one, [s for s in sources if s.set_name == one.name]) for one in sets])


_INDEX = re.compile(r"\d{1,9}", re.ASCII)


def _parts(address: str) -> list[str]:
    """The segments of an address' path, wherever it leads; of a path itself too."""
    path = address.split("://", 1)[-1].split("/", 1)[-1] if "://" in address else address
    return [part for part in path.split("?")[0].split("#")[0].split("/") if part]


async def _source_on(session: AsyncSession, viewer: Viewer, on: str, model_id: str) -> str:
    """The path of the source that the page at `on` is about; of the middle one of a model where it is about none."""
    parts = _parts(on)[:2]
    if len(parts) == 2 and await repository.source(session, viewer, *parts):
        return "/" + "/".join(parts)
    names = await repository.source_names(session, viewer, model_id)
    return f"/{model_id}/{names[len(names) // 2]}"


_PLACE = re.compile(r"(?:(?P<model>[^/\s]+)/)?(?P<source>[^/\s]+)/(?P<index>\d+)")


async def jump(session: AsyncSession, viewer: Viewer, to: str, on: str) -> str:
    """Where the jump box leads: a path of this site. `on` is the address of the page that the box is on.

    Takes `15-res-4k/1234`, `model/source/index`, a dashboard's address on any site of this kind, the name of
    a model, release, set or source, and a bare index; all else is searched by meaning.
    """
    to = to.strip()
    if not to:
        return "/"
    parts = _parts(to)
    known = await repository.models(session, viewer)
    match = _PLACE.fullmatch("/".join(parts[-3:]))
    if match:
        models = [match["model"]] if match["model"] else [model.id for model in known]
        for model_id in models:
            if await repository.source(session, viewer, model_id, match["source"]):
                return f"/{model_id}/{match['source']}/{match['index']}"
        if match["model"]:
            return f"/{match['model']}/{match['source']}/{match['index']}"
    if len(parts) == 2 and any(model.id == parts[0] for model in known):
        return f"/{parts[0]}/{parts[1]}"
    if len(parts) == 1:
        name = parts[0]
        if any(model.id == name for model in known) or await repository.release(session, viewer, name):
            return f"/{name}"
        for model in known:
            if await repository.source(session, viewer, model.id, name) or await repository.source_set(
                session, viewer, model.id, name
            ):
                return f"/{model.id}/{name}"
        if _INDEX.fullmatch(name) and known:
            return f"{await _source_on(session, viewer, on, known[0].id)}/{name}"
    return "/search-explanations?" + urlencode({"q": to})
