"""The wire of `/api/explanation/generate`."""

from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp import examples
from memicos_webapp.features.schemas import FeatureId
from memicos_webapp.features.wire import ExplanationBody

METHOD = "highlighted-tokens"
"""The method of the autointerp server's default explainer."""


class GenerateRequest(FeatureId):
    model_config = ConfigDict(json_schema_extra=examples.GENERATE)

    explanationType: str = Field(METHOD, description=f"how to explain; so far {METHOD} only")
    explanationModelName: str | None = Field(
        None,
        max_length=200,
        description="the language model as its provider names it; null or empty: the autointerp server's choice",
    )


class Generated(BaseModel):
    explanation: ExplanationBody
