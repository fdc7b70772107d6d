"""Reads a feature with the data of its dashboard, and a source's table of features."""

import math
from dataclasses import dataclass

from memicos_dataset.schema import TOP_GROUP
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import unknown_source
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.features import repository
from memicos_webapp.features.rows import Attribution, ContextRow, ExplanationRow, FeatureRow, FeatureTableRow
from memicos_webapp.features.schemas import MAX_INDEX, FeatureFilter
from memicos_webapp.scores import repository as score_repository
from memicos_webapp.scores.rows import LabelScore, ScoreRow


def parse_index(text: str) -> int:
    """A feature's index out of a URL.

    Raises:
        BadInput: it is not a whole number from 0 to MAX_INDEX.
    """
    if not (text.isascii() and text.isdigit()):
        raise BadInput(f"{text!r} is not the index of a feature: an index is a whole number, 0 or more.")
    if len(text) > 10 or int(text) > MAX_INDEX:
        raise BadInput(f"There is no feature {text}: no index is above {MAX_INDEX}.")
    return int(text)


async def index_in_path(session: AsyncSession, viewer: Viewer, model_id: str, source: str, text: str) -> int:
    """The index in a page's address.

    Raises:
        NotFound: it is no index; the message says which models, sources or features exist.
    """
    try:
        return parse_index(text)
    except BadInput:
        raise await _unknown(session, viewer, model_id, source, text) from None


@dataclass(frozen=True)
class StoredExample:
    """An example with its context; `number` is its position among the feature's examples in the database."""

    number: int
    group: int
    context: ContextRow
    position: int
    values: dict[int, float]
    """Position -> activation, where that is not 0."""
    attribution: Attribution | None = None


@dataclass(frozen=True)
class FeatureDetail:
    """A feature and all that its dashboard and its JSON show."""

    source: SourceInfo
    row: FeatureRow
    explanations: list[ExplanationRow]
    scores: dict[int, list[ScoreRow]]
    """Scores by the explanation's id."""
    labels: dict[int, str]
    """Index -> label, of decoder neighbours and correlated features."""
    contexts: dict[int, ContextRow]

    @property
    def label(self) -> str | None:
        return self.explanations[0].description if self.explanations else None

    @property
    def live(self) -> bool:
        return self.row.max_activation > 0

    @property
    def path(self) -> str:
        return f"{self.source.path}/{self.row.index}"

    def examples(self) -> list[StoredExample]:
        """Examples that pages and the API show, in the order of the database.

        Imports refuse examples without a context, position or interval; those that an older version imported are
        left out.
        """
        row = self.row
        columns = zip(
            row.example_groups,
            row.example_contexts,
            row.example_positions,
            row.example_values(),
            row.example_attributions(),
            strict=True,
        )
        examples = []
        for number, (group, context_number, position, values, attribution) in enumerate(columns):
            context = self.contexts.get(context_number)
            if context and position < len(context.tokens) and TOP_GROUP <= group <= len(row.quantile_shares):
                examples.append(StoredExample(number, group, context, position, values, attribution))
        return examples


async def get(
    session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int
) -> tuple[SourceInfo, FeatureRow]:
    """A feature and its source, without explanations and texts.

    Raises:
        NotFound: model, source or index is unknown; the message lists those that exist.
    """
    feature = await repository.feature(session, viewer, model_id, source, index)
    if feature is None:
        raise await _unknown(session, viewer, model_id, source, index)
    return feature


async def find(
    session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int, token_ids: bool = False
) -> FeatureDetail:
    """A feature with its explanations and texts, and with `token_ids` the ids of their tokens.

    Four statements: the feature, the explanations of it and of related features, their scores, and the contexts. With
    `token_ids` the contexts include those of the scores.

    Raises:
        NotFound: model, source or index is unknown; the message lists those that exist.
    """
    info, row = await get(session, viewer, model_id, source, index)
    indices = {row.index, *row.neighbour_indices, *row.correlated_indices}
    explanations = await repository.explanations(session, info, indices)
    scores = await score_repository.of_feature(session, info, row.index)
    numbers = set(row.example_contexts)
    if token_ids:
        numbers.update(number for rows in scores.values() for score in rows for number in score.text_contexts)
    contexts = await repository.contexts(session, info, numbers, token_ids)
    labels = {i: rows[0].description for i, rows in explanations.items()}
    return FeatureDetail(info, row, explanations.get(row.index, []), scores, labels, contexts)


async def _unknown(session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int | str) -> NotFound:
    """The error for an unknown model, source or index. `index` is as written in the address."""
    info = await catalog.source(session, viewer, model_id, source)
    if info is None:
        return await unknown_source(session, viewer, model_id, source)
    bounds = await repository.index_range(session, info)
    if bounds is None:
        return NotFound(f"{model_id}/{source} has no features.")
    return NotFound(f"{model_id}/{source} has no feature {index}; its features are {bounds[0]} to {bounds[1]}.")


@dataclass(frozen=True)
class Table:
    """One page of a source's features."""

    filters: FeatureFilter
    rows: list[FeatureTableRow]
    scorers: list[str]
    """Methods by which the source's explanations are scored."""
    scores: dict[int, LabelScore]
    """Index -> score of the feature's label by `filters.scorer`."""
    total: int
    pages: int
    first: int
    """Number of the page's first row, from 1."""


async def table(session: AsyncSession, source: SourceInfo, filters: FeatureFilter, size: int) -> Table:
    """A page of the source's features; a page after the last is the last.

    Raises:
        BadInput: `filters.scorer` has scored none of the source's explanations.
    """
    scorers = await score_repository.methods(session, source)
    if filters.scorer and filters.scorer not in scorers:
        available = f"available: {', '.join(scorers)}" if scorers else "none of its explanations has a score"
        raise BadInput(f"There are no scores by {filters.scorer!r} for {source.name}; {available}.")
    chosen = filters.scorer
    filters = filters.model_copy(update={"scorer": chosen or next(iter(scorers), "")})
    total = await repository.count(session, source, filters)
    pages = max(1, math.ceil(total / size))
    filters = filters.model_copy(update={"page": min(filters.page, pages)})
    offset = (filters.page - 1) * size
    rows = await repository.page(session, source, filters, size, offset)
    scores = {}
    if filters.scorer:
        scores = await score_repository.of_labels(session, source, filters.scorer, [row.index for row in rows])
    # links of the page name a scorer only where the request does
    return Table(filters.model_copy(update={"scorer": chosen}), rows, scorers, scores, total, pages, offset + 1)
