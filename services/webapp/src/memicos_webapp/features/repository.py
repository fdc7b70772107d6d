"""SQL of features, their texts and their explanations."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    and_,
    any_,
    bindparam,
    case,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from memicos_webapp.accounts.models import Account
from memicos_webapp.catalog.models import Corpus, Load, Source
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import STATEMENTS, ResolvedSource, Viewer, listed_sources, visible_sources
from memicos_webapp.database.mapping import from_row
from memicos_webapp.explanations.labels import LABEL_ORDER, explanation_list, label
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.features import vocabulary_cache
from memicos_webapp.features.models import Context, Document, Feature
from memicos_webapp.features.rows import (
    CardRow,
    ContextRow,
    ExplanationRow,
    FeatureCard,
    FeatureKey,
    FeatureRow,
    FeatureTableRow,
    SampleRow,
)
from memicos_webapp.features.schemas import FeatureFilter
from memicos_webapp.scores.label_scores import label_scores


def _step(following: bool) -> ScalarSelect[int]:
    """The nearest alive feature after or before the selected one, by index."""
    neighbour = aliased(Feature)
    step = select(neighbour.index).where(neighbour.load_id == Feature.load_id, neighbour.max_activation > 0).limit(1)
    if following:
        step = step.where(neighbour.index > Feature.index).order_by(neighbour.index)
    else:
        step = step.where(neighbour.index < Feature.index).order_by(neighbour.index.desc())
    return step.correlate(Feature).scalar_subquery()


# statements of the dashboard are built once: SQLAlchemy takes longer to build one than PostgreSQL to run it
_PREVIOUS, _NEXT = _step(False).label("previous"), _step(True).label("next")
_COLUMNS = tuple(stored for stored in Feature.__table__.columns if stored.name != "load_id")


@lru_cache(STATEMENTS)
def _feature_statement(viewer: Viewer) -> Select:
    return (
        visible_sources(viewer)
        .add_columns(*_COLUMNS, _PREVIOUS, _NEXT)
        .join(Feature, Feature.load_id == Load.id)
        .where(
            Source.model_id == bindparam("model"),
            Source.name == bindparam("source"),
            Feature.index == bindparam("feature"),
        )
    )


async def feature(
    session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int
) -> tuple[SourceInfo, FeatureRow] | None:
    """A feature with its source, and its live neighbours by index, in one keyed read."""
    values = {"model": model_id, "source": source, "feature": index}
    row = (await session.execute(_feature_statement(viewer), values)).mappings().one_or_none()
    return (from_row(SourceInfo, row), from_row(FeatureRow, row)) if row else None


_NUMBERS = any_(bindparam("numbers", type_=ARRAY(Integer)))

_EXPLANATIONS = (
    select(
        Explanation.id,
        Explanation.index,
        Explanation.description,
        Explanation.method,
        Explanation.model,
        Explanation.author_id,
        Account.name.label("author"),
        Explanation.created_at,
        Explanation.chosen_as_label,
        Explanation.template_version,
        Explanation.profile,
        Explanation.parameters,
        Explanation.prompt_tokens,
        Explanation.completion_tokens,
        Explanation.cost,
    )
    .outerjoin(Account, Account.id == Explanation.author_id)
    .where(Explanation.source_id == bindparam("source"), Explanation.index == _NUMBERS)
    .order_by(*LABEL_ORDER)
)


async def explanations(
    session: AsyncSession, source: ResolvedSource, indices: Iterable[int]
) -> dict[int, list[ExplanationRow]]:
    """Explanations of features of a source by index, the label first."""
    values = {"source": source.source_id, "numbers": list(indices)}
    by_index: dict[int, list[ExplanationRow]] = {}
    for row in (await session.execute(_EXPLANATIONS, values)).mappings():
        by_index.setdefault(row["index"], []).append(from_row(ExplanationRow, row))
    return by_index


_CONTEXTS = (
    select(Context.number, Context.token_ids, Document.title, Document.collection, Corpus.tokenizer_ids)
    .join(Corpus, Corpus.id == Context.corpus_id)
    .outerjoin(Document, and_(Document.corpus_id == Context.corpus_id, Document.number == Context.document))
    .where(Context.corpus_id == bindparam("corpus"), Context.number == _NUMBERS)
)


async def contexts(
    session: AsyncSession, source: ResolvedSource, numbers: Iterable[int], token_ids: bool = False
) -> dict[int, ContextRow]:
    """Windows of the source's corpus by number; `token_ids` gives the ids too, where they are the tokenizer's."""
    values = {"corpus": source.corpus_id, "numbers": list(numbers)}
    rows = (await session.execute(_CONTEXTS, values)).mappings().all()
    tokens = await vocabulary_cache.read(
        session, source.corpus_id, chain.from_iterable(row["token_ids"] for row in rows)
    )
    return {
        row["number"]: ContextRow(
            row["number"],
            tokens.text(row["token_ids"]),
            row["title"],
            row["collection"],
            row["token_ids"] if token_ids and row["tokenizer_ids"] else None,
        )
        for row in rows
    }


async def index_range(session: AsyncSession, source: ResolvedSource) -> tuple[int, int] | None:
    """The first and the last index, None without features."""
    statement = select(func.min(Feature.index).label("low"), func.max(Feature.index).label("high"))
    row = (await session.execute(statement.where(Feature.load_id == source.load_id))).one()
    return None if row.low is None else (row.low, row.high)


def _conditions(source: ResolvedSource, query: FeatureFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Feature.load_id == source.load_id]
    if query.show == "live":
        conditions.append(Feature.max_activation > 0)
    if query.words:
        terms = func.websearch_to_tsquery("english", query.words)
        # the dictionary drops stop words ("both", "of the"), but some features fire on just these
        contained = Explanation.description.icontains(query.words.replace('"', "").strip(), autoescape=True)
        matches = case((func.numnode(terms) == 0, contained), else_=Explanation.description_tsvector.op("@@")(terms))
        indices = select(Explanation.index).where(Explanation.source_id == source.source_id, matches)
        conditions.append(Feature.index.in_(indices))
    bounds = (
        (Feature.density, query.density_from, query.density_to, 0.01),
        (Feature.max_activation, query.max_from, query.max_to, 1.0),
    )
    for bounded, low, high, unit in bounds:
        if low is not None:
            conditions.append(bounded >= low * unit)
        if high is not None:
            conditions.append(bounded <= high * unit)
    return conditions


def _with_scores(statement: Select, source: ResolvedSource, query: FeatureFilter) -> tuple[Select, ColumnElement[Any]]:
    """The statement with the score of each feature's label by `query.scorer`, within the filter; and that score."""
    scores = label_scores(source, query.scorer).subquery("label_score")
    statement = statement.outerjoin(scores, scores.c.index == Feature.index)
    if query.score_from is not None:
        statement = statement.where(scores.c.value >= query.score_from)
    if query.score_to is not None:
        statement = statement.where(scores.c.value <= query.score_to)
    return statement, scores.c.value


