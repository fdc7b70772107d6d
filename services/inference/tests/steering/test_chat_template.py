"""`apply-chat-template` over HTTP, by our client."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from memicos_inference_client import Client
from memicos_inference_client.api.chat import apply_chat_template
from memicos_inference_client.api.steer import steer_completion_chat
from memicos_inference_client.models import ChatRequest, ChatResponse, TemplateRequest, TemplateResponse
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

Tokenize = Callable[[str], list[int]]

MESSAGES = [
    {"role": "user", "content": "Who is Alice?<eos>"},
    {"role": "assistant", "content": "A girl.", "channel": "final"},
]


async def applied(client: Client, **values: Any) -> TemplateResponse:
    body = TemplateRequest.from_dict({"messages": MESSAGES} | values)
    response = await apply_chat_template.asyncio(client=client, body=body)
    assert isinstance(response, TemplateResponse), response
    return response


async def test_every_token_has_its_section(serve: Serve, templated_model: Path, tokenize: Tokenize) -> None:
    async with Client(await serve(custom_hf_model_id=str(templated_model), sae_sets=())) as client:
        response = await applied(client, model=NAME)
        loud = await applied(client, chat_template_kwargs={"loud": True})
        closed = await applied(client, add_generation_prompt=False)
    expected_text = "user: Who is Alice?<eos><eos>assistant: A girl.<eos>"
    assert response.template == "model" and response.prompt == f"<bos>{expected_text}assistant:"
    assert loud.prompt == response.prompt + "!" and closed.prompt == f"<bos>{expected_text}"
    assert response.tokens == tokenize(f"{expected_text}assistant:")
    assert [span.position for span in response.spans] == list(range(len(response.tokens)))
    assert [span.token_id for span in response.spans] == response.tokens
    assert "".join(span.token_str for span in response.spans) == response.prompt
    parts: dict[tuple[str, int | None], str] = {}
    for span in response.spans:
        parts[span.section, span.message_index] = parts.get((span.section, span.message_index), "") + span.token_str
        message = None if span.message_index is None else MESSAGES[span.message_index]
        assert span.role == (message and message["role"]) and span.channel == (message and message.get("channel"))
    assert parts == {
        ("scaffold", None): "<bos>assistant:",
        ("header", 0): "user:",
        ("content", 0): " Who is Alice?<eos>",
        ("footer", 0): "<eos>",
        ("header", 1): "assistant:",
        ("content", 1): " A girl.",
        ("footer", 1): "<eos>",
    }


async def test_the_rendered_chat_is_the_prompt_of_steering(client: Client) -> None:
    """Without a template of the model, ChatML is used."""
    response = await applied(client)
    assert response.template == "chatml"
    request = {"model": NAME, "prompt": MESSAGES, "types": ["DEFAULT"], "features": [], "n_completion_tokens": 1}
    chat = await steer_completion_chat.asyncio(client=client, body=ChatRequest.from_dict(request | {"temperature": 0}))
    assert isinstance(chat, ChatResponse)
    assert chat.input_.token_ids == response.tokens and response.prompt.startswith("<|im_start|>user\nWho is Alice?")
