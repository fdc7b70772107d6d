"""Conversations as the model reads them. Runs in the model's thread and gives the answer's body."""

from memicos_inference.chat_template.schemas import TemplateRequest, TemplateResponse, TemplateSpan
from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel


def apply(loaded: LoadedModel, body: TemplateRequest) -> bytes:
    from memicos_engine.model.chat_sections import split_sections

    if body.model is not None:
        loaded.check_model(body.model)
    most = loaded.most_tokens
    if len(body.messages) > most:
        raise BadInput(f"{len(body.messages)} messages are more than the {most} tokens that a prompt may have.")
    messages = [message.model_dump(exclude_none=True) for message in body.messages]
    written = split_sections(
        loaded.model, messages, body.add_generation_prompt, body.chat_template_kwargs, loaded.check_length
    )
    strings = loaded.model.token_strings(written.ids)
    spans = []
    for position, (token, string, place) in enumerate(zip(written.ids, strings, written.sections, strict=True)):
        message = None if place.message is None else body.messages[place.message]
        spans.append(
            TemplateSpan.model_construct(
                position=position,
                token_id=token,
                token_str=string,
                message_index=place.message,
                role=message and message.role,
                channel=message and message.channel,
                section=place.kind,
            )
        )
    answer = TemplateResponse.model_construct(
        prompt=written.text,
        tokens=written.ids,
        spans=spans,
        template="model" if loaded.model.has_chat_template else "chatml",
    )
    return answer.model_dump_json().encode()
