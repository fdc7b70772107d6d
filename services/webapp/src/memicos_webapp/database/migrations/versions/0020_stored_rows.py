"""digests of stored rows, manifests and vocabularies; verification of sources; logs of jobs"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # imports that were interrupted have files without digests: they start again
    op.execute("DELETE FROM load WHERE state IN ('staging', 'verified')")
    op.execute("DELETE FROM job_file WHERE job_id IN (SELECT id FROM job WHERE state IN ('queued', 'running'))")
    op.create_table(
        "dataset_manifest",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_dataset_manifest")),
    )
    op.create_table(
        "vocabulary",
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpus.id"], name=op.f("fk_vocabulary_corpus_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("corpus_id", "token_id", name=op.f("pk_vocabulary")),
    )
    op.create_table(
        "load_part",
        sa.Column("load_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Numeric(), nullable=True),
        sa.ForeignKeyConstraint(["load_id"], ["load.id"], name=op.f("fk_load_part_load_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("load_id", "part", name=op.f("pk_load_part")),
    )
    op.create_table(
        "job_line",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_line_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_line")),
    )
    op.create_index(op.f("ix_job_line_job_id"), "job_line", ["job_id"])
    op.add_column("corpus", sa.Column("digest_of_rows", sa.Numeric(), nullable=True))
    op.add_column("load", sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("load", sa.Column("verification_problem", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("stage", sa.Text(), nullable=True))
    op.add_column("job_file", sa.Column("stored_rows", sa.BigInteger(), nullable=True))
    op.add_column("job_file", sa.Column("digest", sa.Numeric(), nullable=True))


def downgrade() -> None:
    for table, column in (
        ("job_file", "digest"),
        ("job_file", "stored_rows"),
        ("job", "stage"),
        ("load", "verification_problem"),
        ("load", "verified_at"),
        ("corpus", "digest_of_rows"),
    ):
        op.drop_column(table, column)
    for table in ("job_line", "load_part", "vocabulary", "dataset_manifest"):
        op.drop_table(table)
