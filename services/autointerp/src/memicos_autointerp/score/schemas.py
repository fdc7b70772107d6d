"""JSON of `/v1/score`: the field names of Neuronpedia's clients, and a few of our own."""

from typing import Annotated, Literal, Self

from memicos_autointerp_core.scorers.interface import NEAR_MISS, NOT_ACTIVE
from memicos_service.validation import Text
from pydantic import BaseModel, ConfigDict, Field, model_validator

from memicos_autointerp.explain.schemas import Activation, Usage
from memicos_autointerp.providers.schemas import ProviderFields

Explanation = Annotated[Text, Field(min_length=1, max_length=2000, description="the explanation to score")]
Seed = Annotated[
    int,
    Field(ge=0, le=2**63 - 1, description="of the order of the texts, of random marks and of the bootstrap"),
]
Activations = Annotated[
    list[Activation],
    Field(
        min_length=1,
        description="texts on which the feature is active (a value is above 0), and texts on which it is not; at least "
        "5 of each, and at most AUTOINTERP_MAX_ACTIVATIONS in all",
    ),
]


class ScoreEmbeddingRequest(BaseModel):
    activations: Activations
    explanation: Explanation
    seed: Seed = 0


class ScoreFuzzDetectionRequest(ProviderFields):
    activations: Activations
    explanation: Explanation
    type: Literal["FUZZ", "DETECTION"] = Field(
        description="FUZZ: whether the marked tokens fit the explanation; DETECTION: whether the text has what it names"
    )
    seed: Seed = 0


class ScoreResponse(BaseModel):
    """A score with its bootstrap interval and what it was computed from."""

    model_config = ConfigDict(protected_namespaces=())

    score: float = Field(description="0 to 1, 0.5 is chance; for simulation -1 to 1, 0 is chance")
    low: float = Field(description="lower end of the 95% bootstrap interval")
    high: float = Field(description="upper end of the 95% bootstrap interval")
    statistic: str = Field(description="what the number is, such as balanced accuracy")
    method: str = Field(description="name of the scorer")
    model: str = Field(description="language model or embedder that answered")
    seed: int = Field(description="seed of the request")
    positives: int = Field(description="texts with an answer on which the feature is active")
    negatives: int = Field(description="texts with an answer on which it is not")
    failures: dict[str, int] = Field(description="texts without an answer, which do not count, by cause")


class EmbeddedText(BaseModel):
    """A text with its similarity to the explanation."""

    index: int = Field(description="number of the text in the request, from 0")
    text: str = Field(description="the text")
    distance: int = Field(description="1: the feature is active; -1: it is not")
    similarity: float = Field(description="cosine similarity of the embeddings of text and explanation, -1 to 1")


class ScoreEmbeddingResponse(ScoreResponse):
    breakdown: list[EmbeddedText] = Field(description="every text, in the order of the request")


class ClassifiedText(BaseModel):
    """A text with the language model's answer."""

    index: int = Field(description="number of the text in the request, from 0")
    str_tokens: list[str] = Field(description="the text as tokens")
    activations: list[float] = Field(description="the feature's activation on each token")
    distance: int = Field(description="1: the feature is active; -1: it is not")
    ground_truth: bool = Field(description="what the right answer is")
    prediction: bool | None = Field(description="the answer; null where there is none")
    highlighted: bool = Field(description="whether tokens were marked")
    marked: list[int] = Field(description="positions of the marked tokens")
    probability: float | None = Field(description="of the answer yes: 0 or 1; null where there is no answer")
    correct: bool | None = Field(description="whether prediction is ground_truth; null where there is no answer")
    failure: str | None = Field(description="why there is no answer: a cause of errors")


class ScoreFuzzDetectionResponse(ScoreResponse):
    breakdown: list[ClassifiedText] = Field(description="every text, in the order of the request")
    profile: str = Field(description="provider by its name on this server; `request` for another base_url")
    usage: Usage | None = Field(description="tokens of all calls; null where the provider does not count them")
    cost: float | None = Field(description="US dollars paid, by the profile's prices; null where they are unknown")


DISTANCE = (
    "1 for the strongest examples, 2 and above for intervals of activations from strong to weak, -1 for a text on "
    "which the feature is not active, -2 for one on which a similar feature is"
)


