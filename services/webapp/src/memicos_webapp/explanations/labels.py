"""The choice of a feature's label among its explanations, in SQL: the only module that decides it."""

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from memicos_webapp.explanations.models import Explanation

LABEL_ORDER: tuple[ColumnElement[Any], ...] = (
    Explanation.chosen_as_label.desc(),
    and_(Explanation.author_id.is_not(None), Explanation.model.is_not(None)),
    Explanation.method == "token-statistics",
    Explanation.id.desc(),
)
"""ORDER BY of explanations; the first is the feature's label.

The chosen one, if any. Then those of the dataset and of users before those that a language model generated here,
which no user has compared with the others. Token statistics come after other methods, older ones after newer ones.
"""


def _of_feature(source_id: ColumnElement[int], index: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    return Explanation.source_id == source_id, Explanation.index == index


def label(source_id: ColumnElement[int], index: ColumnElement[int]) -> ScalarSelect[str]:
    """Subquery: the text of the feature's label, NULL where it has no explanation."""
    statement = select(Explanation.description).where(*_of_feature(source_id, index))
    return statement.order_by(*LABEL_ORDER).limit(1).scalar_subquery()


def explanation_list(source_id: ColumnElement[int], index: ColumnElement[int]) -> ScalarSelect[Any]:
    """Subquery: the feature's explanations as a JSON array of {description, method, model}, the label first."""
    fields = ("description", Explanation.description, "method", Explanation.method, "model", Explanation.model)
    objects = func.jsonb_agg(aggregate_order_by(func.jsonb_build_object(*fields), *LABEL_ORDER))
    statement = select(func.coalesce(objects, literal([], JSONB), type_=JSONB))
    return statement.where(*_of_feature(source_id, index)).scalar_subquery()
