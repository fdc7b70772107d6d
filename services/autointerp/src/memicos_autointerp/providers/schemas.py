"""Fields of every request that calls a language model."""

from memicos_autointerp_core.providers.settings import Key
from memicos_service.validation import Text
from pydantic import BaseModel, ConfigDict, Field


class ProviderFields(BaseModel):
    """The language model and its provider, and the client's own key for it."""

    model_config = ConfigDict(hide_input_in_errors=True, protected_namespaces=())

    model: Text | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="model, as its endpoint names it; null: the profile's default. Without a key of the "
        "request one of the profile's models (AUTOINTERP_MODEL, AUTOINTERP_MODELS for the default profile)",
    )
    profile: Text | None = Field(
        None, min_length=1, max_length=40, description="provider by its name on this server; null: the default profile"
    )
    openrouter_key: Key = Field(
        None, description="the client's key for OpenRouter, sent only there; empty is the same as null"
    )
    api_key: Key = Field(
        None, description="the client's key for profile or base_url, or for the default profile where both are null"
    )
    base_url: Text | None = Field(
        None,
        max_length=500,
        description="another endpoint that this server allows; needs api_key and model. With profile: the only "
        "endpoint that api_key may be sent to, so that a profile with another one is refused",
    )
