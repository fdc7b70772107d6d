"""JSON of `/v1/score`: the field names of Neuronpedia's clients, and a few of our own."""

from typing import Annotated, Literal

from memicos_service.validation import Text
from pydantic import BaseModel, ConfigDict, Field

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

    score: float = Field(description="0 to 1; 0.5 is chance")
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
