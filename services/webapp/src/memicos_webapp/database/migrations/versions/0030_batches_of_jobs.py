"""batches of requests to language models that jobs wait for"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("run_again_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "job_batch",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("max_tokens", sa.Integer(), nullable=False),
        sa.Column("most", sa.Double(), nullable=False),
        sa.Column("unanswered_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_batch_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_batch")),
    )
    op.create_index(op.f("ix_job_batch_job_id"), "job_batch", ["job_id"])
    op.create_table(
        "job_batch_request",
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch"], ["job_batch.name"], name=op.f("fk_job_batch_request_batch_job_batch"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("batch", "key", name=op.f("pk_job_batch_request")),
    )
    op.create_index(op.f("ix_job_batch_request_key"), "job_batch_request", ["key"])


def downgrade() -> None:
    op.drop_table("job_batch_request")
    op.drop_table("job_batch")
    op.drop_column("job", "run_again_at")
