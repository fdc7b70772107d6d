"""Rows of vectors and of their examples."""

import math
from dataclasses import dataclass
from datetime import datetime

from memicos_webapp.catalog.models import Visibility


@dataclass(frozen=True)
class VectorRow:
    """A vector that a viewer may read: the columns of `visible_vectors`."""

    id: int
    model_id: str
    model_name: str
    chat: bool
    source: str
    index: int
    layer: int
    hook_name: str
    label: str
    values: list[float]
    default_strength: float | None
    visibility: Visibility
    owner_id: int | None
    created_at: datetime

    @property
    def path(self) -> str:
        return f"/{self.model_id}/{self.source}/{self.index}"

    @property
    def length(self) -> float:
        """The vector's L2 norm."""
        return math.hypot(*self.values)

    @property
    def name(self) -> str:
        return f"{self.source}/{self.index}"


@dataclass(frozen=True)
class VectorExampleRow:
    """A text with a value for each token."""

    tokens: list[str]
    values: list[float]
    max_value: float
