"""The prompt in a page's form and address: a text or a conversation.

A conversation is `input=chat` with `role` and `content` once for each message, as a form sends them.
"""

from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel

from memicos_webapp.errors import BadInput
from memicos_webapp.inference.prompts import ChatMessage, Prompt, Role

CHAT = "chat"
"""Value of `input` where a page runs a conversation."""
ROLES: tuple[tuple[Role, str], ...] = (("user", "User"), ("assistant", "Assistant"), ("system", "System"))
"""Roles to choose from, with their names on pages."""


class PromptForm(BaseModel, frozen=True):
    """What a page's form has. `chat`: its conversation is run, else its text. `problem`: what is wrong with it."""

    text: str = ""
    messages: tuple[ChatMessage, ...] = ()
    chat: bool = False
    problem: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.messages if self.chat else self.text)

    def prompt(self) -> Prompt:
        """What the model is run on. The assistant's turn is opened after a message that is not the assistant's.

        Raises:
            BadInput: the text or the conversation is empty or wrong.
        """
        if self.problem:
            raise BadInput(self.problem)
        if self.is_empty:
            raise BadInput(
                "The conversation is empty: write at least one message."
                if self.chat
                else "A text is empty: there is nothing to run."
            )
        if not self.chat:
            return Prompt(self.text)
        return Prompt(
            messages=self.messages, add_generation_prompt=self.messages[-1].role not in ("assistant", "model")
        )

    def pairs(self, text_name: str) -> list[tuple[str, str]]:
        """Names and values for an address; the text is the parameter `text_name`."""
        if not self.chat:
            return [(text_name, self.text)]
        turns = [pair for turn in self.messages for pair in (("role", turn.role), ("content", turn.content))]
        return [("input", CHAT), *turns]

    def fields(self) -> dict[str, str | list[str]]:
        """Fields of the form, for a script that sends it again."""
        if not self.chat:
            return {"text": self.text}
        return {
            "input": CHAT,
            "role": [turn.role for turn in self.messages],
            "content": [turn.content for turn in self.messages],
        }


def read_form(text: str, kind: str, roles: Sequence[str], contents: Sequence[str]) -> PromptForm:
    """The prompt of a form or an address. Empty messages at the end, such as one to be written, are left out."""
    if kind != CHAT:
        return PromptForm(text=text)
    if len(roles) != len(contents):
        return PromptForm(
            text=text, chat=True, problem=f"The conversation has {len(roles)} roles and {len(contents)} contents."
        )
    turns = list(zip(roles, contents, strict=True))
    while turns and not turns[-1][1].strip():
        turns.pop()
    known = get_args(Role)
    if unknown := [role for role, _ in turns if role not in known]:
        problem = f"role: “{unknown[0]}” is not known; it is one of {', '.join(known)}."
        return PromptForm(text=text, chat=True, problem=problem)
    messages = tuple(ChatMessage.model_validate({"role": role, "content": content}) for role, content in turns)
    return PromptForm(text=text, messages=messages, chat=True)
