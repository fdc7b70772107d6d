"""What a request has the model run on: texts, or a conversation in the model's chat template."""

from dataclasses import dataclass
from typing import Any, Literal

from memicos_inference_client.models import TemplateMessage
from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp.errors import BadInput
from memicos_webapp.settings import Settings

Role = Literal["user", "assistant", "system", "model", "developer"]


class ChatMessage(BaseModel):
    """A message of a conversation."""

    role: Role = Field(description="author of the message")
    content: str = Field(description="text of the message, without special tokens")


@dataclass(frozen=True)
class Prompt:
    """A text or, where `messages` are given, a conversation.

    `prepend_bos`: whether BOS is put before a prompt that does not begin with it; None: a text as the source was
    trained, a conversation as the chat template writes it. `add_generation_prompt`: whether a conversation ends with
    the opening of the assistant's turn.
    """

    text: str = ""
    messages: tuple[ChatMessage, ...] = ()
    prepend_bos: bool | None = None
    add_generation_prompt: bool = True

    @property
    def characters(self) -> int:
        """Number of characters of the text, or of all messages."""
        return len(self.text) + sum(len(message.role) + len(message.content) for message in self.messages)

    def fields(self) -> dict[str, Any]:
        """Fields of a request to inference that takes one prompt."""
        if self.messages:
            return {"messages": self._turns(), **self._options()}
        return {"prompt": self.text, **self._options()}

    def batch_fields(self) -> dict[str, Any]:
        """Fields of a request to inference that takes several prompts."""
        if self.messages:
            return {"messages": [self._turns()], **self._options()}
        return {"prompts": [self.text], **self._options()}

    def _turns(self) -> list[TemplateMessage]:
        return [TemplateMessage(role=message.role, content=message.content) for message in self.messages]

    def _options(self) -> dict[str, Any]:
        """Settings that differ from inference's defaults."""
        options: dict[str, Any] = {} if self.prepend_bos is None else {"prepend_bos": self.prepend_bos}
        if not self.add_generation_prompt:
            options["add_generation_prompt"] = False
        return options


class PromptFields(BaseModel):
    """Fields of API requests that run a text or a conversation."""

    model_config = ConfigDict(populate_by_name=True)

    messages: list[ChatMessage] | None = Field(
        None,
        min_length=1,
        description="a conversation in place of a text, oldest message first; it is rendered with the model's chat "
        "template, and refused for a model without one",
    )
    add_generation_prompt: bool = Field(
        True, alias="addGenerationPrompt", description="with messages: open the assistant's turn at the end"
    )
    prepend_bos: bool | None = Field(
        None,
        alias="prependBos",
        description="put BOS before a prompt that does not begin with it; null: a text as the source was trained, a "
        "conversation as the chat template writes it",
    )


def prompts_of(settings: Settings, body: PromptFields, text: str | list[str] | None, name: str) -> list[Prompt]:
    """The prompts of a request: its conversation, or one for each of its texts, which are the field `name`.

    Raises:
        BadInput: There is not exactly one of text and conversation, there are too many texts, or one is empty.
    """
    if (text is None) == (body.messages is None):
        given = "neither" if text is None else "both"
        raise BadInput(f"Exactly one of {name} and messages is required; the request has {given}.")
    if body.messages is not None:
        return [Prompt("", tuple(body.messages), body.prepend_bos, body.add_generation_prompt)]
    texts = check_texts(settings, [] if text is None else text)
    return [Prompt(item, prepend_bos=body.prepend_bos) for item in texts]


def check_texts(settings: Settings, text: str | list[str]) -> list[str]:
    """The texts of a request that takes one or a list.

    Raises:
        BadInput: There is none, there are too many, or one is empty.
    """
    texts = [text] if isinstance(text, str) else text
    if not 0 < len(texts) <= settings.texts_at_once:
        raise BadInput(f"{len(texts)} texts were sent; 1 to {settings.texts_at_once} are taken at once.")
    if not all(texts):
        raise BadInput("A text is empty: there is nothing to run.")
    return texts
