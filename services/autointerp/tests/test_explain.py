"""Explaining over HTTP: what reaches the provider, and what comes back."""

from pathlib import Path

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
    assert response.method == "eleuther_acts_top20"
    assert (response.template_version, response.profile, response.cached) == (1, "default", False)
    assert response.parameters.additional_properties["texts"] == 2
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
async def test_health_reports_the_model_and_whether_a_key_is_set(
    serve: Serve, provider: LlmProvider, key: str | None, has_key: bool
) -> None:
    url = await serve(api_key=key, secret="cat")
    async with Client(url, headers={"X-SECRET-KEY": "cat"}) as client:
        state = await health.asyncio(client=client)
    async with Client(url, headers={"X-SECRET-KEY": "dog"}) as client:
        public = await health.asyncio(client=client)
    assert isinstance(state, HealthResponse) and isinstance(public, HealthResponse)
    # where keys are sent is for those who know the secret
    assert [profile.base_url for profile in public.profiles] == [None]
    assert (state.status, state.model, state.models, state.has_key) == ("healthy", "own-model", ["own-model"], has_key)
    assert state.explainers[0] == "eleuther_acts_top20" and len(state.explainers) == 6
    assert [profile.to_dict() for profile in state.profiles] == [
        {"name": "default", "models": ["own-model"], "has_key": has_key, "base_url": provider.base_url}
    ]


FULL = {
    "activations": [
        {"tokens": ["The", " whale", " rose"], "values": [0, 8, 1], "dfa_values": [0.9, 0, 0], "dfa_target_index": 1},
        {"tokens": [" a", " ship"], "values": [0, 3], "dfa_values": [0.1, 0.5], "dfa_target_index": 1},
    ],
    "top_logits": [" sea", " boat"],
    "negatives": [{"tokens": [" a", " cloud"], "values": [0, 0]}],
}
SHOWN = {
    "eleuther_acts_top20": ["1. The<< whale>> rose", "2.  a<< ship>>"],
    "highlighted-tokens": ["1. The<< whale>> rose"],
    "np_acts-logits-general": ["1. The<< whale>> rose", "1.  sea"],
    "np_max-act": ["1.  whale", "1.  rose", "2. (end of text)", "1. The whale rose"],
    "np_max-act-logits": ["1.  whale", "2.  boat"],
    "oai_token-act-pair": ["The\t0", " whale\t10", " rose\t1", " ship\t4"],
    "oai_attention-head": ["1. <<The>>[[ whale]] rose", "The -> whale", "[[<< ship>>]]"],
}


@pytest.mark.parametrize("name", SHOWN)
async def test_what_each_explainer_shows(url: str, provider: LlmProvider, name: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.post("/v1/explain/default", json=FULL | {"explainer": name})
        assert response.status_code == 200, response.text
        assert response.json()["method"] == {"highlighted-tokens": "eleuther_acts_top20"}.get(name, name)
        system, user = (message["content"] for message in provider.requests[0].body["messages"])
        assert "EXPLANATION: <phrase>" in system and "{{" not in system + user
        for line in SHOWN[name]:
            assert line in user
        assert "is silent" in user and user.endswith("1.  a cloud")
        # without negatives the prompt does not mention them
        await client.post("/v1/explain/default", json=FULL | {"explainer": name, "negatives": []})
        assert "silent" not in provider.requests[1].body["messages"][1]["content"]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"explainer": "np_best"}, 400, "There is no explainer 'np_best' here, only eleuther_acts_top20"),
        ({"explainer": "np_max-act-logits", "top_logits": []}, 400, "needs the tokens whose logits"),
        ({"explainer": "np_acts-logits-general", "top_logits": []}, 400, "needs the tokens whose logits"),
        ({"activations": [{"tokens": ["a"], "values": [1]}], "explainer": "oai_attention-head"}, 400, "dfa_values"),
        ({"activations": [{"tokens": ["a"], "values": [1], "dfa_values": [1, 2], "dfa_target_index": 0}]}, 422, "dfa"),
        ({"activations": [{"tokens": ["a"], "values": [1], "dfa_values": [1], "dfa_target_index": 1}]}, 422, "dfa"),
        ({"activations": [{"tokens": ["a"], "values": [1], "dfa_values": [1]}]}, 422, "together"),
        ({"profile": "nowhere"}, 400, "This server has no profile nowhere, only default"),
        ({"profile": "default", "base_url": "http://a"}, 400, "base_url is http://a, but that of"),
    ],
)
async def test_what_an_explainer_lacks_is_named(
    url: str, provider: LlmProvider, change: dict[str, object], status: int, message: str
) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.post("/v1/explain/default", json=FULL | change)
    assert response.status_code == status
    assert message in response.json()["error"]
    assert not provider.requests


async def test_profiles_of_a_file(serve: Serve, provider: LlmProvider, tmp_path: Path) -> None:
    """The key of a request goes to the profile that it names, the server's key of one profile to no other."""
    file = tmp_path / "profiles.toml"
    (tmp_path / "key").write_text("sk-profile-key")
    file.write_text(
        f"""
        [keyless]
        base_url = "{provider.base_url}"
        needs_key = false
        models = ["local"]

        [paid]
        base_url = "{provider.base_url}"
        key_file = "{tmp_path}/key"
        models = ["large", "small"]
        prices = {{large = {{input = 2, output = 10}}}}

        [locked]
        base_url = "{provider.base_url}"
        """
    )
    url = await serve(profiles_file=file, answers_file=tmp_path / "answers.sqlite")
    async with httpx.AsyncClient(base_url=url) as client:

        async def sent(**body: str) -> tuple[int, str | None, str]:
            response = await client.post("/v1/explain/default", json=FULL | body)
            if response.status_code != 200:
                return response.status_code, None, response.json()["error"]
            request = provider.requests[-1]
            return 200, request.headers.get("authorization"), request.body["model"]

        assert await sent(profile="keyless") == (200, None, "local")
        assert await sent(profile="paid") == (200, "Bearer sk-profile-key", "large")
        assert await sent(profile="paid", model="small") == (200, "Bearer sk-profile-key", "small")
        assert await sent(profile="paid", api_key="own", model="any") == (200, "Bearer own", "any")
        same = {"profile": "paid", "base_url": provider.base_url + "/"}
        assert await sent(**same, api_key="own") == (200, "Bearer own", "large")
        assert await sent() == (200, f"Bearer {SERVER_KEY}", "own-model")
        for body, status, message in (
            ({"profile": "paid", "model": "other"}, 400, "model is one of large, small"),
            ({"profile": "locked"}, 503, "No key for the profile locked"),
            ({"profile": "locked", "api_key": "own"}, 400, "Name a model"),
            # a key that was meant for another endpoint is not sent
            ({"profile": "paid", "base_url": "https://a.example/v1", "api_key": "own"}, 400, "base_url is https://a."),
        ):
            answer = await sent(**body)
            assert answer[0] == status and message in answer[2]

        count = len(provider.requests)
        again = (await client.post("/v1/explain/default", json=FULL | {"profile": "paid"})).json()
        assert (len(provider.requests), again["cached"]) == (count, True)
        assert again["cost"] == pytest.approx((321 * 2 + 12 * 10) / 1e6, rel=1e-12)
