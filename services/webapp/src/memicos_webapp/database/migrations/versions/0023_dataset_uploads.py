"""uploads of datasets"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset_upload",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("part_bytes", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_upload"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name="fk_dataset_upload_account_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_dataset_upload_job_id", ondelete="CASCADE"),
    )
    op.create_index(
        "ix_dataset_upload_account_id_fingerprint",
        "dataset_upload",
        ["account_id", "fingerprint"],
        unique=True,
        postgresql_where=sa.text("job_id IS NULL"),
    )
    op.create_index("ix_dataset_upload_job_id", "dataset_upload", ["job_id"])
    op.create_table(
        "dataset_upload_file",
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", "number", name="pk_dataset_upload_file"),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["dataset_upload.id"], name="fk_dataset_upload_file_upload_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "dataset_upload_part",
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("file", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", "file", "number", name="pk_dataset_upload_part"),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["dataset_upload.id"], name="fk_dataset_upload_part_upload_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    for table in ("dataset_upload_part", "dataset_upload_file", "dataset_upload"):
        op.drop_table(table)
