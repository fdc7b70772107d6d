"""the sample of requests by which the cost of a job was stated; the largest cost of a request in a batch, renamed"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("cost_sample", postgresql.JSONB(), nullable=True))
    op.alter_column("job_batch", "most", new_column_name="max_request_cost")


def downgrade() -> None:
    op.alter_column("job_batch", "max_request_cost", new_column_name="most")
    op.drop_column("job", "cost_sample")
