"""visibility and owner of models, releases, source sets and sources"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("model", "release", "source_set", "source")
VISIBILITY = postgresql.ENUM("public", "unlisted", "private", name="visibility", create_type=False)


def upgrade() -> None:
    VISIBILITY.create(op.get_bind())
    for table in TABLES:
        op.add_column(table, sa.Column("visibility", VISIBILITY, server_default="public", nullable=False))
        op.add_column(table, sa.Column("owner_id", sa.Integer(), nullable=True))
        op.create_foreign_key(op.f(f"fk_{table}_owner_id"), table, "account", ["owner_id"], ["id"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "owner_id")
        op.drop_column(table, "visibility")
    VISIBILITY.drop(op.get_bind())
