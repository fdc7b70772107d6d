"""Conversations as the model reads them."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.language_model import LanguageModel

_RESERVED_OPTIONS = {"messages", *inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters} - {
    "tools",
    "documents",
    "kwargs",
}
"""Names that are no variables of a template but ours to set."""

_TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What running a template on values that it doesn't expect comes to."""


def chat_token_ids(model: LanguageModel, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of `messages` (each with role and content) up to where the assistant's turn begins.

    They are written with the tokenizer's chat template, as ChatML where it has none, and cut into tokens without
    further special ones.

    Raises:
        InvalidRequestError: the template does not take these messages, in its own words.
    """
    return model.token_ids(render_chat(model, messages), prepend_bos=False)


def render_chat(
    model: LanguageModel,
    messages: Sequence[Mapping[str, str]],
    add_generation_prompt: bool = True,
    options: Mapping[str, Any] | None = None,
) -> str:
    """The text of `messages`, with what opens the assistant's turn behind it where wanted.

    `options` are variables of the template's own, such as `enable_thinking`.

    Raises:
        InvalidRequestError: the template does not take these messages or options, or there is none for options.
    """
    options = options or {}
    if not model.has_chat_template:
        if options:
            raise InvalidRequestError(
                "This model has no chat template, and ChatML, which is used instead, has no options."
            )
        turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages)
        return f"{turns}<|im_start|>assistant\n" if add_generation_prompt else turns
    if reserved := sorted(_RESERVED_OPTIONS & options.keys()):
        raise InvalidRequestError(f"'{reserved[0]}' is not an option of a chat template.")
    try:
        found = model.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **options,
        )
        assert isinstance(found, str)
        found.encode()  # options may bring half of a surrogate pair
    except _TEMPLATE_ERRORS as error:
        raise InvalidRequestError(f"The model's chat template does not take these messages: {error}") from error
    return found
