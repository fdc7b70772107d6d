"""Features in words, and their vectors. An explanation points at (source, index), not into a load, and outlives it."""

from datetime import datetime

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import BigInteger, Computed, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base
from memicos_webapp.embeddings.embedders import MINILM, OPENAI


class Explanation(Base):
    """`author_id` is null for those that came with a dataset; importing it again replaces only those."""

    __tablename__ = "explanation"
    __table_args__ = (
        Index(None, "source_id", "index"),
        Index(None, "words", postgresql_using="gin"),
        # one text by one method and language model, whoever asks for it and however often at once
        Index(
            "uq_explanation_generated",
            "source_id",
            "index",
            "method",
            "model",
            unique=True,
            postgresql_where=text("author_id IS NOT NULL AND model IS NOT NULL"),
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
    words: Mapped[str] = mapped_column(TSVECTOR, Computed("to_tsvector('english', description)", persisted=True))


def _nearest(name: str) -> Index:
    """Hierarchical navigable small worlds (Malkov & Yashunin 2018), by cosine."""
    return Index(
        name,
        "vector",
        postgresql_using="hnsw",
        postgresql_ops={"vector": "halfvec_cosine_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )


class EmbeddingMiniLm(Base):
    """One table an embedder: an index has vectors of one size, and only they can be compared."""

    __tablename__ = "embedding_minilm"
    __table_args__ = (_nearest("ix_embedding_minilm_vector"),)

    explanation_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("explanation.id", ondelete="CASCADE"), primary_key=True
    )
    # repeated here, so that a search in one source can filter before it compares
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), index=True)
    vector: Mapped[list[float]] = mapped_column(HALFVEC(384))


class EmbeddingOpenAi(Base):
    __tablename__ = "embedding_openai"
    __table_args__ = (_nearest("ix_embedding_openai_vector"),)

    explanation_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("explanation.id", ondelete="CASCADE"), primary_key=True
    )
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), index=True)
    vector: Mapped[list[float]] = mapped_column(HALFVEC(256))


EMBEDDINGS: dict[str, type[EmbeddingMiniLm] | type[EmbeddingOpenAi]] = {
    MINILM: EmbeddingMiniLm,
    OPENAI: EmbeddingOpenAi,
}
"""The table of each embedder, by its key."""