async def count(session: AsyncSession, source: ResolvedSource, query: FeatureFilter) -> int:
    statement = select(func.count()).select_from(Feature).where(*_conditions(source, query))
    if query.needs_scores:
        statement, _ = _with_scores(statement, source, query)
    return (await session.execute(statement)).scalar_one()


async def page(
    session: AsyncSession, source: ResolvedSource, query: FeatureFilter, limit: int, offset: int
) -> list[FeatureTableRow]:
    columns = {"index": Feature.index, "density": Feature.density, "max": Feature.max_activation}
    statement = (
        select(
            Feature.index,
            Feature.density,
            Feature.max_activation,
            Feature.positive_tokens[1:3].label("promotes"),
            label(literal(source.source_id), Feature.index.expression).label("label"),
        )
        .where(*_conditions(source, query))
        .limit(limit)
        .offset(offset)
    )
    score = None
    if query.needs_scores:
        statement, score = _with_scores(statement, source, query)
    order = columns.get(query.sort, score)
    assert order is not None
    direction = order.desc() if query.order == "desc" else order.asc()
    # features without a score come last in both directions
    statement = statement.order_by(direction.nulls_last() if order is score else direction, Feature.index)
    return [from_row(FeatureTableRow, row) for row in (await session.execute(statement)).mappings()]


_KEYS = (
    func.unnest(
        bindparam("sources", type_=ARRAY(Integer)),
        bindparam("loads", type_=ARRAY(BigInteger)),
        bindparam("indices", type_=ARRAY(Integer)),
    )
    .table_valued(column("source_id", Integer), column("load_id", BigInteger), column("index", Integer))
    .render_derived(name="key")
)


