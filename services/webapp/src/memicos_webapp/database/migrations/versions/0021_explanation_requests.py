"""what each explanation by a language model was asked and cost; the current name of its method"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("explanation", sa.Column("template_version", sa.SmallInteger(), nullable=True))
    op.add_column("explanation", sa.Column("profile", sa.Text(), nullable=True))
    op.add_column("explanation", sa.Column("parameters", postgresql.JSONB(), nullable=True))
    op.add_column("explanation", sa.Column("prompt_tokens", sa.Integer(), nullable=True))
    op.add_column("explanation", sa.Column("completion_tokens", sa.Integer(), nullable=True))
    op.add_column("explanation", sa.Column("cost", sa.Double(), nullable=True))
    op.execute("UPDATE explanation SET method = 'eleuther_acts_top20' WHERE method = 'highlighted-tokens'")


def downgrade() -> None:
    op.execute("UPDATE explanation SET method = 'highlighted-tokens' WHERE method = 'eleuther_acts_top20'")
    for name in ("cost", "completion_tokens", "prompt_tokens", "parameters", "profile", "template_version"):
        op.drop_column("explanation", name)
