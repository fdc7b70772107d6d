"""Looking things up in the catalogue, and saying what is unknown and what exists."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository
from memicos_webapp.catalog.schemas import ModelInfo, ReleaseInfo, SetInfo, SourceInfo
from memicos_webapp.errors import NotFound


def listed(names: list[str], limit: int = 8) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


async def unknown_model(session: AsyncSession, model_id: str) -> NotFound:
    names = [model.id for model in await repository.models(session)]
    if not names:
        return NotFound(f"There is no model {model_id!r}: nothing has been imported yet. `make demo` does it.")
    return NotFound(f"There is no model {model_id!r} here; there is {listed(names)}.")


async def get_source(session: AsyncSession, model_id: str, name: str) -> SourceInfo:
    """A source by its names.

    Raises:
        NotFound: the message says whether the model or the source is unknown, and which exist.
    """
    source = await repository.source(session, model_id, name)
    if source is None:
        raise await unknown_source(session, model_id, name)
    return source


async def unknown_source(session: AsyncSession, model_id: str, name: str) -> NotFound:
    names = await repository.source_names(session, model_id)
    if not names:
        return await unknown_model(session, model_id)
    return NotFound(f"{model_id} has no source {name!r}; it has {listed(names)}.")


@dataclass(frozen=True)
class Home:
    models: list[ModelInfo]
    releases: list[ReleaseInfo]
    sets: list[SetInfo]


async def home(session: AsyncSession) -> Home:
    return Home(await repository.models(session), await repository.releases(session), await repository.sets(session))


@dataclass(frozen=True)
class ModelPage:
    model: ModelInfo
    sets: list[tuple[SetInfo, list[SourceInfo]]]


async def model_page(session: AsyncSession, model: ModelInfo) -> ModelPage:
    sets = await repository.sets(session, model_id=model.id)
    return ModelPage(model, [(one, await repository.sources_of_set(session, model.id, one.name)) for one in sets])
