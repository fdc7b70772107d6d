"""What the server refuses before it asks anyone."""

import httpx
import pytest
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.servers import Serve

GOOD = {"activations": [{"tokens": ["a", "b"], "values": [0, 2]}]}


async def post(url: str, secret: str | None = None, **request: object) -> httpx.Response:
    headers = {"X-SECRET-KEY": secret} if secret is not None else {}
    async with httpx.AsyncClient(timeout=20, headers=headers) as client:
        return await client.post(f"{url}/v1/explain/default", **request)  # pyright: ignore[reportArgumentType]  # spelt per test


BAD = {
    "no activations": ({"activations": []}, "activations: "),
    "activations missing": ({}, "activations: Field required"),
    "tokens and values differ": (
        {"activations": [{"tokens": ["a"], "values": [1, 2]}]},
        "activations.0: 1 tokens, but 2 values",
    ),
    "no tokens": ({"activations": [{"tokens": [], "values": []}]}, "activations.0.tokens"),
    "nothing fires": ({"activations": [{"tokens": ["a"], "values": [0]}]}, "nothing to explain"),
    "text for a value": ({"activations": [{"tokens": ["a"], "values": ["x"]}]}, "activations.0.values.0"),
    "empty model": (GOOD | {"model": ""}, "model: "),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_requests_name_the_error_and_the_field(name: str, url: str, provider: LlmProvider) -> None:
    body, message = BAD[name]
    response = await post(url, json=body)
    assert response.status_code == 422
    assert response.json()["cause"] == "invalid_request"
    assert message in response.json()["error"]
    assert not provider.requests


async def test_malformed_and_infinite_bodies(url: str) -> None:
    response = await post(url, content=b'{"activations": [', headers={"Content-Type": "application/json"})
    assert (response.status_code, "not valid JSON" in response.json()["error"]) == (400, True)
    infinite = b'{"activations": [{"tokens": ["a"], "values": [Infinity]}]}'
    response = await post(url, content=infinite, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)


async def test_limits_are_named(serve: Serve) -> None:
    url = await serve(max_activations=2, max_characters=10, body_bytes=1000)
    response = await post(url, json={"activations": GOOD["activations"] * 3})
    assert (response.status_code, "AUTOINTERP_MAX_ACTIVATIONS" in response.json()["error"]) == (400, True)
    response = await post(url, json={"activations": [{"tokens": ["x" * 11], "values": [1]}]})
    assert (response.status_code, "AUTOINTERP_MAX_CHARACTERS" in response.json()["error"]) == (400, True)
    response = await post(url, content=b" " * 1001)
    assert (response.status_code, response.json()["cause"]) == (413, "too_large")

    async def pieces():
        for _ in range(20):
            yield b" " * 100

    response = await post(url, content=pieces(), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["cause"]) == (413, "too_large")


@pytest.mark.parametrize(("secret", "status"), [("cat", 200), ("dog", 401), ("", 401), (None, 401), ("ca", 401)])
async def test_the_secret(serve: Serve, secret: str | None, status: int) -> None:
    response = await post(await serve(secret="cat"), secret, json=GOOD)
    assert response.status_code == status
    if status == 401:
        assert response.json() == {"error": "Invalid or missing X-SECRET-KEY header", "cause": "wrong_secret"}


async def test_unknown_paths_and_methods(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/nowhere")).json()["error"] == "The path /nowhere does not exist."
        separated = await client.get("/no\u2028where\x85")
        assert separated.json()["error"] == "The path /no\u2028where\x85 does not exist."
        assert len(separated.text.splitlines()) == 1
        wrong = await client.get("/v1/explain/default")
        assert (wrong.status_code, wrong.json()["cause"]) == (405, "not_found")
