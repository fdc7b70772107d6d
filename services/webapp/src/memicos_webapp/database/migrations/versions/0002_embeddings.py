"""vectors of explanations, and which embedder a source uses"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DIMENSIONS = {"embedding_minilm": 384, "embedding_openai": 256}


def upgrade() -> None:
    op.add_column("source", sa.Column("active_embedder", sa.Text(), nullable=True))
    op.create_index(
        "uq_explanation_generated",
        "explanation",
        ["source_id", "index", "method", "model"],
        unique=True,
        postgresql_where=sa.text("author_id IS NOT NULL AND model IS NOT NULL"),
    )
    for table, dimensions in DIMENSIONS.items():
        op.create_table(
            table,
            sa.Column("explanation_id", sa.BigInteger(), nullable=False),
            sa.Column("source_id", sa.Integer(), nullable=False),
            sa.Column("vector", HALFVEC(dimensions), nullable=False),
            sa.ForeignKeyConstraint(
                ["explanation_id"],
                ["explanation.id"],
                name=op.f(f"fk_{table}_explanation_id"),
                ondelete="CASCADE",
            ),
            sa.ForeignKeyConstraint(
                ["source_id"], ["source.id"], name=op.f(f"fk_{table}_source_id"), ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint("explanation_id", name=op.f(f"pk_{table}")),
        )
        op.create_index(op.f(f"ix_{table}_source_id"), table, ["source_id"])
        op.create_index(
            f"ix_{table}_vector",
            table,
            ["vector"],
            postgresql_using="hnsw",
            postgresql_ops={"vector": "halfvec_cosine_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
        )


def downgrade() -> None:
    for table in DIMENSIONS:
        op.drop_table(table)
    op.drop_index("uq_explanation_generated", "explanation")
    op.drop_column("source", "active_embedder")
