"""Tables of vectors that users upload, and of their examples."""

from datetime import datetime

from sqlalchemy import Double, ForeignKey, Identity, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.catalog.models import Owned
from memicos_webapp.database.base import Base


class Vector(Owned, Base):
    """A direction at a hook point of a model, by the account that uploaded it.

    `source` and `index` are its address, like a feature's; `memicos_webapp.vectors.names` makes the former.
    """

    # pgvector has a type of the name `vector`
    __tablename__ = "user_vector"
    __table_args__ = (UniqueConstraint("model_id", "source", "index"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    source: Mapped[str] = mapped_column(Text)
    index: Mapped[int]
    layer: Mapped[int]
    hook_name: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    # as many as the model's residual stream is wide
    values: Mapped[list[float]] = mapped_column(ARRAY(Double))
    default_strength: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class VectorExample(Base):
    """A text with a vector's value at each of its tokens, as uploaded."""

    __tablename__ = "user_vector_example"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    vector_id: Mapped[int] = mapped_column(ForeignKey("user_vector.id", ondelete="CASCADE"), index=True)
    tokens: Mapped[list[str]] = mapped_column(ARRAY(Text))
    values: Mapped[list[float]] = mapped_column(ARRAY(Double))
    max_value: Mapped[float] = mapped_column(Double)
