"""rows that jobs leave out"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_reject",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "file", "line", name="pk_job_reject"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_reject_job_id", ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("job_reject")
