"""The table of stored keys for providers."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class ProviderKey(Base):
    """An account's key for a profile of the autointerp server. No part of the key is stored in clear."""

    __tablename__ = "provider_key"
    __table_args__ = (UniqueConstraint("account_id", "profile"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    profile: Mapped[str] = mapped_column(Text)
    base_url: Mapped[str] = mapped_column(Text)
    """That of the profile when the key was stored; the key is sent nowhere else."""
    encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    """By `provider_keys.encryption`."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
