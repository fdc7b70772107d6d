"""JSON of `/v1/explain`: the field names of Neuronpedia's clients, and a few of our own."""

from typing import Annotated, Any, Self

from memicos_autointerp_core.explainers.interface import ActivatingText
from memicos_autointerp_core.explainers.registry import DEFAULT_EXPLAINER, EXPLAINERS
from memicos_service.validation import Text
from pydantic import BaseModel, ConfigDict, Field, model_validator

from memicos_autointerp.providers.schemas import ProviderFields


class Activation(BaseModel):
    """A text as its tokens, with the feature's activation on each."""

    tokens: list[Text] = Field(min_length=1, description="the text, split into tokens, with their spaces")
    values: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(
        description="the activation on each token: as many as tokens"
    )

    dfa_values: list[Annotated[float, Field(allow_inf_nan=False)]] | None = Field(
        None,
        description="for features of attention layers: the contribution of each token to the activation on the token "
        "dfa_target_index; as many as tokens",
    )
    dfa_target_index: int | None = Field(None, ge=0, description="position of the token that dfa_values belong to")

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        # the explainers' own type checks the lengths
        ActivatingText(self.tokens, self.values, self.dfa_values, self.dfa_target_index)
        return self


class ExplainRequest(ProviderFields):
    """Top-activating texts of a feature, strongest first. At least one value is above 0."""

    activations: list[Activation] = Field(
        min_length=1, description="the texts; at most AUTOINTERP_MAX_ACTIVATIONS of them, 64 by default"
    )

    explainer: Text | None = Field(
        None,
        min_length=1,
        max_length=60,
        description=f"method: one of {', '.join(EXPLAINERS)}; null: {DEFAULT_EXPLAINER}",
    )
    top_logits: list[Text] = Field(
        [], max_length=100, description="the tokens whose logits the feature raises most, for explainers that use them"
    )
    negatives: list[Activation] = Field(
        [],
        description="contrastive texts: examples of similar features, on which this one is silent. They count as "
        "activations in the limit",
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
    method: str = Field(description="explanation method: name of the explainer")
    template_version: int = Field(description="version of the explainer's prompt template")
    model: str = Field(description="model that wrote it, as its provider names it")
    profile: str = Field(description="provider by its name on this server; `request` for another base_url")
    parameters: dict[str, Any] = Field(
        description="what shaped prompt and answer: number of texts and negatives, highlight_share, max_tokens, "
        "temperature"
    )
    cost: float | None = Field(None, description="US dollars, by the profile's prices; null where they are unknown")
    cached: bool = Field(description="whether the answer was stored before, so that nothing was paid")
    usage: Usage | None = Field(None, description="tokens of the call; null where the provider does not count them")


class ProfileState(BaseModel):
    """A provider of this server."""

    name: str = Field(description="name, for `profile` of requests")
    models: list[str] = Field(description="models for requests without a key of their own, the default one first")
    has_key: bool = Field(description="whether requests without a key of their own are answered")
    base_url: str | None = Field(
        description="where keys for it are sent; null where the server has a secret that the request does not send"
    )


class HealthResponse(BaseModel):
    """State of the server."""

    status: str = Field(description="always healthy")
    model: str = Field(description="explainer model for requests that name none")
    models: list[str] = Field(description="explainer models for requests without a key of their own")
    has_key: bool = Field(
        description="whether the server has a key of its own; without one, each request must send one"
    )
    explainers: list[str] = Field(description="methods of explaining, the default one first")
    profiles: list[ProfileState] = Field(description="the server's providers, the default one first")
