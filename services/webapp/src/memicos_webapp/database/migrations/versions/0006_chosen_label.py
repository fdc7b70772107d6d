"""the explanation that was chosen as a feature's label; standard name of the text search column"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("explanation", sa.Column("chosen_as_label", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "uq_explanation_chosen_as_label",
        "explanation",
        ["source_id", "index"],
        unique=True,
        postgresql_where=sa.text("chosen_as_label"),
    )
    op.alter_column("explanation", "words", new_column_name="description_tsvector")
    op.execute("ALTER INDEX ix_explanation_words RENAME TO ix_explanation_description_tsvector")


def downgrade() -> None:
    op.execute("ALTER INDEX ix_explanation_description_tsvector RENAME TO ix_explanation_words")
    op.alter_column("explanation", "description_tsvector", new_column_name="words")
    op.drop_index("uq_explanation_chosen_as_label", "explanation")
    op.drop_column("explanation", "chosen_as_label")
