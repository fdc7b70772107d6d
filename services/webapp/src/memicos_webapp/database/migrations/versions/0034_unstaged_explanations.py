"""no staged explanations and scores: an import copies them once, in the transaction that shows them

Imports that were interrupted start again.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def _columns(names: str, kind: type[sa.types.TypeEngine], nullable: bool = True) -> list[sa.Column]:
    return [sa.Column(name, kind(), nullable=nullable) for name in names.split()]


def _requests() -> list[sa.Column]:
    return [
        *_columns("template_version", sa.SmallInteger),
        *_columns("profile", sa.Text),
        *_columns("parameters", postgresql.JSONB),
        *_columns("prompt_tokens completion_tokens", sa.Integer),
        *_columns("cost", sa.Double),
    ]


def upgrade() -> None:
    op.execute("DELETE FROM load WHERE state IN ('staging', 'verified')")
    op.execute("DELETE FROM job_file WHERE job_id IN (SELECT id FROM job WHERE state IN ('queued', 'running'))")
    op.drop_table("staged_score")
    op.drop_table("staged_explanation")


def downgrade() -> None:
    op.execute("DELETE FROM load WHERE state IN ('staging', 'verified')")
    op.execute("DELETE FROM job_file WHERE job_id IN (SELECT id FROM job WHERE state IN ('queued', 'running'))")
    explanation = [
        *_columns("index", sa.Integer, False),
        *_columns("description method", sa.Text, False),
        *_columns("model", sa.Text),
        *_columns("number", sa.Integer, False),
        *_requests(),
    ]
    score = [
        *_columns("method model", sa.Text, False),
        *_columns("value low high", sa.REAL),
        *_columns("reason", sa.Text),
        *_columns("seed", sa.BigInteger, False),
        *_columns("around", sa.SmallInteger, False),
        *(
            sa.Column(name, postgresql.ARRAY(kind()), nullable=False)
            for name, kind in (
                ("text_contexts", sa.Integer),
                ("text_positions", sa.SmallInteger),
                ("text_distances", sa.SmallInteger),
                ("text_answers", sa.REAL),
            )
        ),
        *_columns("explanation", sa.Integer, False),
        *_columns("text_details", postgresql.JSONB),
        *_requests(),
    ]
    for table, columns in (("staged_explanation", explanation), ("staged_score", score)):
        op.create_table(
            table,
            sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
            sa.Column("load_id", sa.BigInteger(), nullable=False),
            *columns,
            sa.ForeignKeyConstraint(["load_id"], ["load.id"], name=op.f(f"fk_{table}_load_id"), ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        )
        op.create_index(op.f(f"ix_{table}_load_id"), table, ["load_id"])
