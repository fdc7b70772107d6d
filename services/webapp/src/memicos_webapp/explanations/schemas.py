"""JSON of `/api/explanation/generate`, `/delete` and `/label`."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from memicos_webapp import examples
from memicos_webapp.explanations.methods import DEFAULT_METHOD
from memicos_webapp.features.schemas import ExplanationBody, FeatureId

MAX_ID = 2**63 - 1
ExplanationId = Annotated[
    int, Path(alias="explanationId", ge=1, le=MAX_ID, examples=[1], description="id of the explanation")
]


class GenerateRequest(FeatureId):
    model_config = ConfigDict(json_schema_extra=examples.GENERATE, hide_input_in_errors=True)

    explanationType: str = Field(
        DEFAULT_METHOD,
        max_length=60,
        description="how to explain: a method that the autointerp server has; highlighted-tokens is an older name of "
        f"{DEFAULT_METHOD}",
    )
    explanationModelName: str | None = Field(
        None,
        max_length=200,
        description="the language model as its provider names it; null or empty: the profile's default",
    )
    profile: str | None = Field(
        None,
        max_length=40,
        description="provider, by its name on the autointerp server; null or empty: the default one",
    )
    contrastive: bool = Field(
        False, description="whether the prompt has texts of similar features too, which it says not to describe"
    )
    apiKey: SecretStr | None = Field(
        None,
        max_length=500,
        description="your own key for the profile: it is sent to that provider only, and not stored; null or empty: "
        "the key that you stored for the profile, or else the server's",
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
