"""states of loads"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATE = postgresql.ENUM("staging", "verified", "shown", "retired", "failed", name="load_state", create_type=False)
IS_CURRENT = "EXISTS (SELECT FROM source WHERE source.current_load_id = load.id)"
CHECKS = {
    "import_id": "state NOT IN ('staging', 'verified') OR import_id IS NOT NULL",
    "corpus_id": "state NOT IN ('verified', 'shown') OR corpus_id IS NOT NULL",
    "retired_at": "(state = 'retired') = (retired_at IS NOT NULL)",
}


def upgrade() -> None:
    STATE.create(op.get_bind())
    op.execute("CREATE SEQUENCE load_import_id_seq AS integer CYCLE")
    op.add_column("load", sa.Column("state", STATE, nullable=True))
    op.add_column("load", sa.Column("import_id", sa.Integer(), nullable=True))
    op.add_column("load", sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("load", sa.Column("error", sa.Text(), nullable=True))
    op.execute(f"UPDATE load SET state = 'shown' WHERE {IS_CURRENT}")  # noqa: S608 (a constant)
    op.execute("UPDATE load SET state = 'retired', retired_at = now() WHERE state IS NULL")
    op.alter_column("load", "state", nullable=False)
    op.alter_column("load", "corpus_id", nullable=True)
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_load_{name}"), "load", condition)
    op.create_index(
        "uq_load_source_id_shown", "load", ["source_id"], unique=True, postgresql_where=sa.text("state = 'shown'")
    )


def downgrade() -> None:
    # imports that run are not supported by older versions, and failed loads have no corpus
    op.execute(f"DELETE FROM load WHERE NOT {IS_CURRENT}")  # noqa: S608 (a constant)
    op.drop_index("uq_load_source_id_shown", "load")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_load_{name}"), "load")
    op.alter_column("load", "corpus_id", nullable=False)
    for column in ("error", "retired_at", "import_id", "state"):
        op.drop_column("load", column)
    op.execute("DROP SEQUENCE load_import_id_seq")
    STATE.drop(op.get_bind())
