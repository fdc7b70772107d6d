"""what each score was asked and cost, and what its method says of each text"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("score", sa.Column("text_details", postgresql.JSONB(), nullable=True))
    op.add_column("score", sa.Column("profile", sa.Text(), nullable=True))
    op.add_column("score", sa.Column("parameters", postgresql.JSONB(), nullable=True))
    op.add_column("score", sa.Column("prompt_tokens", sa.Integer(), nullable=True))
    op.add_column("score", sa.Column("completion_tokens", sa.Integer(), nullable=True))
    op.add_column("score", sa.Column("cost", sa.Double(), nullable=True))


def downgrade() -> None:
    # these versions know no texts outside a corpus
    op.execute("DELETE FROM score WHERE method IN ('output_texts', 'output_tokens')")
    for name in ("cost", "completion_tokens", "prompt_tokens", "parameters", "profile", "text_details"):
        op.drop_column("score", name)
