"""Look-ups in the catalogue, with errors that name what exists."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository
from memicos_webapp.catalog.rows import FailedLoad, ModelInfo, ReleaseInfo, SetInfo, SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import NotFound, Unavailable


def join_names(names: list[str], limit: int = 8) -> str:
    """A list of names for a message: `a, b, c and 4 more`."""
    first_names = ", ".join(names[:limit])
    return f"{first_names} and {len(names) - limit} more" if len(names) > limit else first_names


async def unknown_model(session: AsyncSession, viewer: Viewer, model_id: str) -> NotFound:
    names = [model.id for model in await repository.models(session, viewer)]
    if not names:
        return NotFound(f"There is no model {model_id!r}: nothing has been imported yet. `make demo` imports the demo.")
    return NotFound(f"There is no model {model_id!r}; available: {join_names(names)}.")


async def get_model(session: AsyncSession, viewer: Viewer, model_id: str) -> ModelInfo:
    """A model by its id.

    Raises:
        NotFound: it is unknown; the message lists those that exist.
    """
    model = await repository.model(session, viewer, model_id)
    if model is None:
        raise await unknown_model(session, viewer, model_id)
    return model


async def get_source(session: AsyncSession, viewer: Viewer, model_id: str, name: str) -> SourceInfo:
    """A source by its names.

    Raises:
        NotFound: the model or the source is unknown; the message lists those that exist.
    """
    source = await repository.source(session, viewer, model_id, name)
    if source is None:
        raise await unknown_source(session, viewer, model_id, name)
    return source


MAX_ATTEMPTS = 3
"""Attempts of a request whose load an import replaced while it ran."""


def load_replaced(names: list[str]) -> Unavailable:
    """The error for a request whose loads were replaced during every attempt."""
    return Unavailable(
        f"New data of {join_names(names)} was imported while this request ran; repeat the request.", retry_after=2
    )


async def unknown_source(session: AsyncSession, viewer: Viewer, model_id: str, name: str) -> NotFound:
    names = await repository.source_names(session, viewer, model_id)
    if not names:
        return await unknown_model(session, viewer, model_id)
    return NotFound(f"{model_id} has no source {name!r}; it has {join_names(names)}.")


@dataclass(frozen=True)
class FailedImport:
    """The sources of one import that was refused, as `model/source`."""

    sources: list[str]
    created_at: datetime
    error: str


@dataclass(frozen=True)
class Home:
    models: list[ModelInfo]
    releases: list[ReleaseInfo]
    sets: list[SetInfo]
    failed_imports: list[FailedImport]
    """Those of the viewer's own sources, the newest first."""


def _by_import(loads: list[FailedLoad]) -> list[FailedImport]:
    imports: dict[tuple[str, str], FailedImport] = {}
    for load in loads:
        key = load.manifest_sha256, load.error
        failed = imports.setdefault(key, FailedImport([], load.created_at, load.error))
        failed.sources.append(f"{load.model_id}/{load.name}")
    return sorted(imports.values(), key=lambda failed: failed.created_at, reverse=True)


async def home(session: AsyncSession, viewer: Viewer) -> Home:
    return Home(
        await repository.models(session, viewer),
        await repository.releases(session, viewer),
        await repository.sets(session, viewer),
        _by_import(await repository.newest_failed_loads(session, viewer)),
    )


@dataclass(frozen=True)
class ModelPage:
    model: ModelInfo
    sets: list[tuple[SetInfo, list[SourceInfo]]]


async def model_page(session: AsyncSession, viewer: Viewer, model: ModelInfo) -> ModelPage:
    sets = await repository.sets(session, viewer, model_id=model.id)
    sources = await repository.sources(session, viewer, model_id=model.id)
    return ModelPage(model, [(item, [source for source in sources if source.set_name == item.name]) for item in sets])
