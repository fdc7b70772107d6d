"""SQL of the catalogue. A model, release or set exists for a viewer who may read one of its sources."""

from collections.abc import Collection

from sqlalchemy import Select, func, or_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Load, Model, Release, Source, SourceSet
from memicos_webapp.catalog.rows import FailedLoad, ModelInfo, ReleaseInfo, SetInfo, SourceInfo, SourceKey
from memicos_webapp.catalog.visibility import (
    Level,
    ResolvedSource,
    Viewer,
    failed_loads,
    listed_sources,
    visible_sources,
)
from memicos_webapp.database.mapping import from_row


async def _sources(session: AsyncSession, statement: Select) -> list[SourceInfo]:
    ordered = statement.order_by(Source.model_id, Source.layer, Source.name)
    return [from_row(SourceInfo, row) for row in (await session.execute(ordered)).mappings()]


async def source(session: AsyncSession, viewer: Viewer, model_id: str, name: str) -> SourceInfo | None:
    statement = visible_sources(viewer).where(Source.model_id == model_id, Source.name == name)
    row = (await session.execute(statement)).mappings().one_or_none()
    return from_row(SourceInfo, row) if row else None


async def sources(
    session: AsyncSession,
    viewer: Viewer,
    model_id: str | None = None,
    release_id: str | None = None,
    names: Collection[str] = (),
) -> list[SourceInfo]:
    """Sources to list or to search: of a model, of a release, of these names in the model, or all.

    By model, layer and name. Unlisted ones are among them where the arguments name them, their model or release.
    """
    level: Level | None = "source" if names else "model" if model_id is not None else None
    if level is None and release_id is not None:
        level = "release"
    statement = listed_sources(viewer, level)
    if model_id is not None:
        statement = statement.where(Source.model_id == model_id)
    if release_id is not None:
        statement = statement.where(SourceSet.release_id == release_id)
    if names:
        statement = statement.where(Source.name.in_(names))
    return await _sources(session, statement)


async def refreshed(session: AsyncSession, viewer: Viewer, resolved: Collection[ResolvedSource]) -> list[SourceInfo]:
    """The same sources with the loads that are current now; those that the viewer may no longer read are absent.

    For a request that reads in several snapshots, to see whether a load was replaced in between.
    """
    ids = [source.source_id for source in resolved]
    return await _sources(session, visible_sources(viewer).where(Source.id.in_(ids)))


def _sources_of_set_statement(viewer: Viewer, model_id: str, set_name: str, names: Collection[str]) -> Select:
    """The listed sources of a set, and those of its unlisted ones that `names` has."""
    in_set = (Source.model_id == model_id, SourceSet.name == set_name)
    listed_statement = listed_sources(viewer, "source_set").where(*in_set)
    if not names:
        return listed_statement
    ids = listed_statement.with_only_columns(Source.id, maintain_column_froms=True)
    return visible_sources(viewer).where(*in_set, or_(Source.name.in_(names), Source.id.in_(ids)))


async def sources_of_set(
    session: AsyncSession, viewer: Viewer, model_id: str, set_name: str, names: Collection[str] = ()
) -> list[SourceInfo]:
    """The sources of a set by layer and name. Unlisted ones are among them where `names` has them."""
    return await _sources(session, _sources_of_set_statement(viewer, model_id, set_name, names))


async def source_names(session: AsyncSession, viewer: Viewer, model_id: str) -> list[str]:
    """Names of the listed sources of a model, by layer."""
    statement = listed_sources(viewer, "model").with_only_columns(Source.name, maintain_column_froms=True)
    statement = statement.where(Source.model_id == model_id).order_by(Source.layer, Source.name)
    return list(await session.scalars(statement))


async def source_keys(session: AsyncSession, viewer: Viewer) -> list[SourceKey]:
    """Every listed source, by model, layer and name."""
    columns = (Source.model_id, Source.name, SourceSet.name.label("set_name"), Source.layer, Load.features)
    statement = listed_sources(viewer).with_only_columns(*columns, maintain_column_froms=True)
    ordered = statement.order_by(Source.model_id, Source.layer, Source.name)
    return [from_row(SourceKey, row) for row in (await session.execute(ordered)).mappings()]


