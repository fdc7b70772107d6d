"""Request and response models of `/v1/apply-chat-template`."""

from typing import Any, Literal

from memicos_service.validation import Text
from pydantic import Field

from memicos_inference.http.api_model import ApiModel


class TemplateMessage(ApiModel):
    """A message of a conversation."""

    role: Text = Field(min_length=1, description="Role of the author, for example system, user or assistant.")
    content: Text = Field(description="Text of the message.")
    channel: Text | None = Field(
        None, description="Channel of the message, for templates that have channels, such as that of gpt-oss."
    )


class TemplateRequest(ApiModel):
    """A conversation to render."""

    messages: list[TemplateMessage] = Field(min_length=1, description="Messages of the conversation, oldest first.")
    model: Text | None = Field(None, description="Id of the model; null: the model that the server runs.")
    add_generation_prompt: bool = Field(True, description="Whether to open the assistant's turn at the end.")
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Variables of the model's chat template by name, for example enable_thinking."
    )


class TemplateSpan(ApiModel):
    """Message and section of a token. A token that crosses a boundary belongs where most of its characters are."""

    position: int = Field(description="Position of the token in `tokens`, from 0.")
    token_id: int = Field(description="Vocabulary id of the token.")
    token_str: str = Field(
        description="What the token adds to the text; empty if a later token completes its character."
    )
    message_index: int | None = Field(
        description="Index of the message in the request's `messages`, from 0; null for `scaffold`."
    )
    role: str | None = Field(description="Role of the message; null for `scaffold`.")
    channel: str | None = Field(description="Channel of the message; null if it has none, and for `scaffold`.")
    section: Literal["header", "content", "footer", "scaffold"] = Field(
        description="Part of the message: `header` before its content, `content`, `footer` after it. `scaffold`: part "
        "of no message, that is BOS, a system message added by the template, or the opened assistant's turn. A special "
        "token within a content counts as content."
    )


class TemplateResponse(ApiModel):
    """The rendered conversation and its tokens."""

    prompt: str = Field(description="The conversation as rendered by the chat template, special tokens included.")
    tokens: list[int] = Field(
        description="Vocabulary id of each token of `prompt`; BOS only if the template writes it."
    )
    spans: list[TemplateSpan] = Field(description="Message and section of each token, one entry per token.")
    template: Literal["model", "chatml"] = Field(
        description="Template used: the model's own (`model`), or ChatML if the model has none (`chatml`)."
    )
