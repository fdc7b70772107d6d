"""hashes of API keys are keyed with the server's secret

The server has the secret, not the database: it converts the hashes that are there when it starts
(`memicos_webapp.accounts.key_hashes`), and the keys stay valid.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("api_key", "token_sha256", new_column_name="token_hash")
    op.execute("ALTER TABLE api_key RENAME CONSTRAINT uq_api_key_token_sha256 TO uq_api_key_token_hash")
    op.add_column("api_key", sa.Column("keyed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.alter_column("api_key", "keyed", server_default=None)


def downgrade() -> None:
    # an earlier version cannot use keyed hashes
    op.execute("DELETE FROM api_key WHERE keyed")
    op.drop_column("api_key", "keyed")
    op.execute("ALTER TABLE api_key RENAME CONSTRAINT uq_api_key_token_hash TO uq_api_key_token_sha256")
    op.alter_column("api_key", "token_hash", new_column_name="token_sha256")
