"""The wire of `/v1/explain`: the field names that published clients send, and a few of our own."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memicos_autointerp.settings import Key


class Activation(BaseModel):
    """A text as its tokens, and the feature's value on each."""

    tokens: list[str] = Field(min_length=1)
    values: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(description="as many as tokens")

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens, but {len(self.values)} values")
        return self


class ExplainRequest(BaseModel):
    """Texts that a feature fires on, strongest first. At least one value is above 0."""

    model_config = ConfigDict(hide_input_in_errors=True, protected_namespaces=())

    activations: list[Activation] = Field(min_length=1, description="at most AUTOINTERP_MAX_ACTIVATIONS, 64 unless set")
    model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="as its endpoint names it; null: the server's choice",
    )
    openrouter_key: Key = Field(
        None, description="the caller's key for OpenRouter, and sent only there; empty is the same as null"
    )
    api_key: Key = Field(
        None, description="the caller's key for base_url, or for the server's own endpoint where that is null"
    )
    base_url: str | None = Field(
        None,
        max_length=500,
        description="another endpoint that this server allows; needs api_key and model",
    )

    @model_validator(mode="after")
    def _fires(self) -> Self:
        if not any(value > 0 for activation in self.activations for value in activation.values):
            raise ValueError("no value in activations is above 0: there is nothing to explain")
        return self


class Usage(BaseModel):
    """Tokens that the provider counted."""

    prompt_tokens: int
    completion_tokens: int


class ExplainResponse(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    explanation: str
    method: str = Field(description="how it was made: highlighted-tokens")
    model: str = Field(description="the model that wrote it, as its provider names it")
    usage: Usage | None = Field(None, description="null where the provider does not count")


class HealthResponse(BaseModel):
    status: str = Field(description="healthy")
    model: str = Field(description="the model that explains where a request names none")
    has_key: bool = Field(description="whether the server has a key; without one, requests bring theirs")
