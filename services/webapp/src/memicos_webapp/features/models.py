"""Tables of features and of the texts that they fire on."""

from sqlalchemy import REAL, BigInteger, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base
from memicos_webapp.database.packed_numbers import PackedIntegers, PackedReals


class Document(Base):
    __tablename__ = "document"

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    collection: Mapped[str] = mapped_column(Text)


class Context(Base):
    """A window of tokens, stored once and shared by every feature.

    `token_ids` are of the corpus' `vocabulary`, which has their strings. They are the model's ids where
    `Corpus.tokenizer_ids` says so, else numbers that the dataset gave to strings.
    """

    __tablename__ = "context"

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[int]
    token_ids: Mapped[list[int]] = mapped_column(PackedIntegers)


class Feature(Base):
    """One feature of one load, its examples as lists in the same row, packed as `packed_numbers` says.

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
    activation_histogram: Mapped[list[int]] = mapped_column(PackedIntegers)
    logit_histogram: Mapped[list[int]] = mapped_column(PackedIntegers)
    logit_min: Mapped[float] = mapped_column(REAL)
    logit_max: Mapped[float] = mapped_column(REAL)
    positive_tokens: Mapped[list[str]] = mapped_column(ARRAY(Text))
    positive_logits: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    negative_tokens: Mapped[list[str]] = mapped_column(ARRAY(Text))
    negative_logits: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    neighbour_indices: Mapped[list[int]] = mapped_column(PackedIntegers)
    neighbour_cosines: Mapped[list[float]] = mapped_column(PackedReals)
    correlated_indices: Mapped[list[int]] = mapped_column(PackedIntegers)
    correlated_pearson: Mapped[list[float]] = mapped_column(PackedReals)
    quantile_shares: Mapped[list[float]] = mapped_column(PackedReals)
    example_groups: Mapped[list[int]] = mapped_column(PackedIntegers)
    example_contexts: Mapped[list[int]] = mapped_column(PackedIntegers)
    example_positions: Mapped[list[int]] = mapped_column(PackedIntegers)
    example_lengths: Mapped[list[int]] = mapped_column(PackedIntegers)
    value_positions: Mapped[list[int]] = mapped_column(PackedIntegers)
    values: Mapped[list[float]] = mapped_column(PackedReals)
    example_dfa_positions: Mapped[list[int]] = mapped_column(PackedIntegers, server_default=text("''"))
    example_dfa_lengths: Mapped[list[int]] = mapped_column(PackedIntegers, server_default=text("''"))
    dfa_values: Mapped[list[float]] = mapped_column(PackedReals, server_default=text("''"))
