"""Conversations as the model reads them."""

from collections.abc import Mapping, Sequence

from jinja2 import TemplateError

from memicos_engine.errors import Refused
from memicos_engine.model import LanguageModel


def render(model: LanguageModel, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of `messages` (each with role and content) up to where the assistant's turn begins.

    They are written with the tokenizer's chat template, as ChatML where it has none, and cut into tokens without
    further special ones.

    Raises:
        Refused: the template does not take these messages, in its own words.
    """
    return model.token_ids(_written(model, messages), prepend_bos=False)


def _written(model: LanguageModel, messages: Sequence[Mapping[str, str]]) -> str:
    if not model.has_chat_template:
        turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages)
        return f"{turns}<|im_start|>assistant\n"
    try:
        found = model.tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
        )
    except TemplateError as error:
        raise Refused(f"The model's chat template does not take these messages: {error}") from error
    assert isinstance(found, str)
    return found
