"""Conversations in the model's chat template. Runs in the model's thread and returns the response body."""

from memicos_inference.chat_template.schemas import TemplateRequest, TemplateResponse, TemplateSpan
from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel


def apply(loaded: LoadedModel, body: TemplateRequest) -> bytes:
    from memicos_engine.model.chat_sections import split_sections

    if body.model is not None:
        loaded.check_model(body.model)
    limit = loaded.max_prompt_tokens
    if len(body.messages) > limit:
        raise BadInput(f"{len(body.messages)} messages are more than the {limit} tokens that a prompt may have.")
    messages = [message.model_dump(exclude_none=True) for message in body.messages]
    rendered = split_sections(
        loaded.model, messages, body.add_generation_prompt, body.chat_template_kwargs, loaded.check_length
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
