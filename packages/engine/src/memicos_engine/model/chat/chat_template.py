"""Render conversations with the model's chat template."""

import inspect
from collections.abc import Callable, Mapping, Sequence
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


CHATML_END = "<|im_end|>\n"
"""End of a turn in ChatML, which models without a chat template use."""
ASSISTANT_ROLES = ("assistant", "model")
"""Names of the model's own role in chat templates."""


def chat_token_ids(
    model: LanguageModel,
    messages: Sequence[Mapping[str, str]],
    continue_final_message: bool = False,
    check_text: Callable[[str], None] = lambda text: None,
) -> list[int]:
    """Token ids of `messages` (each with role and content), with the assistant's turn opened.

    With `continue_final_message` the text ends with the content of the last message, the assistant's, instead.
    Messages are rendered with the tokenizer's chat template, or as ChatML if it has none, and tokenized without adding
    special tokens. `check_text` is called with the text before it is tokenized.

    Raises:
        InvalidRequestError: the template rejects these messages; the message has the template's reason. Or the last
            message cannot be continued.
    """
    text = render_unfinished_chat(model, messages) if continue_final_message else render_chat(model, messages)
    check_text(text)
    return model.text_ids(text)


def render_unfinished_chat(model: LanguageModel, messages: Sequence[Mapping[str, str]]) -> str:
    """The text of `messages` up to the end of the last content, for the model to continue.

    Raises:
        InvalidRequestError: as `render_chat`; or the last message is not the assistant's or is empty, or the template
            changes its content, so that its end cannot be found.
    """
    last = messages[-1]
    if last["role"] not in ASSISTANT_ROLES:
        raise InvalidRequestError(
            f"continue_final_message continues a message of the assistant; the last one is of {last['role']!r}."
        )
    if not last["content"].strip():
        raise InvalidRequestError(
            "continue_final_message: the last message is empty. Leave it out to have the assistant's turn opened."
        )
    if not model.has_chat_template:
        return render_chat(model, messages, False).removesuffix(CHATML_END)
    return _apply_template(model, messages, continue_final_message=True)


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
        turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}{CHATML_END}" for turn in messages)
        return f"{turns}<|im_start|>assistant\n" if add_generation_prompt else turns
    if reserved := sorted(_RESERVED_OPTIONS & options.keys()):
        raise InvalidRequestError(f"'{reserved[0]}' is not an option of a chat template.")
    return _apply_template(model, messages, add_generation_prompt=add_generation_prompt, **options)


def _apply_template(model: LanguageModel, messages: Sequence[Mapping[str, str]], **options: Any) -> str:
    try:
        text = model.tokenizer.apply_chat_template([dict(message) for message in messages], tokenize=False, **options)
        assert isinstance(text, str)
        text.encode()  # options may contain an unpaired surrogate
    except TEMPLATE_ERRORS as error:
        raise InvalidRequestError(f"The model's chat template rejects these messages: {error}") from error
    return text
