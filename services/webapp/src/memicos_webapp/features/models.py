"""Tables of features and of the texts that they fire on."""

from sqlalchemy import REAL, BigInteger, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class Document(Base):
    __tablename__ = "document"

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    collection: Mapped[str] = mapped_column(Text)


class Context(Base):
    """A window of tokens, stored once and shared by every feature. NUL characters are stored as `␀`."""

    __tablename__ = "context"

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[int]
    token_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    tokens: Mapped[list[str]] = mapped_column(ARRAY(Text))


class Feature(Base):
    """One feature of one load, its examples as arrays in the same row.

    `value_positions` and `values` are the sparse values of all examples one after the other; example i has
    `example_lengths[i]` of them. `dfa_values` has the direct feature attributions likewise, `example_dfa_lengths[i]`
    for example i: one for each token of its context, or none. The three columns of attributions are empty where no
    example has any. Columns mean what they mean in `memicos_dataset.schema`.
    """

    __tablename__ = "feature"
    __table_args__ = (
        Index(None, "load_id", "density"),
        Index(None, "load_id", "max_activation"),
    )

    load_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("load.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    density: Mapped[float] = mapped_column(REAL)
    active_tokens: Mapped[int] = mapped_column(BigInteger)
    max_activation: Mapped[float] = mapped_column(REAL)
    activation_histogram: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    logit_histogram: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    logit_min: Mapped[float] = mapped_column(REAL)
    logit_max: Mapped[float] = mapped_column(REAL)
    positive_tokens: Mapped[list[str]] = mapped_column(ARRAY(Text))
    positive_logits: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    negative_tokens: Mapped[list[str]] = mapped_column(ARRAY(Text))
    negative_logits: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    neighbour_indices: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    neighbour_cosines: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    correlated_indices: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    correlated_pearson: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    quantile_shares: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    example_groups: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    example_contexts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    example_positions: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    example_lengths: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    value_positions: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    values: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    example_dfa_positions: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=text("'{}'"))
    example_dfa_lengths: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=text("'{}'"))
    dfa_values: Mapped[list[float]] = mapped_column(ARRAY(REAL), server_default=text("'{}'"))
