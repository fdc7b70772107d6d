"""norm of the residual stream at a source's hook"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("load", sa.Column("residual_norm", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("load", "residual_norm")
