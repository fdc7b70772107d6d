"""The table of stored answers."""

from datetime import datetime

from sqlalchemy import Text, func
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class LanguageModelAnswer(Base):
    """A usable answer; `key` is the hash of endpoint and request, without the key of the account that paid."""

    __tablename__ = "language_model_answer"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    answer: Mapped[str] = mapped_column(Text)
    """JSON; not JSONB, which cannot store NUL."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
