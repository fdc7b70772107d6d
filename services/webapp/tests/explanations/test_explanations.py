"""Explaining a feature with a language model: a real autointerp server over a provider that fails on demand."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pyarrow.parquet as pq
import pytest
from memicos_autointerp.app import create_app as create_autointerp
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
from memicos_testing.servers import Start, free_port, running
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.explanations import GENERATE, WHALE, autointerp_settings, body, stored
from memicos_testing.webapp.html_page import Page
from memicos_webapp.app import create_app
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load
from memicos_webapp.explanations.autointerp_client import AutointerpClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@pytest.fixture
async def client(explanation_client: httpx.AsyncClient) -> httpx.AsyncClient:
    return explanation_client


async def test_an_explanation_is_stored_and_returned(
    client: httpx.AsyncClient, own_url: str, provider: LlmProvider
) -> None:
    response = await client.post(GENERATE, json=body())
    assert response.status_code == 200, response.text
    explanation = response.json()["explanation"]
    assert {name: explanation[name] for name in ("modelId", "layer", "source", "index", "description", "typeName")} == {
        "modelId": "small", "layer": "1-res", "source": "1-res", "index": "5", "description": "the sea",
        "typeName": "eleuther_acts_top20",
    }  # fmt: skip
    assert explanation["explanationModelName"] == "some/model" and explanation["author"] == {"name": "local owner"}
    assert explanation["scores"] == [] and explanation["triggeredByUser"] is None
    (row,) = await stored(own_url)
    assert dict(row) == {
        "index": 5, "description": "the sea", "method": "eleuther_acts_top20", "model": "some/model",
        "author": "local owner", "source": "1-res",
    }  # fmt: skip
    # it has no score against the dataset's explanation, which stays the label
    feature = (await client.get("/api/feature/small/1-res/5")).json()
    assert feature["explanations"][1] == explanation and len(feature["explanations"]) == 2
    assert feature["explanations"][0]["author"] is None
    assert Page((await client.get("/small/1-res/5")).text).find("h1")[0][1] == WHALE
    (request,) = provider.requests
    assert request.body["model"] == "some/model" and request.headers["authorization"] == f"Bearer {SERVER_KEY}"


async def test_the_strongest_distinct_texts_are_shown(
    client: httpx.AsyncClient, small_dataset: Path, provider: LlmProvider
) -> None:
    assert (await client.post(GENERATE, json=body())).status_code == 200
    user = provider.requests[0].body["messages"][-1]["content"]
    texts = [line.split(". ", 1)[1].replace("<<", "").replace(">>", "") for line in user.splitlines()]
    row = pq.read_table(small_dataset / "1-res" / "features-00000.parquet").to_pylist()[5]
    contexts = pq.read_table(small_dataset / "corpus" / "contexts.parquet").to_pylist()
    vocabulary = pq.read_table(small_dataset / "corpus" / "vocabulary.parquet")["token"].to_pylist()
    expected = []
    for group, number, position in zip(
        row["example_groups"], row["example_contexts"], row["example_positions"], strict=True
    ):
        ids = contexts[number]["token_ids"][max(1, position - 9) : position + 10]
        text = "".join(vocabulary[i].replace("\0", "␀") for i in ids)
        if group == 0 and text not in expected:
            expected.append(text)
    # some of the strongest ten are equal within these tokens
    assert 3 < len(expected) < row["example_groups"].count(0)
    assert texts == expected[:3]
    assert "<< whale>>" in user


async def test_each_method_with_its_evidence_tokens_and_cost(
    client: httpx.AsyncClient, own_url: str, small_dataset: Path, provider: LlmProvider
) -> None:
    row = pq.read_table(small_dataset / "1-res" / "features-00000.parquet").to_pylist()[5]
    vocabulary = pq.read_table(small_dataset / "corpus" / "vocabulary.parquet")["token"].to_pylist()
    logits = [f"{i}. {vocabulary[token]}" for i, token in enumerate(row["positive_token_ids"], 1)]
    assert logits
    for name in ("eleuther_acts_top20", "np_acts-logits-general", "np_max-act", "np_max-act-logits",
                 "oai_token-act-pair"):  # fmt: skip
        response = await client.post(GENERATE, json=body(explanationType=name))
        assert response.status_code == 200, response.text
        explanation = response.json()["explanation"]
        assert (explanation["typeName"], explanation["templateVersion"], explanation["profile"]) == (name, 1, "default")
        assert (explanation["promptTokens"], explanation["completionTokens"]) == (321, 12)
        assert explanation["cost"] is None and explanation["parameters"]["negatives"] == 0
        prompt = provider.requests[-1].body["messages"][-1]["content"]
        assert ("\n".join(logits) in prompt) is ("logits" in name)
        stored_json = (await client.get("/api/feature/small/1-res/5")).json()["explanations"]
        assert explanation in stored_json
    # the older name is the same method
    repeated = await client.post(GENERATE, json=body(explanationType="highlighted-tokens"))
    assert repeated.status_code == 400 and "already exists" in repeated.json()["error"]
    page = (await client.get("/small/1-res/5")).text
    assert "321 + 12 tokens" in page and "/explanation-type/np_max-act" in page


async def test_a_contrastive_prompt_has_texts_of_the_nearest_features(
    client: httpx.AsyncClient, small_dataset: Path, provider: LlmProvider
) -> None:
    rows = pq.read_table(small_dataset / "1-res" / "features-00000.parquet").to_pylist()
    contexts = pq.read_table(small_dataset / "corpus" / "contexts.parquet").to_pylist()
    vocabulary = pq.read_table(small_dataset / "corpus" / "vocabulary.parquet")["token"].to_pylist()
    feature = next(row for row in rows if row["neighbour_indices"] and row["max_activation"] > 0)
    own = set(feature["example_contexts"])
    expected: list[str] = []
    for index in feature["neighbour_indices"]:
        examples = zip(*(rows[index][f"example_{name}"] for name in ("groups", "contexts", "positions")), strict=True)
        free = ((number, position) for group, number, position in examples if group == 0 and number not in own)
        number, position = next(free, (None, 0))
        if number is not None and len(expected) < 5:
            ids = contexts[number]["token_ids"][max(1, position - 9) : position + 10]
            text = "".join(vocabulary[i] for i in ids)
            expected.append(text.replace("\0", "␀").replace("\n", "\\n").replace("\r", "\\r"))
    assert expected
    response = await client.post(GENERATE, json=body(index=feature["index"], contrastive=True))
    assert response.status_code == 200, response.text
    assert response.json()["explanation"]["parameters"]["negatives"] == len(expected)
    prompt = provider.requests[0].body["messages"][-1]["content"]
    (_, negatives) = prompt.split("Do not describe them:\n")
    assert negatives.splitlines()[: len(expected)] == [f"{i}. {text}" for i, text in enumerate(expected, 1)]


async def test_a_key_of_ones_own_goes_to_the_provider_and_is_not_stored(
    client: httpx.AsyncClient, own_url: str, provider: LlmProvider, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-my-own-key-1234567890"
    response = await client.post(GENERATE, json=body(apiKey=key, explanationModelName="unlisted/model"))
    assert response.status_code == 200 and key not in response.text
    assert provider.requests[0].headers["authorization"] == f"Bearer {key}"
    # without it the model is refused: the server's key pays for its own models only
    refused = await client.post(GENERATE, json=body(explanationModelName="other/unlisted"))
    assert refused.status_code == 400 and "model is one of" in refused.json()["error"]
    too_long = await client.post(GENERATE, json=body(apiKey=key * 30))
    assert too_long.status_code == 422 and key not in too_long.text
    connection = await asyncpg.connect(own_url)
    try:
        assert key not in str(await connection.fetch("SELECT * FROM explanation"))
    finally:
        await connection.close()
    assert key not in caplog.text


async def test_the_page_of_a_method(client: httpx.AsyncClient) -> None:
    for name, older in (("eleuther_acts_top20", "highlighted-tokens"), ("np_max-act", "np_max-act")):
        empty = await client.get(f"/explanation-type/{older}")
        assert empty.status_code == 200 and "No feature has been explained by this method yet." in empty.text
        assert (await client.post(GENERATE, json=body(explanationType=name))).status_code == 200
        page = Page((await client.get(f"/explanation-type/{name}")).text)
        assert "the sea" in page.text() and "1-res/5" in page.text() and page.open == []
    missing = await client.get("/explanation-type/nope")
    assert missing.status_code == 404 and "available: eleuther_acts_top20" in missing.text


async def test_trailing_slash_source_and_index_as_text(client: httpx.AsyncClient) -> None:
    expected = {"modelId": "small", "source": "2-res", "index": "5", "explanationModelName": "m"}
    response = await client.post(GENERATE + "/", json=expected)
    assert response.status_code == 200 and response.json()["explanation"]["typeName"] == "eleuther_acts_top20"


async def test_without_a_model_it_is_the_servers(client: httpx.AsyncClient, own_url: str) -> None:
    for name in (None, " "):
        response = await client.post(GENERATE, json=body(explanationModelName=name))
        # the second is a duplicate of the first
        assert response.status_code == (200 if name is None else 400)
    assert [row["model"] for row in await stored(own_url)] == ["own-model"]


async def test_one_of_a_type_and_model(client: httpx.AsyncClient, own_url: str, provider: LlmProvider) -> None:
    provider.default = Reply(delay=0.2)
    # both pass the first check: the database accepts one of them
    responses = await asyncio.gather(*(client.post(GENERATE, json=body()) for _ in range(2)))
    assert sorted(response.status_code for response in responses) == [200, 400]
    n_requests = len(provider.requests)
    repeated = await client.post(GENERATE, json=body())
    duplicate = "An auto-interp with this explanation type and model already exists."
    assert repeated.status_code == 400 and repeated.json() == {"error": duplicate, "message": duplicate}
    assert len(provider.requests) == n_requests == 2
    assert len(await stored(own_url)) == 1
    assert (await client.post(GENERATE, json=body(explanationModelName="other/model"))).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"explanationType": "nope"}, 400, "Unsupported explanation type/model: there is no type 'nope'"),
        ({"explanationType": "oai_attention-head"}, 400, "needs texts with the contributions of their tokens"),
        ({"profile": "nope"}, 400, "has no profile 'nope', only default"),
        ({"apiKey": "x" * 501}, 422, "at most 500"),
        ({"modelId": "nope"}, 404, "There is no model 'nope'"),
        ({"layer": "9-res"}, 404, "small has no source '9-res'"),
        ({"index": 64}, 404, "has no feature 64"),
        ({"index": 15}, 400, "small/1-res/15 never fires in its corpus"),
        ({"index": 2**31}, 422, "index"),
        ({"index": "x"}, 422, "index"),
        ({"explanationModelName": "x" * 201}, 422, "at most 200 characters"),
        ({"explanationModelName": 3}, 422, "explanationModelName"),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient,
    own_url: str,
    provider: LlmProvider,
    changes: dict[str, Any],
    status: int,
    message: str,
) -> None:
    response = await client.post(GENERATE, json=body(**changes))
    assert response.status_code == status and message in response.json()["error"]
    assert await stored(own_url) == [] and provider.requests == []


async def test_a_failure_of_the_provider_stores_no_explanation(
    client: httpx.AsyncClient, own_url: str, provider: LlmProvider
) -> None:
    faults = [
        (Reply(status=429), 502, "(rate_limited)"),
        (Reply(status=402), 502, "(payment_required)"),
        (Reply(status=401), 502, "(unauthorized)"),
        (Reply(status=500), 502, "(provider_failed)"),
        (Reply(drop=True), 502, "(unreachable)"),
        (Reply(body=b"not json"), 502, "(malformed)"),
        (Reply(content="no such line"), 502, "(unreadable)"),
        (Reply(content=None), 502, "(empty)"),
        (Reply(status=404), 400, "Unsupported explanation type/model: "),
    ]
    for reply, status, message in faults:
        provider.script(reply)
        response = await client.post(GENERATE, json=body())
        assert response.status_code == status and message in response.json()["error"], response.text
        assert SERVER_KEY not in response.text
    assert await stored(own_url) == []
    assert (await client.post(GENERATE, json=body())).status_code == 200


@pytest.mark.parametrize("path", [GENERATE, "/small/1-res/5/explain"])
async def test_closing_the_connection_ends_the_work(
    own_url: str, autointerp_url: str, provider: LlmProvider, path: str
) -> None:
    provider.script(Reply(delay=1))
    settings = make_settings(own_url, autointerp_url=autointerp_url, autointerp_secret="theirs")
    sent: dict[str, Any] = {"json": body()} if path == GENERATE else {"data": {"explainer_model": "some/model"}}
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(path, **sent, timeout=0.5)
        await asyncio.sleep(1)
        assert len(provider.requests) == 1 and await stored(own_url) == []
        assert (await client.post(path, **sent)).status_code in (200, 303)
        assert len(await stored(own_url)) == 1


async def test_a_nul_in_the_response_is_replaced(
    client: httpx.AsyncClient, own_url: str, provider: LlmProvider
) -> None:
    provider.script(Reply(content="EXPLANATION: NUL \0 bytes"))
    assert (await client.post(GENERATE, json=body())).status_code == 200
    assert (await stored(own_url))[0]["description"] == "NUL ␀ bytes"


async def test_no_connection_to_the_database_is_held_meanwhile(
    own_url: str, started: Start, autointerp_url: str, provider: LlmProvider
) -> None:
    provider.default = Reply(delay=1)
    urls = {"autointerp_url": autointerp_url, "autointerp_secret": "theirs"}
    async with started(own_url, database_pool=1, database_wait_seconds=0.3, **urls) as client:
        task = asyncio.create_task(client.post(GENERATE, json=body()))
        async with asyncio.timeout(10):
            while not provider.requests:  # noqa: ASYNC110 (the provider has no event for it)
                await asyncio.sleep(0.01)
        assert (await client.get("/small/1-res/5")).status_code == 200
        assert not task.done()
        assert (await task).status_code == 200


@pytest.mark.parametrize("retired", [False, True], ids=["replaced", "retired"])
async def test_an_import_while_the_language_model_runs(
    client: httpx.AsyncClient,
    own_url: str,
    tmp_path: Path,
    write_dataset: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    retired: bool,
) -> None:
    """The explanation was made from texts that the feature no longer has: it is not stored."""
    explain = AutointerpClient.explain
    write_dataset(tmp_path, features=48, seed=9, layers=(2, 3) if retired else (1, 2, 3))

    async def import_first(*arguments: Any) -> Any:
        await load(tmp_path, own_url, ImportOptions(missing=MissingSources.RETIRE))
        return await explain(*arguments)

    monkeypatch.setattr(AutointerpClient, "explain", import_first)
    response = await client.post(GENERATE, json=body())
    assert response.status_code == (404 if retired else 503), response.text
    assert "1-res" in response.json()["error"]
    assert retired or response.headers["retry-after"]
    assert not await stored(own_url)


async def test_a_new_explanation_is_found_by_meaning_at_once(
    own_url: str, started: Start, autointerp_url: str, provider: LlmProvider
) -> None:
    urls = {"autointerp_url": autointerp_url, "autointerp_secret": "theirs"}
    provider.default = Reply(content="EXPLANATION: striped animals of the savannah")
    # the embedder runs every ten minutes only, after an import, and when it is notified
    async with started(own_url, embed_every_seconds=600, **urls) as client:

        async def first(query: str) -> tuple[str, list[str]]:
            response = await client.post("/api/explanation/search-all", json={"query": query})
            best_result = (
                response.json()["results"][0] if response.json()["results"] else {"description": "", "matchedBy": []}
            )
            return best_result["description"], best_result["matchedBy"]

        async with asyncio.timeout(30):
            while "meaning" not in (await first("whale"))[1]:  # noqa: ASYNC110 (the worker tells nobody)
                await asyncio.sleep(0.05)
        assert (await client.post(GENERATE, json=body())).status_code == 200
        async with asyncio.timeout(10):
            expected = ("striped animals of the savannah", ["meaning"])
            while await first("zebras in Africa") != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def garbled(request: Request) -> JSONResponse:
    return JSONResponse({"explanation": None, "method": 1, "model": "m"} if request.method == "POST" else {})


async def nested(_: Request) -> Response:
    return Response(b'{"a":' * 50_000, media_type="application/json")


async def test_an_autointerp_server_that_cannot_answer(
    own_url: str, started: Start, autointerp_url: str, provider: LlmProvider
) -> None:
    other_server, nested_server = (
        Starlette(routes=[Route(path, answer, methods=["GET", "POST"]) for path in ("/health", "/v1/explain/default")])
        for answer in (garbled, nested)
    )
    down = f"http://127.0.0.1:{free_port()}"
    keyless = create_autointerp(autointerp_settings(provider, api_key=None))
    provider.default = Reply(delay=2)
    async with (
        running(other_server) as other_url,
        running(nested_server) as nested_url,
        running(keyless) as keyless_url,
    ):
        cases = [
            ({"autointerp_url": down}, 503, f"Autointerp is not running at {down}; start it with `make demo`"),
            ({"autointerp_url": autointerp_url}, 502, "refuses the webapp's secret: set AUTOINTERP_SECRET"),
            ({"autointerp_url": other_url}, 502, "is not an autointerp server of this version"),
            ({"autointerp_url": nested_url}, 502, "is not an autointerp server of this version"),
            ({"autointerp_url": keyless_url}, 503, "has no key for a language model. Set AUTOINTERP_API_KEY"),
            (
                {"autointerp_url": autointerp_url, "autointerp_secret": "theirs", "autointerp_seconds": 0.3},
                503,
                "gave no answer within 0.3 s (setting MEMICOS_AUTOINTERP_SECONDS)",
            ),
        ]
        for changes, status, message in cases:
            async with started(own_url, **changes) as client:
                response = await client.post(GENERATE, json=body())
                assert response.status_code == status and message in response.json()["error"], response.text
    assert await stored(own_url) == []


async def test_only_the_local_owner_explains(
    started: Start, loaded_url: str, autointerp_url: str, provider: LlmProvider
) -> None:
    async with started(loaded_url, host="0.0.0.0", autointerp_url=autointerp_url) as client:
        for response in (await client.post(GENERATE, json=body()), await client.post("/small/1-res/5/explain")):
            assert response.status_code == 403 and "Writes are refused" in response.text
        assert not Page((await client.get("/small/1-res/5")).text).find("form", id="explain")
    assert provider.requests == []


async def test_other_sites_cannot_request_explanations(client: httpx.AsyncClient, provider: LlmProvider) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await client.post(GENERATE, json=body(), headers=headers)).status_code == 403
        assert (await client.post("/small/1-res/5/explain", headers=headers)).status_code == 403
    assert provider.requests == []
