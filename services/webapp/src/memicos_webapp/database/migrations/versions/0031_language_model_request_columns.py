"""what datasets say of the requests to language models, and the prompt's version of each score"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_COLUMNS: tuple[tuple[str, sa.types.TypeEngine], ...] = (
    ("template_version", sa.SmallInteger()),
    ("profile", sa.Text()),
    ("parameters", postgresql.JSONB()),
    ("prompt_tokens", sa.Integer()),
    ("completion_tokens", sa.Integer()),
    ("cost", sa.Double()),
)


def upgrade() -> None:
    op.add_column("score", sa.Column("template_version", sa.SmallInteger(), nullable=True))
    for table in ("staged_explanation", "staged_score"):
        for name, kind in _COLUMNS:
            op.add_column(table, sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for table in ("staged_score", "staged_explanation"):
        for name, _ in reversed(_COLUMNS):
            op.drop_column(table, name)
    op.drop_column("score", "template_version")
