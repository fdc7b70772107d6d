"""JSON of `/api/explanation/generate`, `/delete` and `/label`."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp import examples
from memicos_webapp.features.schemas import ExplanationBody, FeatureId

METHOD = "highlighted-tokens"
"""The method of the autointerp server's default explainer."""

MAX_ID = 2**63 - 1
ExplanationId = Annotated[
    int, Path(alias="explanationId", ge=1, le=MAX_ID, examples=[1], description="id of the explanation")
]


class GenerateRequest(FeatureId):
    model_config = ConfigDict(json_schema_extra=examples.GENERATE)

    explanationType: str = Field(METHOD, description=f"how to explain; so far {METHOD} only")
    explanationModelName: str | None = Field(
        None,
        max_length=200,
        description="the language model as its provider names it; null or empty: the autointerp server's default",
    )


class GenerateResponse(BaseModel):
    """The new explanation."""

    explanation: ExplanationBody = Field(description="the new explanation")


class DeleteResponse(BaseModel):
    """Confirmation of a deletion."""

    message: str = Field(description="the result of the request")


class ChooseLabelRequest(BaseModel):
    """Whether the explanation is to be the feature's label."""

    model_config = ConfigDict(json_schema_extra=examples.CHOOSE_LABEL)

    chosen: bool = Field(description="true: choose it; false: undo the choice, so that the default rule applies")


class ExplanationList(BaseModel):
    """The explanations of a feature."""

    explanations: list[ExplanationBody] = Field(description="all explanations of the feature, its label first")
