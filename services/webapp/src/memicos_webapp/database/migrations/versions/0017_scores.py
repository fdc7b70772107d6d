"""scores of explanations"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0012"
branch_labels = None
depends_on = None


def _columns() -> Sequence[sa.Column]:
    return (
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("value", sa.REAL(), nullable=True),
        sa.Column("low", sa.REAL(), nullable=True),
        sa.Column("high", sa.REAL(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("around", sa.SmallInteger(), nullable=False),
        sa.Column("text_contexts", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("text_positions", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("text_distances", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("text_answers", postgresql.ARRAY(sa.REAL()), nullable=False),
    )


def upgrade() -> None:
    # rows of an import that was interrupted have no numbers: it starts again
    op.execute("DELETE FROM job_file WHERE path LIKE '%explanations%' AND loaded")
    op.execute("DELETE FROM staged_explanation")
    op.add_column("staged_explanation", sa.Column("number", sa.Integer(), nullable=False))
    op.create_table(
        "score",
        *_columns(),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("explanation_id", sa.BigInteger(), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=True),
        sa.Column("author_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["explanation_id"], ["explanation.id"], name=op.f("fk_score_explanation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpus.id"], name=op.f("fk_score_corpus_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["author_id"], ["account.id"], name=op.f("fk_score_author_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_score")),
    )
    op.create_index(op.f("ix_score_corpus_id"), "score", ["corpus_id"])
    op.create_index("ix_score_method", "score", ["method", sa.text("created_at DESC")])
    op.create_index(
        "uq_score_explanation_id_method_model_author_id",
        "score",
        ["explanation_id", "method", "model", "author_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "staged_score",
        *_columns(),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("load_id", sa.BigInteger(), nullable=False),
        sa.Column("explanation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["load_id"], ["load.id"], name=op.f("fk_staged_score_load_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staged_score")),
    )
    op.create_index(op.f("ix_staged_score_load_id"), "staged_score", ["load_id"])


def downgrade() -> None:
    op.drop_table("staged_score")
    op.drop_table("score")
    op.drop_column("staged_explanation", "number")
