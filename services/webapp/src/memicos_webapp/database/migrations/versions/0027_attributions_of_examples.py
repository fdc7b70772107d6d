"""direct feature attributions of the examples of features"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_COLUMNS = {
    "example_dfa_positions": sa.SmallInteger(),
    "example_dfa_lengths": sa.SmallInteger(),
    "dfa_values": sa.REAL(),
}


def upgrade() -> None:
    for name, kind in _COLUMNS.items():
        column = sa.Column(name, postgresql.ARRAY(kind), server_default=sa.text("'{}'"), nullable=False)
        op.add_column("feature", column)


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column("feature", name)
