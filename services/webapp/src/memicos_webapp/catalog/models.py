"""Tables of the catalogue: models, releases, source sets, sources and the loads of their features."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class Visibility(StrEnum):
    """Who may read an entry, from the widest to the narrowest; `memicos_webapp.catalog.visibility` has the rules."""

    PUBLIC = "public"
    UNLISTED = "unlisted"
    PRIVATE = "private"


class Owned:
    """Columns of every table with a visibility. A row without an owner belongs to the server's administrators."""

    visibility: Mapped[Visibility] = mapped_column(
        Enum(Visibility, name="visibility", values_callable=lambda levels: [level.value for level in levels]),
        server_default=Visibility.PUBLIC.value,
    )
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))


class Model(Owned, Base):
    __tablename__ = "model"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    layers: Mapped[int]
    d_model: Mapped[int]
    vocabulary_size: Mapped[int]
    chat: Mapped[bool]
    origin: Mapped[str] = mapped_column(Text)
    license: Mapped[str] = mapped_column(Text)
    url: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Release(Owned, Base):
    __tablename__ = "release"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    creator: Mapped[str] = mapped_column(Text)
    url: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SourceSet(Owned, Base):
    __tablename__ = "source_set"
    __table_args__ = (UniqueConstraint("model_id", "name"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    name: Mapped[str] = mapped_column(Text)
    release_id: Mapped[str] = mapped_column(ForeignKey("release.id"), index=True)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)


class Source(Owned, Base):
    """`current_load_id` is the load that readers see, the only one in state `shown`; null: no reader sees the source.

    `active_embedder` is the embedder whose vectors search by meaning compares; null until there is one.
    """

    __tablename__ = "source"
    __table_args__ = (UniqueConstraint("model_id", "name"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    name: Mapped[str] = mapped_column(Text)
    source_set_id: Mapped[int] = mapped_column(ForeignKey("source_set.id"), index=True)
    layer: Mapped[int]
    current_load_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("load.id", use_alter=True), index=True)
    active_embedder: Mapped[str | None] = mapped_column(Text)


class Corpus(Base):
    """Texts that dashboards quote. `digest` is of its part of the manifest: other files make another corpus. It begins
    with "without vocabulary " where a version before 0020 of the schema stored the texts, which no import adds to."""

    __tablename__ = "corpus"
    __table_args__ = (UniqueConstraint("digest"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    contexts: Mapped[int]
    context_size: Mapped[int]
    tokens: Mapped[int] = mapped_column(BigInteger)
    # [{"name", "license", "url", "attribution"}]
    collections: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    # whether contexts have ids of the model's tokenizer; otherwise numbers that the dataset gave to strings
    tokenizer_ids: Mapped[bool]
    # digest of contexts and vocabulary (datasets/stored_rows/row_digests.py); null where an older version stored them
    digest_of_rows: Mapped[Decimal | None] = mapped_column(Numeric)


class VocabularyToken(Base):
    """A token of a corpus as inside a text, or `<0xE4>` for a byte that is part of a character."""

    __tablename__ = "vocabulary"

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"), primary_key=True)
    token_id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(Text)


class DatasetManifest(Base):
    """The manifest of an imported dataset, by the sha256 of its file."""

    __tablename__ = "dataset_manifest"

    sha256: Mapped[str] = mapped_column(Text, primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)


class LoadState(StrEnum):
    """Stages of a load; `memicos_webapp.datasets.load_states` has the transitions between them."""

    STAGING = "staging"
    VERIFIED = "verified"
    SHOWN = "shown"
    RETIRED = "retired"
    FAILED = "failed"


class Load(Base):
    """One import of a source's features.

    `import_id` names the import that is writing a staging or verified load: while that import runs it holds the
    advisory lock of this number. `error` is the reason of a failed load, which has no features and no corpus.
    """

    __tablename__ = "load"
    __table_args__ = (
        Index("uq_load_source_id_shown", "source_id", unique=True, postgresql_where=text("state = 'shown'")),
        CheckConstraint("state NOT IN ('staging', 'verified') OR import_id IS NOT NULL", name="import_id"),
        CheckConstraint("state NOT IN ('verified', 'shown') OR corpus_id IS NOT NULL", name="corpus_id"),
        CheckConstraint("(state = 'retired') = (retired_at IS NOT NULL)", name="retired_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), index=True)
    corpus_id: Mapped[int | None] = mapped_column(ForeignKey("corpus.id"), index=True)
    state: Mapped[LoadState] = mapped_column(
        Enum(LoadState, name="load_state", values_callable=lambda states: [state.value for state in states])
    )
    import_id: Mapped[int | None]
    retired_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    manifest_sha256: Mapped[str] = mapped_column(Text)
    # when all rows were last compared with what was imported, and what differed; null problem: complete
    verified_at: Mapped[datetime | None]
    verification_problem: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    features: Mapped[int]
    dead_features: Mapped[int]
    counted_tokens: Mapped[int] = mapped_column(BigInteger)
    architecture: Mapped[str] = mapped_column(Text)
    d_in: Mapped[int]
    d_sae: Mapped[int]
    logit_effect: Mapped[str] = mapped_column(Text)
    # median norm of the activations at the hook, over counted tokens; null where the dataset does not have it
    residual_norm: Mapped[float | None]
    # memicos_dataset.manifest.Recipe
    recipe: Mapped[dict[str, Any]] = mapped_column(JSONB)
    sae_config: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))


class LoadPart(Base):
    """What an import has stored of a load: rows, and their digest where they have one (`row_digests`)."""

    __tablename__ = "load_part"

    load_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("load.id", ondelete="CASCADE"), primary_key=True)
    # features, explanations or scores
    part: Mapped[str] = mapped_column(Text, primary_key=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[Decimal | None] = mapped_column(Numeric)
