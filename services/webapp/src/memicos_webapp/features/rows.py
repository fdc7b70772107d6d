"""Rows of features, of their texts and of their explanations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memicos_dataset.schema import NO_POSITION, TOP_GROUP

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.formatting import url_segment

FeatureKey = tuple[int, int]
"""(source id, feature index)."""


def split_values(lengths: Sequence[int], positions: Sequence[int], values: Sequence[float]) -> list[dict[int, float]]:
    """Per example: position -> value. Example i has the next `lengths[i]` of `positions` and `values`."""
    examples, start = [], 0
    for length in lengths:
        end = start + length
        examples.append(dict(zip(positions[start:end], values[start:end], strict=True)))
        start = end
    return examples


@dataclass(frozen=True)
class Attribution:
    """Direct feature attribution (DFA) of an example of a source that reads attention heads."""

    values: list[float]
    """What each token of the context, as a source of attention, adds to the activation at `target`."""
    target: int | None
    """Position whose activation the values add up to; None where the dataset does not say it."""


@dataclass(frozen=True)
class FeatureRow:
    """The columns of `feature`, and the nearest live features by index."""

    load_id: int
    index: int
    density: float
    active_tokens: int
    max_activation: float
    activation_histogram: list[int]
    logit_histogram: list[int]
    logit_min: float
    logit_max: float
    positive_tokens: list[str]
    positive_logits: list[float]
    negative_tokens: list[str]
    negative_logits: list[float]
    neighbour_indices: list[int]
    neighbour_cosines: list[float]
    correlated_indices: list[int]
    correlated_pearson: list[float]
    quantile_shares: list[float]
    example_groups: list[int]
    example_contexts: list[int]
    example_positions: list[int]
    example_lengths: list[int]
    value_positions: list[int]
    values: list[float]
    example_dfa_positions: list[int]
    example_dfa_lengths: list[int]
    dfa_values: list[float]
    previous: int | None
    next: int | None

    def example_values(self) -> list[dict[int, float]]:
        """Per example: position -> value."""
        return split_values(self.example_lengths, self.value_positions, self.values)

    def example_attributions(self) -> list[Attribution | None]:
        """Per example: its attribution, if it has one."""
        if not self.example_dfa_lengths:
            return [None] * len(self.example_groups)
        found: list[Attribution | None] = []
        start = 0
        for position, length in zip(self.example_dfa_positions, self.example_dfa_lengths, strict=True):
            values = self.dfa_values[start : start + length]
            found.append(Attribution(values, None if position == NO_POSITION else position) if values else None)
            start += length
        return found


@dataclass(frozen=True)
class ExplanationRow:
    """`author_id` and `author` are None for explanations of a dataset; all from `template_version` on may be None
    (`models.Explanation`)."""

    id: int
    index: int
    description: str
    method: str
    model: str | None
    author_id: int | None
    author: str | None
    created_at: datetime
    chosen_as_label: bool
    template_version: int | None
    profile: str | None
    parameters: dict[str, Any] | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None


@dataclass(frozen=True)
class ContextRow:
    """A window of the corpus. `token_ids` is None where it was not asked for, or the ids are not the tokenizer's."""

    number: int
    tokens: list[str]
    title: str | None
    collection: str | None
    token_ids: list[int] | None = None


@dataclass(frozen=True)
class FeatureTableRow:
    """A row of a source's table of features."""

    index: int
    density: float
    max_activation: float
    promotes: list[str]
    label: str | None


@dataclass(frozen=True)
class SampleRow:
    """A feature that the home page shows."""

    model_id: str
    name: str
    index: int
    label: str | None


@dataclass(frozen=True)
class CardExplanation:
    description: str
    method: str
    model: str | None


@dataclass(frozen=True)
class CardExample:
    """One of the strongest examples: a context's number, the position for which it was chosen, position -> value."""

    context: int
    position: int
    values: dict[int, float]


@dataclass(frozen=True)
class CardRow:
    """The columns of a card, as the statement gives them; those of examples are empty where it does not read them."""

    source_id: int
    index: int
    density: float
    max_activation: float
    positive_tokens: list[str]
    positive_logits: list[float]
    negative_tokens: list[str]
    negative_logits: list[float]
    explanations: list[dict[str, str | None]]
    example_groups: Sequence[int] = ()
    example_contexts: Sequence[int] = ()
    example_positions: Sequence[int] = ()
    example_lengths: Sequence[int] = ()
    value_positions: Sequence[int] = ()
    values: Sequence[float] = ()


@dataclass(frozen=True)
class FeatureCard:
    """Summary of a feature in results and lists over several sources; label and strongest example come first."""

    source: SourceInfo
    index: int
    density: float
    max_activation: float
    positive: list[tuple[str, float]]
    negative: list[tuple[str, float]]
    explanations: list[CardExplanation]
    examples: list[CardExample]

    @classmethod
    def from_row(cls, source: SourceInfo, row: CardRow, examples: int) -> "FeatureCard":
        """With the strongest of the first `examples` examples."""
        values = split_values(row.example_lengths[:examples], row.value_positions, row.values)
        columns = (row.example_groups, row.example_contexts, row.example_positions)
        first = zip(*(column[:examples] for column in columns), values, strict=True)
        return cls(
            source=source,
            index=row.index,
            density=row.density,
            max_activation=row.max_activation,
            positive=list(zip(row.positive_tokens, row.positive_logits, strict=True)),
            negative=list(zip(row.negative_tokens, row.negative_logits, strict=True)),
            explanations=[CardExplanation(**fields) for fields in row.explanations],  # pyright: ignore[reportArgumentType]
            examples=[
                CardExample(context, position, sparse)
                for group, context, position, sparse in first
                if group == TOP_GROUP
            ],
        )

    @property
    def key(self) -> FeatureKey:
        return self.source.source_id, self.index

    @property
    def label(self) -> str | None:
        return self.explanations[0].description if self.explanations else None

    @property
    def path(self) -> str:
        return f"/{url_segment(self.source.model_id)}/{url_segment(self.source.name)}/{self.index}"
