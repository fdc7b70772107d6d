"""Which features a job is about, and which language model does it; the options of its row."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from memicos_autointerp_core.bulk.indices import parse_indices

from memicos_webapp.errors import BadInput

DEFAULT_SCORE = "eleuther_embedding"


@dataclass(frozen=True)
class FeatureSelection:
    """Live features of the job's sources that meet every condition.

    Attributes:
        min_density, max_density: share of tokens on which the feature is active.
        unexplained: only features without an explanation other than token statistics.
        score_below: only features whose label has a score below this by `score_method`.
        indices: only these; None: all.
        failed_in: only those that this job listed as failed.
    """

    min_density: float = 0.0
    max_density: float = 1.0
    unexplained: bool = False
    score_below: float | None = None
    score_method: str = DEFAULT_SCORE
    indices: list[int] | None = None
    failed_in: int | None = None


@dataclass(frozen=True)
class BulkOptions:
    """A job's options.

    Attributes:
        method: explainer or scorer.
        profile, model: of the language model; None: the default ones.
        budget: most US dollars that the job pays; None: no limit.
        author: account that the results belong to.
        batch: what follows the sample is asked in batches.
        attempt: number of the request of each feature (`ChatRequest.attempt`): another one asks again for an answer
            that is stored and cannot be used.
    """

    method: str
    author: int
    profile: str | None = None
    model: str | None = None
    budget: float | None = None
    attempt: int = 0
    selection: FeatureSelection = field(default_factory=FeatureSelection)
    batch: bool = field(default=False, kw_only=True)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        known = {own.name for own in fields(cls)}
        given = {name: value for name, value in values.items() if name in known}
        return cls(**{**given, "selection": FeatureSelection(**values.get("selection", {}))})


@dataclass(frozen=True)
class ExplainOptions(BulkOptions):
    """Options of a job that explains features.

    Attributes:
        contrastive: prompts show texts of similar features as well.
    """

    contrastive: bool = False


@dataclass(frozen=True)
class ScoreOptions(BulkOptions):
    """Options of a job that scores the labels of features.

    Attributes:
        unscored: only labels without a score by this method and model.
        near_misses: half of the texts on which the feature is not active are examples of similar features.
        seed: of every random choice.
    """

    unscored: bool = False
    near_misses: bool = False
    seed: int = 0


def read_indices(text: str) -> list[int] | None:
    """Indices from `3,7,10-20`; None for a blank text.

    Raises:
        BadInput: it is neither.
    """
    try:
        return parse_indices(text) if text.strip() else None
    except ValueError as error:
        raise BadInput(f"Indices: {error}.") from None
