"""Render conversations with the model's chat template."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.language_model import TEMPLATE_ERRORS, LanguageModel

_RESERVED_OPTIONS = {"messages", *inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters} - {
    "tools",
    "documents",
    "kwargs",
}
"""Arguments of apply_chat_template that this module sets; they are not variables of a template."""


def chat_token_ids(model: LanguageModel, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of `messages` (each with role and content), with the assistant's turn opened.

    Messages are rendered with the tokenizer's chat template, or as ChatML if it has none, and tokenized without adding
    special tokens.

    Raises:
        InvalidRequestError: the template rejects these messages; the message has the template's reason.
    """
    return model.token_ids(render_chat(model, messages), prepend_bos=False)


def render_chat(
    model: LanguageModel,
    messages: Sequence[Mapping[str, str]],
    add_generation_prompt: bool = True,
    options: Mapping[str, Any] | None = None,
) -> str:
    """The text of `messages`; with `add_generation_prompt`, followed by the opening of the assistant's turn.

    `options` are the template's own variables, such as `enable_thinking`.

    Raises:
        InvalidRequestError: the template rejects these messages or options, or there are options and no template.
    """
    options = options or {}
    if not model.has_chat_template:
        if options:
            raise InvalidRequestError("This model has no chat template. ChatML is used instead, which has no options.")
        turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages)
        return f"{turns}<|im_start|>assistant\n" if add_generation_prompt else turns
    if reserved := sorted(_RESERVED_OPTIONS & options.keys()):
        raise InvalidRequestError(f"'{reserved[0]}' is not an option of a chat template.")
    try:
        text = model.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **options,
        )
        assert isinstance(text, str)
        text.encode()  # options may contain an unpaired surrogate
    except TEMPLATE_ERRORS as error:
        raise InvalidRequestError(f"The model's chat template rejects these messages: {error}") from error
    return text
