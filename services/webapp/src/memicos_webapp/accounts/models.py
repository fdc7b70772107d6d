"""Table of accounts."""

from sqlalchemy import Identity, Text
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class Account(Base):
    """A person who may own and write things. Until sign-in exists there is one, the local owner, with id 1."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
