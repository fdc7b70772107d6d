"""Fields of requests that run prompts: a text or a conversation, and BOS."""

from typing import Annotated, Any

from memicos_service.validation import Text
from pydantic import Field

from memicos_inference.chat_template.schemas import TemplateMessage
from memicos_inference.http.api_model import ApiModel

MESSAGES = "rendered with the model's chat template. A model without one refuses it."


Conversation = Annotated[list[TemplateMessage], Field(min_length=1)]


class PromptOptions(ApiModel):
    """How prompts become tokens."""

    prepend_bos: bool | None = Field(
        None,
        description="Whether to prepend BOS to a prompt that does not begin with it; null: a text as the source was "
        "trained (a vector, or no source: as the tokenizer does), a conversation as the chat template writes it.",
    )
    add_generation_prompt: bool = Field(
        True, description="With `messages`: whether to open the assistant's turn at the end."
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="With `messages`: variables of the model's chat template by name, for example enable_thinking.",
    )


class PromptFields(PromptOptions):
    """A text or a conversation: exactly one of `prompt` and `messages`."""

    prompt: Text | None = Field(
        None,
        description="Text to run the model on. BOS is not prepended to a text that begins with it. Not together with "
        "`messages`.",
    )
    messages: list[TemplateMessage] | None = Field(
        None,
        min_length=1,
        description=f"Conversation to run the model on, oldest message first, {MESSAGES} Not together with `prompt`.",
    )


class PromptBatchFields(PromptOptions):
    """Texts or conversations: exactly one of `prompts` and `messages`."""

    prompts: list[Text] | None = Field(
        None,
        description="Texts to run the model on, at most `max_prompts` in the capabilities' limits; each gets the "
        "result it would get alone, up to rounding. Not together with `messages`.",
    )
    messages: list[Conversation] | None = Field(
        None,
        description=f"Conversations to run the model on, as many as `prompts` may have, each {MESSAGES} Not together "
        "with `prompts`.",
    )
