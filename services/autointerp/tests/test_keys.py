"""Whose key goes where, and that none of them ever comes out."""

import logging

import httpx
import pytest
from memicos_autointerp_core.providers.faults import remove_key
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
from memicos_testing.servers import Serve

OWN = "sk-own-zyxwvutsrqponmlk"
ACTIVATIONS = [{"tokens": [" whale"], "values": [1.0]}]
OTHER = "http://127.0.0.1:9/v1"


async def post(url: str, **values: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(f"{url}/v1/explain/default", json={"activations": ACTIVATIONS, **values})


def sent_keys(provider: LlmProvider) -> list[str]:
    return [request.headers["authorization"] for request in provider.requests]


async def test_without_a_key_there_is_a_clear_503(serve: Serve, provider: LlmProvider) -> None:
    response = await post(await serve(api_key=None), openrouter_key="")
    assert (response.status_code, response.json()["cause"]) == (503, "no_key")
    assert "AUTOINTERP_API_KEY" in response.json()["error"]
    assert not provider.requests


async def test_a_key_of_the_request_replaces_the_key_of_the_server(serve: Serve, provider: LlmProvider) -> None:
    assert (await post(await serve(), api_key=OWN)).status_code == 200
    assert (await post(await serve(api_key=None), api_key=OWN)).status_code == 200
    assert sent_keys(provider) == [f"Bearer {OWN}"] * 2


async def test_an_openrouter_key_goes_to_openrouter_only(serve: Serve, provider: LlmProvider) -> None:
    url = await serve(base_url=OTHER, openrouter_url=provider.base_url)
    assert (await post(url, openrouter_key=OWN, model="a/b")).status_code == 200
    assert sent_keys(provider) == [f"Bearer {OWN}"]
    assert provider.requests[0].body["model"] == "a/b"

    response = await post(url, openrouter_key=OWN, model="a/b", base_url=OTHER)
    assert (response.status_code, "OpenRouter only" in response.json()["error"]) == (400, True)
    # the server's model belongs to the server's endpoint
    response = await post(url, openrouter_key=OWN)
    assert (response.status_code, "Name a model" in response.json()["error"]) == (400, True)
    response = await post(await serve(openrouter_url=None), openrouter_key=OWN, model="a/b")
    assert (response.status_code, "AUTOINTERP_OPENROUTER_URL" in response.json()["error"]) == (400, True)
    assert len(provider.requests) == 1


async def test_another_endpoint_must_be_allowed_and_gets_the_requests_key(serve: Serve, provider: LlmProvider) -> None:
    url = await serve(base_url=OTHER, allowed_base_urls=f" {provider.base_url}/ , https://x.example/v1")
    assert (await post(url, base_url=provider.base_url, api_key=OWN, model="m")).status_code == 200
    assert (await post(url, base_url=provider.base_url + "/", api_key=OWN, model="m")).status_code == 200
    assert sent_keys(provider) == [f"Bearer {OWN}"] * 2

    response = await post(url, base_url=provider.base_url, model="m")
    assert (response.status_code, "needs an api_key" in response.json()["error"]) == (400, True)
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:1/v1",
        "https://openrouter.ai.evil.example/api/v1",
        "https://user@openrouter.ai/api/v1",
        "https://openrouter.ai/api/v1/../../x",
        "https://openrouter.ai/api/v1?x=1",
        "file:///etc/passwd",
        "openrouter.ai/api/v1",
    ],
)
async def test_no_other_endpoint_gets_a_request(serve: Serve, base_url: str) -> None:
    url = await serve(allowed_base_urls="https://openrouter.ai/api/v1")
    response = await post(url, base_url=base_url, api_key=OWN, model="m")
    assert response.status_code == 400
    assert "base_url" in response.json()["error"]


async def test_two_keys_are_refused(serve: Serve) -> None:
    response = await post(await serve(), api_key=OWN, openrouter_key=OWN)
    assert (response.status_code, "not both" in response.json()["error"]) == (400, True)


async def test_environment_variables_of_the_library_are_not_sent(
    serve: Serve, provider: LlmProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Internal: hidden-word")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-hidden-word")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden-word")
    assert (await post(await serve(), api_key=OWN)).status_code == 200
    assert "hidden-word" not in str(provider.requests[0].headers)


async def test_a_cookie_of_the_provider_is_not_sent_with_other_requests(serve: Serve, provider: LlmProvider) -> None:
    provider.script(Reply(headers={"Set-Cookie": "session=abc; Path=/"}))
    url = await serve()
    await post(url)
    await post(url, api_key=OWN)
    assert "cookie" not in provider.requests[1].headers


@pytest.mark.parametrize("status", [200, 400, 401, 402, 404, 429, 500])
async def test_no_key_is_logged_or_sent_back(
    serve: Serve, provider: LlmProvider, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    url = await serve(secret="a-shared-secret-word", models=SERVER_KEY)
    for key, values in ((SERVER_KEY, {}), (OWN, {"api_key": OWN})):
        half = f"{key[:14]}********{key[-4:]}"
        echo = f'Incorrect key: {key}, "{key}", Bearer {key}; {half} and {key[8:]}. Was it pasted whole?'
        provider.script(Reply(status=status, body={"error": {"message": echo, "code": key}, "key": key}))
        async with httpx.AsyncClient(headers={"X-SECRET-KEY": "a-shared-secret-word"}) as client:
            response = await client.post(
                f"{url}/v1/explain/default", json={"activations": ACTIVATIONS, "model": key, **values}
            )
        assert response.status_code == 502
        # what the test itself sends is not the server's log
        logged = " ".join(r.getMessage() for r in caplog.records if r.name != "httpcore.http11")
        for text in (response.text, logged):
            assert not any(key[i : i + 8] in text for i in range(len(key) - 7))
            assert "shared-secret" not in text
    assert "memicos_autointerp_core.providers.client" in {record.name for record in caplog.records}


@pytest.mark.parametrize("key", ["none", "ollama", "k"])
async def test_a_word_in_place_of_a_key_may_be_in_an_answer(serve: Serve, provider: LlmProvider, key: str) -> None:
    """A local model needs no key, and docs/autointerp.md sets AUTOINTERP_API_KEY=none for it."""
    phrase = f"{key} and other words"
    provider.script(Reply(content=f"EXPLANATION: {phrase}"))
    response = await post(await serve(api_key=key))
    assert (response.status_code, response.json().get("explanation")) == (200, phrase)


async def test_an_invalid_request_is_not_echoed(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    response = await post(await serve(), api_key=OWN, openrouter_key=[OWN], base_url=5)
    assert response.status_code == 422
    assert OWN not in response.text
    assert OWN not in " ".join(r.getMessage() for r in caplog.records if r.name != "httpcore.http11")


def test_words_with_a_part_of_the_key_are_removed() -> None:
    assert remove_key("sk-abcdefgh", "key sk-abcd*** of\n you (abcdefgh) is wrong") == "key […] of you […] is wrong"
    assert remove_key("none", "there is none") == "there is […]"
    assert remove_key("sk-abcdefgh", "plain words") == "plain words"
