"""SQL of features, their texts and their words."""

from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    ScalarSelect,
    Select,
    and_,
    any_,
    bindparam,
    case,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from memicos_webapp.accounts.models import Account
from memicos_webapp.catalog.models import Source
from memicos_webapp.catalog.repository import SOURCE_COLUMNS, select_sources
from memicos_webapp.catalog.schemas import SourceInfo
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.features.models import Context, Document, Feature
from memicos_webapp.features.schemas import (
    Card,
    ContextRow,
    ExplanationRow,
    FeatureFilter,
    FeatureRow,
    ListRow,
)

Column = ColumnElement[int] | InstrumentedAttribute[int]

_FEATURE = tuple(Feature.__table__.columns)


def _step(following: bool) -> ScalarSelect[int]:
    """The nearest feature after or before the read one that ever fires."""
    other = aliased(Feature)
    step = select(other.index).where(other.load_id == Feature.load_id, other.max_activation > 0).limit(1)
    if following:
        step = step.where(other.index > Feature.index).order_by(other.index)
    else:
        step = step.where(other.index < Feature.index).order_by(other.index.desc())
    return step.correlate(Feature).scalar_subquery()


# the dashboard's statements are built once: SQLAlchemy takes longer over that than PostgreSQL over the answer
_READ_FEATURE = (
    select_sources()
    .add_columns(*_FEATURE, _step(False), _step(True))
    .join(Feature, Feature.load_id == Source.current_load_id)
    .where(
        Source.model_id == bindparam("model"),
        Source.name == bindparam("source"),
        Feature.index == bindparam("feature"),
    )
)


async def feature(
    session: AsyncSession, model_id: str, source: str, index: int
) -> tuple[SourceInfo, FeatureRow] | None:
    """A feature with its source, and its live neighbours by index, in one keyed read."""
    values = {"model": model_id, "source": source, "feature": index}
    row = (await session.execute(_READ_FEATURE, values)).one_or_none()
    if row is None:
        return None
    middle = len(SOURCE_COLUMNS)
    return SourceInfo(*row[:middle]), FeatureRow(*row[middle:])


# what a person or a language model wrote says more than token statistics do; the newest first
_LABEL_FIRST = (Explanation.method == "token-statistics", Explanation.id.desc())

_NUMBERS = any_(bindparam("numbers", type_=ARRAY(Integer)))

_READ_EXPLANATIONS = (
    select(
        Explanation.id,
        Explanation.index,
        Explanation.description,
        Explanation.method,
        Explanation.model,
        Account.name,
        Explanation.created_at,
    )
    .outerjoin(Account, Account.id == Explanation.author_id)
    .where(Explanation.source_id == bindparam("source"), Explanation.index == _NUMBERS)
    .order_by(*_LABEL_FIRST)
)


async def explanations(
    session: AsyncSession, source_id: int, indices: Sequence[int]
) -> dict[int, list[ExplanationRow]]:
    """Explanations of features of one source, the one that serves as label first."""
    values = {"source": source_id, "numbers": list(indices)}
    found: dict[int, list[ExplanationRow]] = {}
    for row in await session.execute(_READ_EXPLANATIONS, values):
        found.setdefault(row[1], []).append(ExplanationRow(*row))
    return found


_READ_CONTEXTS = (
    select(Context.number, Context.tokens, Document.title, Document.collection)
    .outerjoin(Document, and_(Document.corpus_id == Context.corpus_id, Document.number == Context.document))
    .where(Context.corpus_id == bindparam("corpus"), Context.number == _NUMBERS)
)

_READ_CONTEXTS_WITH_IDS = _READ_CONTEXTS.add_columns(Context.token_ids)


async def contexts(
    session: AsyncSession, corpus_id: int, numbers: Sequence[int], token_ids: bool = False
) -> dict[int, ContextRow]:
    values = {"corpus": corpus_id, "numbers": list(numbers)}
    rows = await session.execute(_READ_CONTEXTS_WITH_IDS if token_ids else _READ_CONTEXTS, values)
    return {row[0]: ContextRow(*row) for row in rows}


async def index_range(session: AsyncSession, load_id: int) -> tuple[int, int] | None:
    statement = select(func.min(Feature.index), func.max(Feature.index)).where(Feature.load_id == load_id)
    low, high = (await session.execute(statement)).one()
    return None if low is None else (low, high)


