"""catalogue, texts, features, explanations"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )
    op.execute("INSERT INTO account (name) VALUES ('local owner')")
    op.create_table(
        "corpus",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("contexts", sa.Integer(), nullable=False),
        sa.Column("context_size", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("collections", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corpus")),
        sa.UniqueConstraint("digest", name=op.f("uq_corpus_digest")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("layers", sa.Integer(), nullable=False),
        sa.Column("d_model", sa.Integer(), nullable=False),
        sa.Column("vocabulary_size", sa.Integer(), nullable=False),
        sa.Column("chat", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("license", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
    )
    op.create_table(
        "context",
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", sa.Integer(), nullable=False),
        sa.Column("token_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpus.id"], name=op.f("fk_context_corpus_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("corpus_id", "number", name=op.f("pk_context")),
    )
    op.create_table(
        "document",
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpus.id"], name=op.f("fk_document_corpus_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("corpus_id", "number", name=op.f("pk_document")),
    )
    op.create_table(
        "source_set",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_source_set_model_id")),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_source_set_release_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_set")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_source_set_model_id_name")),
    )
    op.create_index(op.f("ix_source_set_release_id"), "source_set", ["release_id"], unique=False)
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source_set_id", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("current_load_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_source_model_id")),
        sa.ForeignKeyConstraint(["source_set_id"], ["source_set.id"], name=op.f("fk_source_source_set_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_source_model_id_name")),
    )
    op.create_index(op.f("ix_source_current_load_id"), "source", ["current_load_id"], unique=False)
    op.create_index(op.f("ix_source_source_set_id"), "source", ["source_set_id"], unique=False)
    op.create_table(
        "explanation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("author_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('english', description)", persisted=True),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["author_id"], ["account.id"], name=op.f("fk_explanation_author_id")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_explanation_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_explanation")),
    )
    op.create_index(op.f("ix_explanation_source_id_index"), "explanation", ["source_id", "index"], unique=False)
    op.create_index(op.f("ix_explanation_words"), "explanation", ["words"], unique=False, postgresql_using="gin")
    op.create_table(
        "load",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("features", sa.Integer(), nullable=False),
        sa.Column("dead_features", sa.Integer(), nullable=False),
        sa.Column("counted_tokens", sa.BigInteger(), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("d_in", sa.Integer(), nullable=False),
        sa.Column("d_sae", sa.Integer(), nullable=False),
        sa.Column("logit_effect", sa.Text(), nullable=False),
        sa.Column("recipe", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "sae_config",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpus.id"], name=op.f("fk_load_corpus_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_load_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load")),
    )
    op.create_index(op.f("ix_load_corpus_id"), "load", ["corpus_id"], unique=False)
    op.create_index(op.f("ix_load_source_id"), "load", ["source_id"], unique=False)
    op.create_foreign_key(op.f("fk_source_current_load_id"), "source", "load", ["current_load_id"], ["id"])
    op.create_table(
        "feature",
        sa.Column("load_id", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("density", sa.REAL(), nullable=False),
        sa.Column("active_tokens", sa.BigInteger(), nullable=False),
        sa.Column("max_activation", sa.REAL(), nullable=False),
        sa.Column("activation_histogram", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("logit_histogram", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("logit_min", sa.REAL(), nullable=False),
        sa.Column("logit_max", sa.REAL(), nullable=False),
        sa.Column("positive_tokens", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("positive_logits", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("negative_tokens", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("negative_logits", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("neighbour_indices", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("neighbour_cosines", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("correlated_indices", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("correlated_pearson", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("quantile_shares", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("example_groups", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("example_contexts", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("example_positions", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("example_lengths", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("value_positions", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("values", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.ForeignKeyConstraint(["load_id"], ["load.id"], name=op.f("fk_feature_load_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("load_id", "index", name=op.f("pk_feature")),
    )
    op.create_index(op.f("ix_feature_load_id_density"), "feature", ["load_id", "density"], unique=False)
    op.create_index(op.f("ix_feature_load_id_max_activation"), "feature", ["load_id", "max_activation"], unique=False)


def downgrade() -> None:
    op.drop_constraint(op.f("fk_source_current_load_id"), "source")
    for table in ("feature", "load", "explanation", "source", "source_set", "document", "context"):
        op.drop_table(table)
    for table in ("release", "model", "corpus", "account"):
        op.drop_table(table)
