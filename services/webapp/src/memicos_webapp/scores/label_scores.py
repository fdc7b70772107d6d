"""The score of each feature's label, in SQL, for the source's table of features."""

from sqlalchemy import Select, bindparam, select
from sqlalchemy.dialects.postgresql import distinct_on

from memicos_webapp.catalog.visibility import ResolvedSource
from memicos_webapp.explanations.labels import LABEL_ORDER
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.scores.models import Score


def label_scores(source: ResolvedSource, method: str, only: bool = False) -> Select:
    """Columns of `LabelScore`: the newest score by `method` of the label of each feature that has one.

    With `only`, those of the features in the parameter `numbers` alone.
    """
    labels = (
        select(Explanation.index, Explanation.id)
        .ext(distinct_on(Explanation.index))
        .where(Explanation.source_id == source.source_id)
        .order_by(Explanation.index, *LABEL_ORDER)
    )
    if only:
        labels = labels.where(Explanation.index.in_(bindparam("numbers", expanding=True)))
    label = labels.subquery("label")
    return (
        select(label.c.index, Score.id, Score.value, Score.low, Score.high)
        .ext(distinct_on(label.c.index))
        .join(Score, Score.explanation_id == label.c.id)
        .where(Score.method == method)
        .order_by(label.c.index, Score.created_at.desc(), Score.id.desc())
    )