_MODEL = (
    Model.id,
    Model.name,
    Model.layers,
    Model.d_model,
    Model.vocabulary_size,
    Model.chat,
    Model.origin,
    Model.license,
    Model.url,
)
_RELEASE = (Release.id, Release.name, Release.description, Release.creator, Release.url)


def _models(sources: Select) -> Select:
    return sources.with_only_columns(*_MODEL, maintain_column_froms=True).group_by(Model.id)


def _releases(sources: Select) -> Select:
    return sources.with_only_columns(*_RELEASE, maintain_column_froms=True).group_by(Release.id)


async def models(session: AsyncSession, viewer: Viewer) -> list[ModelInfo]:
    """Models with listed sources, by id."""
    rows = (await session.execute(_models(listed_sources(viewer)).order_by(Model.id))).mappings()
    return [from_row(ModelInfo, row) for row in rows]


async def model(session: AsyncSession, viewer: Viewer, model_id: str) -> ModelInfo | None:
    row = (await session.execute(_models(visible_sources(viewer)).where(Model.id == model_id))).mappings().one_or_none()
    return from_row(ModelInfo, row) if row else None


async def default_model(session: AsyncSession, viewer: Viewer) -> str | None:
    """The id of the first model with listed sources, chat models first."""
    statement = listed_sources(viewer).with_only_columns(Model.id, maintain_column_froms=True)
    return await session.scalar(statement.order_by(Model.chat.desc(), Model.id).limit(1))


async def releases(session: AsyncSession, viewer: Viewer) -> list[ReleaseInfo]:
    """Releases with listed sources, the newest first."""
    statement = _releases(listed_sources(viewer)).order_by(Release.created_at.desc(), Release.id)
    return [from_row(ReleaseInfo, row) for row in (await session.execute(statement)).mappings()]


async def release(session: AsyncSession, viewer: Viewer, release_id: str) -> ReleaseInfo | None:
    row = (
        (await session.execute(_releases(visible_sources(viewer)).where(Release.id == release_id)))
        .mappings()
        .one_or_none()
    )
    return from_row(ReleaseInfo, row) if row else None


_SET = (
    SourceSet.model_id,
    Model.name.label("model_name"),
    SourceSet.name,
    SourceSet.title,
    SourceSet.description,
    SourceSet.release_id,
    func.count().label("sources"),
    func.sum(Load.features).label("features"),
    func.sum(Load.features - Load.dead_features).label("live_features"),
)


def _sets(sources: Select) -> Select:
    return sources.with_only_columns(*_SET, maintain_column_froms=True).group_by(SourceSet.id, Model.name)


async def sets(
    session: AsyncSession, viewer: Viewer, model_id: str | None = None, release_id: str | None = None
) -> list[SetInfo]:
    """Source sets with listed sources, of one model or one release where given, with totals over those sources."""
    level: Level | None = "model" if model_id is not None else "release" if release_id is not None else None
    statement = _sets(listed_sources(viewer, level)).order_by(SourceSet.model_id, SourceSet.name)
    if model_id is not None:
        statement = statement.where(SourceSet.model_id == model_id)
    if release_id is not None:
        statement = statement.where(SourceSet.release_id == release_id)
    return [from_row(SetInfo, row) for row in (await session.execute(statement)).mappings()]


async def source_set(
    session: AsyncSession, viewer: Viewer, model_id: str, name: str, names: Collection[str] = ()
) -> SetInfo | None:
    """A set by its names, with totals over its sources as `sources_of_set` has them; None where it has none."""
    row = (
        (await session.execute(_sets(_sources_of_set_statement(viewer, model_id, name, names))))
        .mappings()
        .one_or_none()
    )
    return from_row(SetInfo, row) if row else None


async def newest_failed_loads(session: AsyncSession, viewer: Viewer) -> list[FailedLoad]:
    """The newest failed load of each source that the viewer owns or administers, by model, layer and name."""
    newest = failed_loads(viewer).ext(distinct_on(Source.model_id, Source.layer, Source.name))
    ordered = newest.order_by(Source.model_id, Source.layer, Source.name, Load.id.desc())
    return [from_row(FailedLoad, row) for row in (await session.execute(ordered)).mappings()]