_CARDS = (
    select(
        _KEYS.c.source_id,
        Feature.index,
        Feature.density,
        Feature.max_activation,
        Feature.positive_tokens,
        Feature.positive_logits,
        Feature.negative_tokens,
        Feature.negative_logits,
        explanation_list(_KEYS.c.source_id, _KEYS.c.index).label("explanations"),
    )
    .select_from(_KEYS)
    .join(Feature, and_(Feature.load_id == _KEYS.c.load_id, Feature.index == _KEYS.c.index))
)
_CARDS_WITH_EXAMPLES = _CARDS.add_columns(
    Feature.example_groups,
    Feature.example_contexts,
    Feature.example_positions,
    Feature.example_lengths,
    Feature.value_positions,
    Feature.values,
)


async def cards(
    session: AsyncSession, features: Iterable[tuple[SourceInfo, int]], examples: int = 0
) -> dict[FeatureKey, FeatureCard]:
    """Cards of features (source, index) with their `examples` strongest examples, by (source id, index).

    Features that the source's load does not have are absent.
    """
    keys = list(features)
    if not keys:
        return {}
    sources = {source.source_id: source for source, _ in keys}
    values = {
        "sources": [source.source_id for source, _ in keys],
        "loads": [source.load_id for source, _ in keys],
        "indices": [index for _, index in keys],
    }
    statement = _CARDS_WITH_EXAMPLES if examples else _CARDS
    rows = [from_row(CardRow, row) for row in (await session.execute(statement, values)).mappings()]
    return {(row.source_id, row.index): FeatureCard.from_row(sources[row.source_id], row, examples) for row in rows}


async def contexts_of(session: AsyncSession, cards: Iterable[FeatureCard]) -> dict[int, dict[int, ContextRow]]:
    """The contexts of the cards' examples, by corpus id and number."""
    numbers: dict[int, tuple[ResolvedSource, set[int]]] = {}
    for card in cards:
        _, corpus_numbers = numbers.setdefault(card.source.corpus_id, (card.source, set()))
        corpus_numbers.update(example.context for example in card.examples)
    return {
        corpus: await contexts(session, source, corpus_numbers) for corpus, (source, corpus_numbers) in numbers.items()
    }


SAMPLE_CANDIDATES = 300
"""Strongest features of a source that `sample` chooses among."""


@lru_cache(STATEMENTS)
def _sample_statement(viewer: Viewer) -> Select:
    limit, max_density = bindparam("limit", type_=Integer), bindparam("densest", type_=REAL)
    sources = listed_sources(viewer).order_by(Source.id).limit(limit).cte("chosen")
    gap = Feature.positive_logits[1] - Feature.positive_logits[func.cardinality(Feature.positive_logits)]
    strongest = (
        select(Feature.index, gap.label("gap"))
        .where(Feature.load_id == sources.c.load_id, Feature.max_activation > 0, Feature.density < max_density)
        .order_by(Feature.max_activation.desc())
        .limit(SAMPLE_CANDIDATES)
        .lateral("strongest")
    )
    rank = func.row_number().over(
        partition_by=sources.c.source_id, order_by=(strongest.c.gap.desc(), strongest.c.index)
    )
    ranked = (
        select(
            sources.c.source_id,
            sources.c.model_id,
            sources.c.name,
            strongest.c.index,
            strongest.c.gap,
            rank.label("rank"),
        )
        .select_from(sources)
        .join(strongest, literal(True))
        .cte("ranked")
    )
    return (
        select(
            ranked.c.model_id, ranked.c.name, ranked.c.index, label(ranked.c.source_id, ranked.c.index).label("label")
        )
        .order_by(ranked.c.rank, ranked.c.gap.desc(), ranked.c.source_id)
        .limit(limit)
    )


async def sample(session: AsyncSession, viewer: Viewer, limit: int, max_density: float) -> Sequence[SampleRow]:
    """Some features that fire on less than `max_density` of tokens, from several listed sources, as examples.

    Of each source's strongest features, those with the largest difference between the first and the last positive
    logit are chosen: they mostly have one meaning. The choice is the same until a source's load changes.
    """
    rows = (await session.execute(_sample_statement(viewer), {"limit": limit, "densest": max_density})).mappings()
    return [from_row(SampleRow, row) for row in rows]