class TextToScore(Activation):
    """A text as its tokens, with the feature's activation on each, and where it comes from."""

    distance: int | None = Field(
        None, ge=NEAR_MISS, le=1000, description=f"{DISTANCE}; null: 1 or -1, by whether a value is above 0"
    )

    @model_validator(mode="after")
    def _distance_fits(self) -> Self:
        if self.distance is not None and (self.distance > 0) != (max(self.values) > 0):
            raise ValueError(f"distance {self.distance} contradicts the largest value, {max(self.values):g}")
        if self.distance == 0:
            raise ValueError("distance is not 0")
        return self

    @property
    def known_distance(self) -> int:
        return self.distance or (1 if max(self.values) > 0 else NOT_ACTIVE)


ScoreMethod = Literal["eleuther_embedding", "eleuther_fuzz", "eleuther_recall", "recall_alt", "simulation"]


class ScoreExplanationRequest(ProviderFields):
    activations: list[TextToScore] = Field(
        min_length=1,
        description="texts on which the feature is active (a value is above 0), and texts on which it is not; at least "
        "5 of each, and at most AUTOINTERP_MAX_ACTIVATIONS in all",
    )
    explanation: Explanation
    method: ScoreMethod = Field(description="scorer; eleuther_embedding needs no key")
    seed: Seed = 0
    attempt: int = Field(
        0, ge=0, le=1_000_000, description="another number asks the language model again for what is stored"
    )
    stream: bool = Field(False, description="respond with server-sent events; the last one is the score")
    stream_steps: bool = Field(False, description="with `stream`: also send an event after each request to the model")


class BreakdownText(BaseModel):
    """A text with the answer about it."""

    index: int = Field(description="number of the text in the request, from 0")
    distance: int = Field(description=DISTANCE)
    ground_truth: bool = Field(description="what the right answer is: whether the feature is active")
    prediction: bool | None = Field(description="the answer; null where there is none, or it is not yes or no")
    probability: float | None = Field(
        description="of the answer yes: 0 or 1; for eleuther_embedding the cosine similarity, -1 to 1; for simulation "
        "the largest expected activation, 0 to 1; null where there is no answer"
    )
    correct: bool | None = Field(description="whether prediction is ground_truth; null where there is no prediction")
    marked: list[int] = Field(description="positions of the tokens that were marked in the text, for eleuther_fuzz")
    expected: list[float] | None = Field(
        description="for simulation the expected activation of each token, 0 to 9; null for others, and without answer"
    )
    failure: str | None = Field(description="why there is no answer: a cause of errors")


class ScoreExplanationResponse(ScoreResponse):
    """A score by any method."""

    chance: float = Field(description="score of an explanation that tells nothing: 0.5, or 0 for simulation")
    breakdown: list[BreakdownText] = Field(description="every text, in the order of the request")
    profile: str | None = Field(
        description="provider by its name on this server; `request` for another base_url; null without a provider"
    )
    template_version: int | None = Field(description="version of the method's prompt; null without a provider")
    usage: Usage | None = Field(description="tokens of all calls; null where the provider does not count them")
    cost: float | None = Field(description="US dollars paid, by the profile's prices; null where they are unknown")


class ScoreProgress(BaseModel):
    """How far a score is."""

    finished: int = Field(description="requests to the language model that were answered or failed")
    requests: int = Field(description="requests in all")
    cost: float | None = Field(description="US dollars paid so far; null where the price is unknown")


class ScoreOutputRequest(BaseModel):
    explanation: Explanation
    kind: Literal["TEXTS", "TOKENS"] = Field(
        description="TEXTS: steered texts and texts without steering; TOKENS: tokens that the feature raises and "
        "tokens that other features raise"
    )
    raised: list[Text] = Field(
        min_length=1, description="steered texts, or tokens whose logits the feature raises; at least 5"
    )
    others: list[Text] = Field(
        min_length=1, description="texts without steering, or tokens that other features raise; at least 5"
    )
    seed: Seed = 0


class OutputText(BaseModel):
    """A text or token with its similarity to the explanation."""

    index: int = Field(description="number of the text in its list, from 0")
    raised: bool = Field(description="whether it is one of `raised`")
    text: str = Field(description="the text")
    similarity: float = Field(description="cosine similarity of the embeddings of text and explanation, -1 to 1")


class ScoreOutputResponse(ScoreResponse):
    """How well the explanation names what the feature does to the output; `positives` counts the texts of `raised`."""

    breakdown: list[OutputText] = Field(description="every text, those of `raised` first")