def _label(source_id: Column, index: Column) -> ScalarSelect[str]:
    return (
        select(Explanation.description)
        .where(Explanation.source_id == source_id, Explanation.index == index)
        .order_by(*_LABEL_FIRST)
        .limit(1)
        .scalar_subquery()
    )


def _filtered(source: SourceInfo, wanted: FeatureFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [Feature.load_id == source.load_id]
    if wanted.show == "live":
        where.append(Feature.max_activation > 0)
    if wanted.words:
        query = func.websearch_to_tsquery("english", wanted.words)
        # "both" and "of the" are no words to the dictionary, and still what some features fire on
        said = Explanation.description.icontains(wanted.words.replace('"', "").strip(), autoescape=True)
        fits = case((func.numnode(query) == 0, said), else_=Explanation.words.op("@@")(query))
        matching = select(Explanation.index).where(Explanation.source_id == source.id, fits)
        where.append(Feature.index.in_(matching))
    bounds = (
        (Feature.density, wanted.density_from, wanted.density_to, 0.01),
        (Feature.max_activation, wanted.max_from, wanted.max_to, 1.0),
    )
    for column, low, high, unit in bounds:
        if low is not None:
            where.append(column >= low * unit)
        if high is not None:
            where.append(column <= high * unit)
    return where


async def count(session: AsyncSession, source: SourceInfo, wanted: FeatureFilter) -> int:
    statement = select(func.count()).select_from(Feature).where(*_filtered(source, wanted))
    return (await session.execute(statement)).scalar_one()


async def page(
    session: AsyncSession, source: SourceInfo, wanted: FeatureFilter, limit: int, offset: int
) -> list[ListRow]:
    columns = {"index": Feature.index, "density": Feature.density, "max": Feature.max_activation}
    column = columns[wanted.sort]
    statement: Select = (
        select(
            Feature.index,
            Feature.density,
            Feature.max_activation,
            Feature.positive_tokens[1:3],
            _label(literal(source.id), Feature.index),
        )
        .where(*_filtered(source, wanted))
        .order_by(column.desc() if wanted.order == "desc" else column.asc(), Feature.index)
        .limit(limit)
        .offset(offset)
    )
    return [ListRow(*row) for row in await session.execute(statement)]


async def cards(session: AsyncSession, features: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Card]:
    """What lists show of features, by (source id, index); those that no current load has are left out."""
    if not features:
        return {}
    statement = (
        select(
            Source.id,
            Source.model_id,
            Source.name,
            Feature.index,
            Feature.density,
            Feature.max_activation,
            Feature.positive_tokens[1:3],
            _label(Source.id, Feature.index),
        )
        .join(Feature, Feature.load_id == Source.current_load_id)
        .where(tuple_(Source.id, Feature.index).in_(features))
    )
    return {(row[0], row[3]): Card(*row) for row in await session.execute(statement)}


_SAMPLE = text(
    """WITH strong AS (
           SELECT chosen.id, chosen.model_id, chosen.name, feature.index, feature.ahead,
                  row_number() OVER (PARTITION BY chosen.id ORDER BY feature.ahead DESC, feature.index) AS place
           FROM (SELECT id, model_id, name, current_load_id FROM source
                 WHERE current_load_id IS NOT NULL ORDER BY id LIMIT :limit) AS chosen
           CROSS JOIN LATERAL (
               SELECT index, positive_logits[1] - positive_logits[cardinality(positive_logits)] AS ahead
               FROM feature
               WHERE load_id = chosen.current_load_id AND max_activation > 0 AND density < :densest
               ORDER BY max_activation DESC LIMIT :strongest
           ) AS feature
       )
       SELECT model_id, name, index,
              (SELECT description FROM explanation WHERE source_id = strong.id AND explanation.index = strong.index
               ORDER BY method = 'token-statistics', id DESC LIMIT 1) AS label
       FROM strong ORDER BY place, ahead DESC, id LIMIT :limit"""
)
SAMPLED = 300
"""Strongest features of a source that `sample` chooses among."""


async def sample(session: AsyncSession, limit: int, densest: float) -> Sequence[Row]:
    """A few features that show most plainly what a feature is, of several sources, always the same ones of a load.

    Of each source's strongest that fire on less than `densest` of tokens: those that promote one token far ahead of
    the others. A feature that does so mostly has one thing to say.
    """
    values = {"limit": limit, "densest": densest, "strongest": SAMPLED}
    return (await session.execute(_SAMPLE, values)).all()
