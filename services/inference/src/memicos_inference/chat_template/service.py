"""Conversations in the model's chat template. Rendered and labelled in the tokenizer's thread."""

from collections.abc import Generator

from memicos_inference.chat_template.schemas import TemplateRequest, TemplateResponse, TemplateSpan
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.scheduler.jobs import DirectJob, TextJob
from memicos_inference.tokenization.conversations import conversation_characters


def template_job(body: TemplateRequest) -> TextJob[bytes]:
    """The job that returns the response body."""

    def check(loaded: LoadedModel) -> None:
        if body.model is not None:
            loaded.check_model(body.model)
        loaded.check_characters([conversation_characters(loaded, body.messages, body.chat_template_kwargs)])

    def apply(loaded: LoadedModel) -> Generator[None, None, bytes]:
        yield from ()
        return _apply(loaded, body)

    return TextJob(check, apply, lambda response: DirectJob(lambda _: response))


def _apply(loaded: LoadedModel, body: TemplateRequest) -> bytes:
    from memicos_engine.model.chat.chat_sections import split_sections

    messages = [message.model_dump(exclude_none=True) for message in body.messages]
    rendered = split_sections(
        loaded.model,
        messages,
        body.add_generation_prompt,
        body.chat_template_kwargs,
        loaded.check_length,
        loaded.check_text,
    )
    strings = loaded.model.token_strings(rendered.ids)
    spans = []
    for position, (token, string, section) in enumerate(zip(rendered.ids, strings, rendered.sections, strict=True)):
        message = None if section.message is None else body.messages[section.message]
        spans.append(
            TemplateSpan.model_construct(
                position=position,
                token_id=token,
                token_str=string,
                message_index=section.message,
                role=message and message.role,
                channel=message and message.channel,
                section=section.kind,
            )
        )
    response = TemplateResponse.model_construct(
        prompt=rendered.text,
        tokens=rendered.ids,
        spans=spans,
        template="model" if loaded.model.has_chat_template else "chatml",
    )
    return response.model_dump_json().encode()
