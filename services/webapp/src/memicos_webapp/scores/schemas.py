"""JSON of scores, with the field names of published clients."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from memicos_webapp import examples
from memicos_webapp.scores.methods import EMBEDDING, METHODS
from memicos_webapp.scores.rows import ScoreRow
from memicos_webapp.scores.texts import ScoredText
from memicos_webapp.validation import check_number


class ScoreBody(BaseModel):
    """A score of an explanation."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """id of the score"""
    explanationId: str
    """id of the explanation"""
    explanationScoreTypeName: str
    """method of the score"""
    explanationScoreModelName: str
    """language model or embedder that answered"""
    value: float | None
    """the score; 1 is the best; chance is 0.5, of `simulation` 0; null where there is none"""
    low: float | None
    """lower end of the 95% bootstrap interval"""
    high: float | None
    """upper end of the interval"""
    reason: str | None
    """why there is no score"""
    positives: int
    """texts with an answer on which the feature is active"""
    negatives: int
    """texts with an answer on which it is not"""
    failed: int
    """texts without an answer, which do not count"""
    seed: int
    """seed of every random choice"""
    initiatedByUserId: str | None
    """account that asked for it; null for scores of a dataset"""
    jsonDetails: str
    """the texts as a JSON list: {text, distance, similarity} for methods by embeddings, otherwise {str_tokens,
    activations, distance, ground_truth, prediction, probability, correct, highlighted}, with the tokens that were
    marked, the expected activations of simulation, and the cause of an answer that is missing. distance is 1 for the
    strongest examples, 2 and above for intervals from strong to weak, -1 where the feature is not active, -2 for near
    misses"""
    createdAt: datetime
    """when it was stored"""
    profile: str | None
    """provider, by its name on the autointerp server; null where no language model was asked"""
    templateVersion: int | None
    """version of the method's prompt; null where no language model was asked"""
    parameters: dict[str, Any] | None
    """how the texts were chosen and the language model was asked; null where a dataset does not say it"""
    promptTokens: int | None
    """tokens of all prompts; null where the provider does not count them"""
    completionTokens: int | None
    """tokens that the model generated"""
    cost: float | None
    """US dollars paid; null where the profile has no price"""

    @classmethod
    def from_row(cls, row: ScoreRow, texts: list[ScoredText]) -> "ScoreBody":
        details = [_text_json(row.method, text) for text in texts]
        return cls(
            id=str(row.id),
            explanationId=str(row.explanation_id),
            explanationScoreTypeName=row.method,
            explanationScoreModelName=row.model,
            value=_rounded(row.value),
            low=_rounded(row.low),
            high=_rounded(row.high),
            reason=row.reason,
            positives=row.positives,
            negatives=row.negatives,
            failed=row.failed,
            seed=row.seed,
            initiatedByUserId=row.author,
            jsonDetails=json.dumps(details, ensure_ascii=False),
            createdAt=row.created_at,
            profile=row.profile,
            templateVersion=row.template_version,
            parameters=row.parameters,
            promptTokens=row.prompt_tokens,
            completionTokens=row.completion_tokens,
            cost=row.cost,
        )


def _text_json(method: str, text: ScoredText) -> dict[str, Any]:
    """A text of the breakdown, with the field names of published clients."""
    known = METHODS.get(method)
    answer = _rounded(text.answer)
    if method == EMBEDDING or (known and known.of_output):
        return {"text": "".join(text.tokens), "distance": text.distance, "similarity": answer}
    is_binary = known is None or known.is_binary
    prediction = None if answer is None or not is_binary else answer >= 0.5
    fields: dict[str, Any] = {
        "text": "".join(text.tokens),
        "str_tokens": text.tokens,
        "activations": text.values,
        "distance": text.distance,
        "ground_truth": text.active,
        "prediction": prediction,
        "probability": answer,
        "correct": None if prediction is None else prediction == text.active,
        "highlighted": bool(text.marked),
    }
    return fields | {name: value for name, value in text.detail.items() if name != "text"}


def _rounded(number: float | None) -> float | None:
    """Four decimals: the database has 32 bits of each number, which JSON would show as 17 digits."""
    return None if number is None else round(number, 4)


MAX_ID = 2**63 - 1
ScoreId = Annotated[int, Path(alias="scoreId", ge=1, le=MAX_ID, examples=[1], description="id of the score")]


class ScoreRequest(BaseModel):
    """An explanation, the method, and the language model that judges."""

    model_config = ConfigDict(json_schema_extra=examples.SCORE, hide_input_in_errors=True)

    explanationId: Annotated[int, BeforeValidator(check_number)] = Field(
        ge=1, le=MAX_ID, description="id of the explanation; a number, or a string of digits"
    )
    scorerType: str = Field(EMBEDDING, max_length=60, description=f"method: one of {', '.join(METHODS)}")
    scorerModel: str | None = Field(
        None,
        max_length=200,
        description="the language model as its provider names it; null or empty: the profile's default",
    )
    profile: str | None = Field(
        None,
        max_length=40,
        description="provider, by its name on the autointerp server; null or empty: the default one",
    )
    apiKey: SecretStr | None = Field(
        None,
        max_length=500,
        description="your own key for the profile: it is sent to that provider only, and not stored; null or empty: "
        "the key that you stored for the profile, or else the server's",
    )
    nearMisses: bool = Field(
        False,
        description="whether half of the texts on which the feature is not active are examples of similar features",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="of every random choice")
    attempt: int = Field(
        0, ge=0, le=1_000_000, description="another number asks the language model again for what is stored"
    )
    stream: bool = Field(False, description="respond with server-sent events; the last one is the score")
    streamSteps: bool = Field(False, description="with stream: also send an event after each step")

    @model_validator(mode="after")
    def _steps_are_streamed(self) -> Self:
        if self.streamSteps and not self.stream:
            raise ValueError("streamSteps is about a stream: set stream to true as well")
        return self


class ScoreStep(BaseModel):
    """How far a score is."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    stage: Literal["texts", "model"]
    """texts: the model is run to find or generate texts; model: the language model is asked"""
    finished: int
    """texts that were found, or requests that were answered or failed"""
    total: int
    """of how many"""
    cost: float | None = None
    """US dollars paid so far; null where nothing is known"""


class ScoreGenerated(BaseModel):
    """The new score."""

    score: ScoreBody = Field(description="the new score")


class ScoreDeleted(BaseModel):
    """Confirmation of a deletion."""

    message: str = Field(description="the result of the request")
