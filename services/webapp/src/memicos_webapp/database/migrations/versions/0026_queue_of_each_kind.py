"""the queue has an entrypoint for each kind of jobs"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # no worker takes entries of the one entrypoint any more; the worker adds them again
    op.execute("DELETE FROM pgqueuer")


def downgrade() -> None:
    op.execute("DELETE FROM pgqueuer")
