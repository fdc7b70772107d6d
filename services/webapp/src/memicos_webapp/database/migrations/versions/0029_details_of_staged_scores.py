"""what a dataset's scores say of their texts beside the answers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staged_score", sa.Column("text_details", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("staged_score", "text_details")
