"""The table of scores of explanations."""

from datetime import datetime
from typing import Any

from sqlalchemy import REAL, BigInteger, ForeignKey, Identity, Index, Integer, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base
from memicos_webapp.explanations.models import RequestColumns


class Score(RequestColumns, Base):
    """`author_id` is null for scores of a dataset; importing the dataset again replaces only those.

    An explanation has one score of each method, model and author: a new one takes its place. `corpus_id` is null where
    the texts have been deleted, or are not those of a corpus (`text_contexts` is then -1).

    The texts are those of a corpus, named by context and position; lists are of equal length.

    `value` is null where there is no score, and `reason` says why. `around`: a text is this many tokens on both sides
    of its position. `text_distances`: 1 for the strongest examples, 2 and above for intervals from strong to weak, -1
    for texts on which the feature is not active, -2 for near misses. `text_answers`: the probability of the answer that
    the feature is active, for eleuther_embedding the cosine similarity; null where there was no answer. `text_details`:
    for each text what its method says beside the answer (`rows.Detail`); null where it says nothing of any.
    """

    __tablename__ = "score"
    __table_args__ = (
        Index(
            "uq_score_explanation_id_method_model_author_id",
            "explanation_id",
            "method",
            "model",
            "author_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_score_method", "method", text("created_at DESC")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    explanation_id: Mapped[int] = mapped_column(ForeignKey("explanation.id", ondelete="CASCADE"))
    corpus_id: Mapped[int | None] = mapped_column(ForeignKey("corpus.id", ondelete="SET NULL"), index=True)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    method: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    value: Mapped[float | None] = mapped_column(REAL)
    low: Mapped[float | None] = mapped_column(REAL)
    high: Mapped[float | None] = mapped_column(REAL)
    reason: Mapped[str | None] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    around: Mapped[int] = mapped_column(SmallInteger)
    text_contexts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    text_positions: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    text_distances: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    text_answers: Mapped[list[float | None]] = mapped_column(ARRAY(REAL))
    text_details: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
