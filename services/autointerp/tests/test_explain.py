"""Explaining over HTTP: what reaches the provider, and what comes back."""

import httpx
import pytest
from memicos_autointerp_client import Client
from memicos_autointerp_client.api.explain import explain_default
from memicos_autointerp_client.api.health import health
from memicos_autointerp_client.models import (
    Activation,
    ErrorBody,
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
)
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
from memicos_testing.servers import Serve

SEA = [
    Activation(tokens=["The", " whale", " rose"], values=[0.0, 8.0, 1.0]),
    Activation(tokens=[" a", " ship"], values=[0.0, 3.0]),
]


async def ask(url: str, **values: object) -> ExplainResponse | ErrorBody:
    async with Client(url) as client:
        response = await explain_default.asyncio(
            client=client, body=ExplainRequest.from_dict({"activations": [a.to_dict() for a in SEA]} | values)
        )
    assert response is not None
    return response


async def test_an_explanation_with_method_model_and_usage(serve: Serve, provider: LlmProvider) -> None:
    response = await ask(await serve())
    assert isinstance(response, ExplainResponse)
    assert response.explanation == "the sea"
    assert response.method == "highlighted-tokens"
    assert response.model == "own-model-2026-01-01"
    assert response.usage and (response.usage.prompt_tokens, response.usage.completion_tokens) == (321, 12)

    (request,) = provider.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {SERVER_KEY}"
    assert request.body["model"] == "own-model"
    assert request.body["max_tokens"] == 2048
    assert "temperature" not in request.body
    system, user = request.body["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert "EXPLANATION:" in system["content"]
    assert user["content"] == "1. The<< whale>> rose\n2.  a<< ship>>"


async def test_settings_reach_the_provider(serve: Serve, provider: LlmProvider) -> None:
    url = await serve(temperature=0.0, max_tokens=99, highlight_share=0.1, models="a, other-model")
    await ask(url, model="other-model")
    body = provider.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("other-model", 0.0, 99)
    assert "<< whale rose>>" in body["messages"][1]["content"]


async def test_the_models_of_the_servers_key_are_configured(serve: Serve, provider: LlmProvider) -> None:
    """Each new name would be a paid call."""
    url = await serve(models="second, third")
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/health")).json()["models"] == ["own-model", "second", "third"]
        for model, status in (("own-model", 200), ("third", 200), ("invented", 400), ("Third", 400)):
            body = {"activations": [text.to_dict() for text in SEA], "model": model}
            response = await client.post("/v1/explain/default", json=body)
            assert response.status_code == status, response.text
        assert "own-model, second, third (AUTOINTERP_MODELS" in response.json()["error"]
        assert len(provider.requests) == 2
        # who pays may choose
        response = await client.post("/v1/explain/default", json=body | {"model": "invented", "api_key": "own"})
        assert response.status_code == 200


async def test_usage_is_null_where_the_provider_does_not_count(serve: Serve, provider: LlmProvider) -> None:
    message = {"role": "assistant", "content": "EXPLANATION: x"}
    provider.script(Reply(body={"choices": [{"message": message, "finish_reason": "stop"}]}))
    response = await ask(await serve())
    assert isinstance(response, ExplainResponse)
    assert response.usage is None
    assert response.model == "own-model"


async def test_a_failed_attempt_is_repeated(serve: Serve, provider: LlmProvider) -> None:
    provider.script(Reply(status=503), Reply(drop=True))
    response = await ask(await serve(retries=2))
    assert isinstance(response, ExplainResponse)
    assert len(provider.requests) == 3


@pytest.mark.parametrize(("key", "has_key"), [(SERVER_KEY, True), (None, False)])
async def test_health_reports_the_model_and_whether_a_key_is_set(serve: Serve, key: str | None, has_key: bool) -> None:
    async with Client(await serve(api_key=key, secret="cat")) as client:
        assert await health.asyncio(client=client) == HealthResponse("healthy", "own-model", ["own-model"], has_key)
