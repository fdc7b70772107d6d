"""The user's own prompt: a text, or a conversation in the model's chat template."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memicos_client.models.chat_message_role import CHAT_MESSAGE_ROLE_VALUES

from memicos_pipeline.recompute.errors import RecomputeError, in_a_line

MODEL_ROLES = ("assistant", "model")
"""Names of the model's own role in chat templates."""


@dataclass(frozen=True)
class OwnPrompt:
    """A text or, where `messages` are given, a conversation; each message has `role` and `content`.

    `prepend_bos`: whether BOS is put before a prompt that does not begin with it; None: a text as the source was
    trained, a conversation as the chat template writes it.
    """

    text: str = ""
    messages: tuple[dict[str, str], ...] = ()
    prepend_bos: bool | None = None

    @property
    def add_generation_prompt(self) -> bool:
        """Whether the assistant's turn is opened at the end: as on pages, after a message that is not its own."""
        return self.messages[-1]["role"] not in MODEL_ROLES


def read_messages(value: str) -> tuple[dict[str, str], ...]:
    """The messages of a conversation: a JSON list of objects with `role` and `content`, or the path of such a file.

    Raises:
        RecomputeError: there is no such file, or it is no such list.
    """
    source = "--messages"
    if not value.lstrip().startswith(("[", "{")):
        source = value
        try:
            value = Path(value).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise RecomputeError(
                f"--messages: {source} is neither JSON nor a readable file: {in_a_line(error)}"
            ) from error
    try:
        messages = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise RecomputeError(f"{source} is not JSON: {in_a_line(error)}") from error
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise RecomputeError(
            f'{source} is no conversation: it has to be a list such as [{{"role": "user", "content": "Hello"}}], with '
            "the texts role and content in each message and nothing else"
        )
    roles = {message["role"] for message in messages}
    if unknown := sorted(roles - CHAT_MESSAGE_ROLE_VALUES):
        known = ", ".join(sorted(CHAT_MESSAGE_ROLE_VALUES))
        raise RecomputeError(f"{source}: the role {unknown[0]!r} is not known; it is one of {known}")
    return tuple(messages)


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"role", "content"}
        and all(isinstance(text, str) for text in value.values())
    )
