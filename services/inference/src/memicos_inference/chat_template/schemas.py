"""The wire of `/v1/apply-chat-template`."""

from typing import Any, Literal

from pydantic import Field

from memicos_inference.http.api_model import ApiModel, Text


class TemplateMessage(ApiModel):
    role: Text = Field(min_length=1)
    content: Text
    channel: Text | None = Field(None, description="for templates that have channels, as gpt-oss' has")


class TemplateRequest(ApiModel):
    messages: list[TemplateMessage] = Field(min_length=1)
    model: Text | None = Field(None, description="null: the one that there is")
    add_generation_prompt: bool = Field(True, description="open the assistant's turn at the end")
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="variables of the model's template, for example enable_thinking"
    )


class TemplateSpan(ApiModel):
    """What a token is. One that reaches over a border is what most of its characters are."""

    position: int
    token_id: int
    token_str: str
    message_index: int | None = Field(description="place in `messages`; null in a scaffold")
    role: str | None
    channel: str | None
    section: Literal["header", "content", "footer", "scaffold"] = Field(
        description="scaffold: what belongs to no message: a BOS, a system message that the template adds, and the "
        "assistant's turn where it is opened. A special token in a content is content"
    )


class TemplateResponse(ApiModel):
    prompt: str
    tokens: list[int] = Field(description="token ids; no BOS beside the template's own")
    spans: list[TemplateSpan] = Field(description="one a token")
    template: Literal["model", "chatml"] = Field(description="chatml: the model has no template")
