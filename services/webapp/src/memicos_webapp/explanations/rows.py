"""Rows of explanations in lists over sources."""

from dataclasses import dataclass
from datetime import datetime

from memicos_webapp.formatting import url_segment


@dataclass(frozen=True)
class ListedExplanation:
    """An explanation with its feature."""

    id: int
    model_id: str
    name: str
    index: int
    description: str
    model: str | None
    created_at: datetime

    @property
    def path(self) -> str:
        """The feature's page."""
        return f"/{url_segment(self.model_id)}/{url_segment(self.name)}/{self.index}"
