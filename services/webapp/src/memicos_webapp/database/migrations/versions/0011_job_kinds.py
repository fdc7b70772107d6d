"""kinds of jobs, and the number of attempts without progress"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("kind", sa.Text(), nullable=False, server_default="import"))
    op.alter_column("job", "kind", server_default=None)
    op.add_column("job", sa.Column("attempts_without_progress", sa.Integer(), nullable=False, server_default="0"))
    # entries of the queue carry the kind of their job; the worker adds them again
    op.execute("DELETE FROM pgqueuer")


def downgrade() -> None:
    op.execute("DELETE FROM job WHERE kind <> 'import'")
    op.drop_column("job", "attempts_without_progress")
    op.drop_column("job", "kind")
