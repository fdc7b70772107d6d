"""The table of explanations. A row refers to (source, index), not to a load, so it is kept when a new load is shown."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Computed, Double, ForeignKey, Identity, Index, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class RequestColumns:
    """What is known of the requests to a language model, of an explanation or a score.

    `template_version` of the method's prompt, `profile` of the provider, `parameters` of prompt and answer (of a score
    also how the texts were chosen), tokens, and `cost` in US dollars. Null where no language model was asked, where a
    dataset does not say it, the provider does not count tokens, or the profile has no price.
    """

    template_version: Mapped[int | None] = mapped_column(SmallInteger)
    profile: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cost: Mapped[float | None] = mapped_column(Double)


class Explanation(RequestColumns, Base):
    """`author_id` is null for explanations of a dataset; importing the dataset again replaces only those.

    `chosen_as_label`: a user chose it as the feature's label (`labels`); at most one of a feature.
    """

    __tablename__ = "explanation"
    __table_args__ = (
        Index(None, "source_id", "index"),
        Index(None, "description_tsvector", postgresql_using="gin"),
        # one explanation per method and language model, also when two requests generate it at the same time
        Index(
            "uq_explanation_generated",
            "source_id",
            "index",
            "method",
            "model",
            unique=True,
            postgresql_where=text("author_id IS NOT NULL AND model IS NOT NULL"),
        ),
        Index(
            "uq_explanation_chosen_as_label",
            "source_id",
            "index",
            unique=True,
            postgresql_where=text("chosen_as_label"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"))
    index: Mapped[int]
    description: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    chosen_as_label: Mapped[bool] = mapped_column(server_default=text("false"))
    description_tsvector: Mapped[str] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english', description)", persisted=True)
    )
