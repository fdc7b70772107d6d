"""JSON of `/v1/explain`: the field names of Neuronpedia's clients, and a few of our own."""

from typing import Annotated, Self

from memicos_service.validation import Text
from pydantic import BaseModel, ConfigDict, Field, model_validator

from memicos_autointerp.providers.schemas import ProviderFields


class Activation(BaseModel):
    """A text as its tokens, with the feature's activation on each."""

    tokens: list[Text] = Field(min_length=1, description="the text, split into tokens, with their spaces")
    values: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(
        description="the activation on each token: as many as tokens"
    )

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens, but {len(self.values)} values")
        return self


class ExplainRequest(ProviderFields):
    """Top-activating texts of a feature, strongest first. At least one value is above 0."""

    activations: list[Activation] = Field(
        min_length=1, description="the texts; at most AUTOINTERP_MAX_ACTIVATIONS of them, 64 by default"
    )

    @model_validator(mode="after")
    def _is_active(self) -> Self:
        if not any(value > 0 for activation in self.activations for value in activation.values):
            raise ValueError("no value in activations is above 0: there is nothing to explain")
        return self


class Usage(BaseModel):
    """Tokens as the provider counted them."""

    prompt_tokens: int = Field(description="tokens of the prompt")
    completion_tokens: int = Field(description="tokens that the model generated, hidden reasoning included")


class ExplainResponse(BaseModel):
    """The explanation, its method and its model."""

    model_config = ConfigDict(protected_namespaces=())

    explanation: str = Field(description="a phrase that says what the feature detects")
    method: str = Field(description="explanation method: highlighted-tokens")
    model: str = Field(description="model that wrote it, as its provider names it")
    usage: Usage | None = Field(None, description="tokens of the call; null where the provider does not count them")


class HealthResponse(BaseModel):
    """State of the server."""

    status: str = Field(description="always healthy")
    model: str = Field(description="explainer model for requests that name none")
    models: list[str] = Field(description="explainer models for requests without a key of their own")
    has_key: bool = Field(
        description="whether the server has a key of its own; without one, each request must send one"
    )
