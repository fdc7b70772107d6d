"""vectors that users upload, with their examples"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    visibility = postgresql.ENUM("public", "unlisted", "private", name="visibility", create_type=False)
    op.create_table(
        "user_vector",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("hook_name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("values", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("default_strength", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("visibility", visibility, server_default="public", nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_user_vector_model_id")),
        sa.ForeignKeyConstraint(["owner_id"], ["account.id"], name=op.f("fk_user_vector_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_vector")),
        sa.UniqueConstraint("model_id", "source", "index", name=op.f("uq_user_vector_model_id_source_index")),
    )
    op.create_table(
        "user_vector_example",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("vector_id", sa.Integer(), nullable=False),
        sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("values", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("max_value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["vector_id"], ["user_vector.id"], name=op.f("fk_user_vector_example_vector_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_vector_example")),
    )
    op.create_index(op.f("ix_user_vector_example_vector_id"), "user_vector_example", ["vector_id"], unique=False)


def downgrade() -> None:
    op.drop_table("user_vector_example")
    op.drop_table("user_vector")
