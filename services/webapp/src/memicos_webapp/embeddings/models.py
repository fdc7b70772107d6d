"""Tables of embeddings: one vector per explanation, in one table per embedder."""

from memicos_embeddings.embedder import MINILM, OPENAI
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


def _vector_index(name: str) -> Index:
    """Index for nearest neighbours by cosine: HNSW (Malkov & Yashunin 2018)."""
    return Index(
        name,
        "vector",
        postgresql_using="hnsw",
        postgresql_ops={"vector": "halfvec_cosine_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )


class EmbeddingMiniLm(Base):
    """Vectors of different embedders differ in size and cannot be compared, hence a table for each."""

    __tablename__ = "embedding_minilm"
    __table_args__ = (_vector_index("ix_embedding_minilm_vector"),)

    explanation_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("explanation.id", ondelete="CASCADE"), primary_key=True
    )
    # a copy of the explanation's, so that a search in one source filters before it compares vectors
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), index=True)
    vector: Mapped[list[float]] = mapped_column(HALFVEC(384))


class EmbeddingOpenAi(Base):
    __tablename__ = "embedding_openai"
    __table_args__ = (_vector_index("ix_embedding_openai_vector"),)

    explanation_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("explanation.id", ondelete="CASCADE"), primary_key=True
    )
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), index=True)
    vector: Mapped[list[float]] = mapped_column(HALFVEC(256))


EMBEDDING_TABLES: dict[str, type[EmbeddingMiniLm] | type[EmbeddingOpenAi]] = {
    MINILM: EmbeddingMiniLm,
    OPENAI: EmbeddingOpenAi,
}
"""The table of each embedder, by its key."""
