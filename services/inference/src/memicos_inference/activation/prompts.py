"""Prompts of a request as token ids: texts, or conversations in the model's chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memicos_inference import recipes
from memicos_inference.activation.prompt_schemas import PromptBatchFields, PromptFields, PromptOptions
from memicos_inference.chat_template.schemas import TemplateMessage
from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.recipes import Recipe

if TYPE_CHECKING:
    from memicos_engine.sources.source import SourceInfo


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


def read_prompts(loaded: LoadedModel, body: PromptFields | PromptBatchFields, recipe_bos: bool) -> Prompts:
    """The request's prompts. `recipe_bos`: whether texts get BOS where the request does not say.

    Raises:
        BadInput: not exactly one of text and conversation, a conversation for a model without a chat template, or a
            limit is exceeded.
        InvalidRequestError: the chat template rejects a conversation.
    """
    if isinstance(body, PromptFields):
        name, texts, conversations = "prompt", body.prompt, None if body.messages is None else [body.messages]
    else:
        name, texts, conversations = "prompts", body.prompts, body.messages
    if (texts is None) == (body.messages is None):
        given = "neither" if texts is None else "both"
        raise BadInput(f"Exactly one of {name} and messages is required; the request has {given}.")
    prepend_bos = recipe_bos if body.prepend_bos is None else body.prepend_bos
    if conversations is None:
        rendered = [texts] if isinstance(texts, str) else list(texts or [])
    else:
        if body.prepend_bos is None:
            prepend_bos = False
        name = "messages"
        _check_count(loaded, len(conversations))
        rendered = [_render(loaded, body, messages) for messages in conversations]
    ids = loaded.prompts(rendered, prepend_bos, name)
    prepended = [loaded.model.prepends_bos(text, prepend_bos) for text in rendered]
    return Prompts(ids, prepended, prepend_bos, body.prepend_bos)


def _check_count(loaded: LoadedModel, count: int) -> None:
    limit = loaded.settings.max_prompts
    if count > limit:  # before any of them is rendered
        raise BadInput(f"Batch size {count} exceeds maximum of {limit} (INFERENCE_MAX_PROMPTS).")


def _render(loaded: LoadedModel, body: PromptOptions, messages: Sequence[TemplateMessage]) -> str:
    from memicos_engine.model.chat_template import render_chat

    if not loaded.model.has_chat_template:
        raise BadInput(
            f"The model {loaded.accepted_names[0]} has no chat template, so it takes no messages: send a text instead."
        )
    loaded.check_message_count(len(messages))
    turns = [message.model_dump(exclude_none=True) for message in messages]
    return render_chat(loaded.model, turns, body.add_generation_prompt, body.chat_template_kwargs)
