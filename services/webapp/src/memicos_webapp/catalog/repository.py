"""SQL of the catalogue. Models, releases and sets are seen when one of their sources has a complete load."""

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Corpus, Load, Model, Release, Source, SourceSet
from memicos_webapp.catalog.schemas import ModelInfo, ReleaseInfo, SetInfo, SourceInfo, SourceKey

SOURCE_COLUMNS = (
    Source.id,
    Source.model_id,
    Source.name,
    Source.layer,
    SourceSet.name.label("set_name"),
    SourceSet.title.label("set_title"),
    SourceSet.release_id,
    Release.name.label("release_name"),
    Model.name.label("model_name"),
    Model.layers.label("model_layers"),
    Model.origin.label("model_origin"),
    Model.license.label("model_license"),
    Model.chat,
    Load.id.label("load_id"),
    Load.features,
    Load.dead_features,
    Load.counted_tokens,
    Load.architecture,
    Load.d_in,
    Load.d_sae,
    Load.logit_effect,
    Load.recipe,
    Load.sae_config,
    Corpus.id.label("corpus_id"),
    Corpus.description.label("corpus_description"),
    Corpus.contexts.label("corpus_contexts"),
    Corpus.context_size,
    Corpus.tokens.label("corpus_tokens"),
    Corpus.collections,
)
"""In the order of `SourceInfo`."""


def select_sources() -> Select:
    """Sources with their current load."""
    return (
        select(*SOURCE_COLUMNS)
        .select_from(Source)
        .join(Load, Load.id == Source.current_load_id)
        .join(SourceSet, SourceSet.id == Source.source_set_id)
        .join(Release, Release.id == SourceSet.release_id)
        .join(Model, Model.id == Source.model_id)
        .join(Corpus, Corpus.id == Load.corpus_id)
    )


async def source(session: AsyncSession, model_id: str, name: str) -> SourceInfo | None:
    statement = select_sources().where(Source.model_id == model_id, Source.name == name)
    row = (await session.execute(statement)).one_or_none()
    return SourceInfo(*row) if row else None


async def sources_of_set(session: AsyncSession, model_id: str, set_name: str) -> list[SourceInfo]:
    statement = (
        select_sources()
        .where(Source.model_id == model_id, SourceSet.name == set_name)
        .order_by(Source.layer, Source.name)
    )
    return [SourceInfo(*row) for row in await session.execute(statement)]


async def source_names(session: AsyncSession, model_id: str) -> list[str]:
    statement = (
        select(Source.name)
        .where(Source.model_id == model_id, Source.current_load_id.is_not(None))
        .order_by(Source.layer, Source.name)
    )
    return list(await session.scalars(statement))


async def source_keys(session: AsyncSession) -> list[SourceKey]:
    """Every source, by model, layer and name."""
    statement = (
        select(Source.model_id, Source.name, SourceSet.name, Source.layer, Load.features)
        .join(SourceSet, SourceSet.id == Source.source_set_id)
        .join(Load, Load.id == Source.current_load_id)
        .order_by(Source.model_id, Source.layer, Source.name)
    )
    return [SourceKey(*row) for row in await session.execute(statement)]


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
_SHOWN = select(Source.id).where(Source.model_id == Model.id, Source.current_load_id.is_not(None)).exists()


async def models(session: AsyncSession) -> list[ModelInfo]:
    rows = await session.execute(select(*_MODEL).where(_SHOWN).order_by(Model.id))
    return [ModelInfo(*row) for row in rows]


async def model(session: AsyncSession, model_id: str) -> ModelInfo | None:
    row = (await session.execute(select(*_MODEL).where(_SHOWN, Model.id == model_id))).one_or_none()
    return ModelInfo(*row) if row else None


_RELEASE = (Release.id, Release.name, Release.description, Release.creator, Release.url)
_RELEASE_SHOWN = (
    select(Source.id)
    .join(SourceSet, SourceSet.id == Source.source_set_id)
    .where(SourceSet.release_id == Release.id, Source.current_load_id.is_not(None))
    .exists()
)


async def releases(session: AsyncSession) -> list[ReleaseInfo]:
    rows = await session.execute(
        select(*_RELEASE).where(_RELEASE_SHOWN).order_by(Release.created_at.desc(), Release.id)
    )
    return [ReleaseInfo(*row) for row in rows]


async def release(session: AsyncSession, release_id: str) -> ReleaseInfo | None:
    statement = select(*_RELEASE).where(_RELEASE_SHOWN, Release.id == release_id)
    row = (await session.execute(statement)).one_or_none()
    return ReleaseInfo(*row) if row else None


async def sets(session: AsyncSession, model_id: str | None = None, release_id: str | None = None) -> list[SetInfo]:
    """Source sets, of one model or one release where given."""
    where: list[ColumnElement[bool]] = []
    if model_id is not None:
        where.append(SourceSet.model_id == model_id)
    if release_id is not None:
        where.append(SourceSet.release_id == release_id)
    statement = (
        select(
            SourceSet.model_id,
            Model.name,
            SourceSet.name,
            SourceSet.title,
            SourceSet.description,
            SourceSet.release_id,
            func.count(),
            func.sum(Load.features),
            func.sum(Load.features - Load.dead_features),
        )
        .join(Model, Model.id == SourceSet.model_id)
        .join(Source, Source.source_set_id == SourceSet.id)
        .join(Load, Load.id == Source.current_load_id)
        .where(*where)
        .group_by(SourceSet.id, Model.name)
        .order_by(SourceSet.model_id, SourceSet.name)
    )
    return [SetInfo(*row) for row in await session.execute(statement)]
