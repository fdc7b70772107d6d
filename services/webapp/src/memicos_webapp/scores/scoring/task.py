"""What scoring an explanation needs."""

from dataclasses import dataclass

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.database.engine import Database
from memicos_webapp.explanations.autointerp_client import AutointerpClient
from memicos_webapp.features.rows import ContextRow, ExplanationRow, FeatureRow
from memicos_webapp.features.service import FeatureDetail
from memicos_webapp.inference.service import Inference
from memicos_webapp.provider_keys.rows import UsableKey
from memicos_webapp.settings import Settings


@dataclass(frozen=True)
class ScoringResources:
    """Dependencies of scoring."""

    database: Database
    autointerp: AutointerpClient
    inference: Inference
    settings: Settings


@dataclass(frozen=True)
class Judge:
    """The language model that is asked; `model` is empty where none is. `stored_key`: in place of the request's."""

    model: str = ""
    profile: str | None = None
    stored_key: UsableKey | None = None


@dataclass(frozen=True)
class Task:
    """An explanation to be scored, with its feature and judge, and the contexts and neighbours that texts come from."""

    explanation: ExplanationRow
    detail: FeatureDetail
    judge: Judge
    contexts: dict[int, ContextRow]
    random: list[int]
    neighbours: list[FeatureRow]

    @property
    def source(self) -> SourceInfo:
        return self.detail.source
