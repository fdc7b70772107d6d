"""Features of a job: which are selected, and what a language model is shown of each."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from memicos_autointerp_client.models import Activation
from memicos_autointerp_core.explainers.interface import ActivatingText, Evidence
from memicos_dataset.schema import TOP_GROUP
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.accounts.identity import LOCAL_OWNER
from memicos_webapp.bulk.options import FeatureSelection
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import NotFound
from memicos_webapp.explanations.evidence import similar_texts, strongest_texts
from memicos_webapp.explanations.labels import LABEL_ORDER
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.features import repository
from memicos_webapp.features.models import Feature
from memicos_webapp.jobs.models import JobReject
from memicos_webapp.scores.label_scores import label_scores
from memicos_webapp.scores.models import Score

TOKEN_STATISTICS = "token-statistics"


@dataclass(frozen=True)
class BulkFeature:
    """A feature with its evidence."""

    source: SourceInfo
    index: int
    evidence: Evidence


async def select_features(session: AsyncSession, source: SourceInfo, chosen: FeatureSelection) -> list[int]:
    """Indices of the source's live features that are selected, ascending."""
    statement = select(Feature.index).where(
        Feature.load_id == source.load_id,
        Feature.max_activation > 0,
        Feature.density.between(chosen.min_density, chosen.max_density),
    )
    if chosen.unexplained:
        statement = statement.where(
            ~select(Explanation.id)
            .where(
                Explanation.source_id == source.source_id,
                Explanation.index == Feature.index,
                Explanation.method != TOKEN_STATISTICS,
            )
            .exists()
        )
    indices = set(await session.scalars(statement))
    if chosen.indices is not None:
        indices &= set(chosen.indices)
    if chosen.failed_in is not None:
        indices &= set(
            await session.scalars(
                select(JobReject.line).where(JobReject.job_id == chosen.failed_in, JobReject.file == source.name)
            )
        )
    if chosen.score_below is not None:
        scores = (await session.execute(label_scores(source, chosen.score_method))).mappings()
        indices &= {row["index"] for row in scores if row["value"] is not None and row["value"] < chosen.score_below}
    return sorted(indices)


async def explained(session: AsyncSession, source: SourceInfo, method: str, model: str) -> set[int]:
    """Features that have an explanation by this method and language model."""
    statement = select(Explanation.index).where(
        Explanation.source_id == source.source_id, Explanation.method == method, Explanation.model == model
    )
    return set(await session.scalars(statement))


async def labels_to_score(
    session: AsyncSession, source: SourceInfo, method: str, model: str, unscored: bool, job_id: int
) -> dict[int, int]:
    """The id of the label of each feature that has one, by index; without those that the job has scored, and with
    `unscored` without those that have a score by this method and model."""
    label = (
        select(Explanation.index, Explanation.id)
        .ext(distinct_on(Explanation.index))
        .where(Explanation.source_id == source.source_id)
        .order_by(Explanation.index, *LABEL_ORDER)
        .subquery("label")
    )
    of_label = select(Score.id).where(Score.explanation_id == label.c.id, Score.method == method, Score.model == model)
    # a score of a dataset may have anything there, such as the number of another server's job
    by_job = of_label.where(Score.author_id.is_not(None), Score.parameters["job"].astext == str(job_id))
    statement = select(label.c.index, label.c.id).where(~by_job.exists())
    if unscored:
        statement = statement.where(~of_label.where(Score.value.is_not(None)).exists())
    return {row["index"]: row["id"] for row in (await session.execute(statement)).mappings()}


async def read_features(
    database: Database,
    sources: Collection[SourceInfo],
    keys: Sequence[tuple[str, int]],
    texts: int,
    around: int,
    negatives: int = 0,
) -> AsyncIterator[BulkFeature]:
    """The features of `keys` (source, index), each with its `texts` strongest texts of `around` tokens on both sides,
    and with those of as many as `negatives` similar features (`similar_texts`).

    Raises:
        NotFound: a source or a feature was deleted meanwhile.
    """
    by_name = {source.name: source for source in sources}
    for name, index in keys:
        source = by_name[name]
        async with database.snapshot() as session:
            found = await repository.feature(session, LOCAL_OWNER, source.model_id, name, index)
            if found is None:
                raise NotFound(f"{source.path[1:]}/{index} was deleted meanwhile.")
            current, row = found
            if current.load_id != source.load_id:
                raise NotFound(f"An import replaced the texts of {source.path[1:]} meanwhile: resume the job.")
            pairs = zip(row.example_contexts, row.example_groups, strict=True)
            numbers = {context for context, group in pairs if group == TOP_GROUP}
            contexts = await repository.contexts(session, source, numbers)
            similar = await similar_texts(session, LOCAL_OWNER, source, row, negatives, around) if negatives else []
        shown = [_activating_text(text) for text in strongest_texts(source, row, contexts, texts, around)]
        negative = [_activating_text(text) for text in similar]
        yield BulkFeature(source, index, Evidence(shown, row.positive_tokens, negative))


def _activating_text(text: Activation) -> ActivatingText:
    target = text.dfa_target_index if isinstance(text.dfa_target_index, int) else None
    return ActivatingText(text.tokens, text.values, text.dfa_values or None, target)
