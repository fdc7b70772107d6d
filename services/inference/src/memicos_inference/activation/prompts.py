"""Prompts of a request as token ids: texts, or conversations in the model's chat template."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from memicos_inference import recipes
from memicos_inference.activation.prompt_schemas import PromptBatchFields, PromptFields, PromptOptions
from memicos_inference.chat_template.schemas import TemplateMessage
from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.recipes import Recipe
from memicos_inference.scheduler.jobs import CaptureJob, TextJob
from memicos_inference.tokenization.conversations import conversation_characters

if TYPE_CHECKING:
    from memicos_engine.capture.batched_ops import CaptureSteps
    from memicos_engine.sources.source import SourceInfo


PromptSteps = Callable[..., "CaptureSteps[bytes]"]


@dataclass(frozen=True)
class TokenizedPrompts:
    """Token ids of each text of a request, without BOS. `field` is the request's field that has them."""

    field: str
    ids: list[list[int]]


@dataclass(frozen=True)
class Prompts:
    """Prompts of a request.

    Attributes:
        ids: token ids of each prompt.
        prepended: for each prompt, whether BOS was prepended.
        prepend_bos: whether BOS is prepended to prompts that do not begin with it.
        requested_bos: the request's own setting of `prepend_bos`.
    """

    ids: list[list[int]]
    prepended: list[bool]
    prepend_bos: bool
    requested_bos: bool | None

    def source_recipe(self, loaded: LoadedModel, source: SourceInfo, ids: Sequence[Sequence[int]]) -> Recipe:
        """The recipe of values of `source` on the prompts `ids`: BOS and ignored positions are those of the request."""
        from memicos_engine.capture.positions import bos_at_start

        has_bos = all(
            bos_at_start(prompt, loaded.model.bos_token_id, source.recipe, self.requested_bos) for prompt in ids
        )
        return recipes.source_recipe(loaded, source, self.prepend_bos, has_bos)


def sets_bos(body: PromptFields | PromptBatchFields) -> bool:
    """Whether the request itself decides about BOS, so that the sources' recipes do not."""
    return body.prepend_bos is not None or body.messages is not None


def prompt_job(steps: PromptSteps, body: PromptFields | PromptBatchFields) -> TextJob[TokenizedPrompts]:
    """The job of a route that runs prompts: their texts are tokenised first, then `steps` is called with them.

    Args:
        steps: called as `steps(loaded, body=…, tokenized=…)`, in the model's thread.
        body: the request.
    """
    return TextJob(
        check=partial(_check, body=body),
        tokenize=partial(_tokenize, body=body),
        job=lambda tokenized: CaptureJob(partial(steps, body=body, tokenized=tokenized)),
    )


def read_prompts(
    loaded: LoadedModel, body: PromptFields | PromptBatchFields, tokenized: TokenizedPrompts, recipe_bos: bool
) -> Prompts:
    """The request's prompts. `recipe_bos`: whether texts get BOS where the request does not say.

    Raises:
        BadInput: a limit is exceeded.
    """
    prepend_bos = recipe_bos if body.prepend_bos is None else body.prepend_bos
    if body.messages is not None and body.prepend_bos is None:
        prepend_bos = False
    ids = loaded.prompts(tokenized.ids, prepend_bos, tokenized.field)
    prepended = [loaded.model.lacks_bos(text, prepend_bos) for text in tokenized.ids]
    return Prompts(ids, prepended, prepend_bos, body.prepend_bos)


def _texts(body: PromptFields | PromptBatchFields) -> tuple[str, list[str]] | None:
    """Name and texts of the field that has the request's texts; None for a request of conversations.

    Raises:
        BadInput: there is not exactly one of texts and conversations.
    """
    if isinstance(body, PromptFields):
        name, texts = "prompt", None if body.prompt is None else [body.prompt]
    else:
        name, texts = "prompts", body.prompts
    if (texts is None) == (body.messages is None):
        state = "neither" if texts is None else "both"
        raise BadInput(f"Exactly one of {name} and messages is required; the request has {state}.")
    return None if texts is None else (name, texts)


def _conversations(body: PromptFields | PromptBatchFields) -> Sequence[Sequence[TemplateMessage]]:
    if isinstance(body, PromptFields):
        return [] if body.messages is None else [body.messages]
    return body.messages or []


def _check(loaded: LoadedModel, body: PromptFields | PromptBatchFields) -> None:
    """
    Raises:
        BadInput: there is not exactly one of texts and conversations, a conversation for a model without a chat
            template, too many prompts, or more characters than the tokens that are allowed can have.
    """
    if texts := _texts(body):
        loaded.check_prompt_count(len(texts[1]))
        loaded.check_characters([len(text) for text in texts[1]], texts[0])
        return
    conversations = _conversations(body)
    loaded.check_prompt_count(len(conversations))
    if not loaded.model.has_chat_template:
        raise BadInput(
            f"The model {loaded.accepted_names[0]} has no chat template, so it takes no messages: send a text instead."
        )
    options = body.chat_template_kwargs
    loaded.check_characters(
        [conversation_characters(loaded, messages, options) for messages in conversations], "messages"
    )


def _tokenize(loaded: LoadedModel, body: PromptFields | PromptBatchFields) -> Generator[None, None, TokenizedPrompts]:
    """
    Raises:
        BadInput: a rendered conversation is too long.
        InvalidRequestError: the chat template rejects a conversation, or a token has no embedding.
    """
    ids: list[list[int]] = []
    if texts := _texts(body):
        name, items = texts
        for text in items:
            ids.append(loaded.model.text_ids(text))
            yield
        return TokenizedPrompts(name, ids)
    for messages in _conversations(body):
        ids.append(loaded.model.text_ids(_render(loaded, body, messages)))
        yield
    return TokenizedPrompts("messages", ids)


def _render(loaded: LoadedModel, body: PromptOptions, messages: Sequence[TemplateMessage]) -> str:
    from memicos_engine.model.chat.chat_template import render_chat

    turns = [message.model_dump(exclude_none=True) for message in messages]
    text = render_chat(loaded.model, turns, body.add_generation_prompt, body.chat_template_kwargs)
    loaded.check_text(text)
    return text
