"""The text of conversations: its length before it is rendered, and its rendering. For the tokenizer's thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memicos_inference.chat_template.schemas import TemplateMessage
from memicos_inference.loaded_model import LoadedModel


def count_characters(value: Any, limit: int) -> int:
    """About the number of characters of a JSON value as text; counting ends once it is larger than `limit`."""
    count, remaining = 0, [value]
    while remaining and count <= limit:
        item = remaining.pop()
        # an integer may have thousands of digits
        count += item.bit_length() // 4 + 1 if isinstance(item, int) else len(item) if isinstance(item, str) else 1
        if isinstance(item, Mapping):
            remaining += [*item.keys(), *item.values()]
        elif isinstance(item, Sequence) and not isinstance(item, str):
            remaining += item
    return count


def conversation_characters(
    loaded: LoadedModel, messages: Sequence[TemplateMessage], options: Mapping[str, Any]
) -> int:
    """Number of characters that a conversation and the variables of its chat template have, for `check_characters`.

    Raises:
        BadInput: the conversation has more messages than a prompt may have tokens.
    """
    loaded.check_message_count(len(messages))
    limit = loaded.max_text_characters
    # roles and channels are rendered, too
    content = sum(len(message.content) + len(message.role) + len(message.channel or "") for message in messages)
    return content + (count_characters(options, limit) if options else 0)
