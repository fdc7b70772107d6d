"""Search by meaning: rankings fused, filters before the limit, what could not be searched and why; JSON and page."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from memicos_dataset.manifest import Manifest
from memicos_embeddings.embedder import MINILM
from memicos_embeddings.minilm import MiniLmEmbedder
from memicos_embeddings.openai_embedder import OpenAiEmbedder
from memicos_embeddings.registry import EmbedderRegistry
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.servers import Start
from memicos_testing.webapp.database import execute
from memicos_testing.webapp.html_page import Page
from memicos_webapp.datasets.service import load
from memicos_webapp.embeddings.service import embed_missing
from memicos_webapp.explanation_search.rows import Candidate
from memicos_webapp.explanation_search.service import fuse
from pydantic import SecretStr

SEARCH = "/api/explanation/search"
SEARCH_ALL = "/api/explanation/search-all"
LOCAL = MiniLmEmbedder(threads=2)


@pytest.fixture(scope="module")
async def searched_url(
    create: Callable[..., Any],
    small_dataset: Path,
    tmp_path_factory: pytest.TempPathFactory,
    write_dataset: Callable[..., Manifest],
) -> str:
    """The small dataset, and another model with a set of the same name, all embedded."""
    url = await create("searched")
    other_folder = tmp_path_factory.mktemp("other")
    write_dataset(other_folder, model="other", layers=(1,), seed=5)
    await load(small_dataset, url)
    await load(other_folder, url)
    # a second and third explanation of one feature
    for text in ("the whale, a large animal of the sea", "whales, whales and more whales"):
        await execute(
            url,
            """INSERT INTO explanation (source_id, index, description, method, model, author_id)
               SELECT id, 5, $1, 'human', NULL, 1 FROM source WHERE name = '2-res'""",
            text,
        )
    await embed_missing(url, EmbedderRegistry([LOCAL], MINILM, 10))
    return url


@pytest.fixture(scope="module")
async def client(searched_url: str, started: Start) -> AsyncIterator[httpx.AsyncClient]:
    async with started(searched_url, search_page=10) as client:
        yield client


async def search(client: httpx.AsyncClient, path: str = "-all", **body: Any) -> dict[str, Any]:
    response = await client.post(SEARCH + path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def places(body: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(result["modelId"], result["layer"], int(result["index"])) for result in body["results"]]


# ---- ranking


async def test_meaning_is_the_cosine_of_query_and_explanation(client: httpx.AsyncClient) -> None:
    query = "huge marine mammals"
    body = await search(client, query=query)
    assert places(body)[0][2] == 5
    for result in body["results"]:
        vectors = LOCAL.encode([query, result["description"]])
        # vectors are stored in half precision, and int8 activations are scaled over a batch
        assert result["cosine_similarity"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=0.03)
    by_meaning = [result["cosine_similarity"] for result in body["results"] if result["matchedBy"] == ["meaning"]]
    assert by_meaning == sorted(by_meaning, reverse=True)


async def test_matching_words_are_found_even_with_distant_vectors(client: httpx.AsyncClient) -> None:
    body = await search(client, query="Ishmael")
    assert places(body)[0][2] == 2 and body["results"][0]["matchedBy"] == ["meaning", "words"]
    # words are stemmed as in English, and any of them may match
    body = await search(client, query="rising houses zebra")
    assert any(result["index"] == "30" and "words" in result["matchedBy"] for result in body["results"])


async def test_a_feature_is_found_once_by_its_best_explanation(client: httpx.AsyncClient) -> None:
    body = await search(client, query="whales")
    assert len(places(body)) == len(set(places(body))) == 10
    (result,) = [
        result
        for result in body["results"]
        if (result["modelId"], result["layer"], result["index"]) == ("small", "2-res", "5")
    ]
    assert result["description"] == "whales, whales and more whales"
    assert (result["typeName"], result["explanationModelName"], result["source"]) == ("human", None, "2-res")
    neuron = result["neuron"]
    assert [explanation["typeName"] for explanation in neuron["explanations"]] == ["human", "human", "token-statistics"]
    assert len(neuron["activations"]) == 3 and len(neuron["pos_str"]) == 10
    assert neuron["activations"][0]["maxValue"] == pytest.approx(neuron["maxActApprox"])


def test_ranks_are_fused_by_their_reciprocals() -> None:
    def candidate(number: int, index: int, distance: float | None = None) -> Candidate:
        return Candidate(number, 1, index, distance, 0.0)

    by_vector = [candidate(1, 10, 0.1), candidate(2, 10, 0.2), candidate(3, 20, 0.3), candidate(4, 30, 0.4)]
    worded = [candidate(5, 40), candidate(3, 20, 0.3), candidate(2, 10, 0.2)]
    ranked = fuse([by_vector], worded)
    scores = {10: 1 / 61 + 1 / 63, 20: 1 / 62 + 1 / 62, 40: 1 / 61, 30: 1 / 63}
    assert [item.index for item in ranked] == sorted(scores, key=lambda index: -scores[index])
    assert {item.index: item.score for item in ranked} == pytest.approx(scores)
    assert {item.index: item.explanation_id for item in ranked} == {10: 1, 20: 3, 30: 4, 40: 5}
    assert {item.index: (item.by_meaning, item.by_words) for item in ranked} == {
        10: (True, True), 20: (True, True), 30: (True, False), 40: (False, True),
    }  # fmt: skip
    assert next(item.cosine for item in ranked if item.index == 40) is None
    assert fuse([], []) == []


# ---- scope, density, result pages


async def test_scopes(client: httpx.AsyncClient) -> None:
    everywhere = await search(client, query="whale")
    assert {model for model, _, _ in places(everywhere)} == {"small", "other"}
    model = await search(client, "-model", query="whale", modelId="other")
    assert {place[:2] for place in places(model)} == {("other", "1-res")}
    # a set of the same name that belongs to another model is a different set
    release = await search(client, "-release", query="whale", releaseName="other-release")
    assert places(release) == places(model)
    two_sources = await search(client, "", query="whale", modelId="small", layers=["3-res", "1-res"])
    assert {place[:2] for place in places(two_sources)} == {("small", "1-res"), ("small", "3-res")}
    all_sources = await search(client, "", query="whale", modelId="small", layers=[])
    assert places(all_sources) == places(await search(client, "-model", query="whale", modelId="small"))
    assert two_sources["request"] == {
        "query": "whale", "offset": 0, "minDensity": None, "maxDensity": None, "byMeaning": True, "modelId": "small",
        "layers": ["3-res", "1-res"], "releaseName": None,
    }  # fmt: skip


async def test_filters_are_applied_before_the_limit(searched_url: str, started: Start, small_dataset: Path) -> None:
    table = pq.read_table(small_dataset / "3-res" / "features-00000.parquet").to_pylist()
    live = [row for row in table if row["max_activation"] > 0]
    dense = sorted(row["index"] for row in live if row["density"] > 0.07)
    assert 0 < len(dense) < 12
    # few of the twenty nearest explanations of all sources belong to dense features in 3-res
    async with started(searched_url, search_candidates=20, search_page=50) as client:
        body = await search(
            client, "", query="Ishmael", modelId="small", layers=["3-res"], minDensity=0.07, maxDensity=1
        )
        assert sorted(index for _, _, index in places(body)) == dense
        body = await search(client, "", query="zzz", modelId="small", layers=["3-res"])
        assert len(body["results"]) == 20
    assert all(result["neuron"]["frac_nonzero"] > 0 for result in body["results"])


async def test_result_pages_are_consecutive(client: httpx.AsyncClient) -> None:
    seen, offset = [], 0
    while True:
        body = await search(client, query="the law", offset=offset)
        seen += places(body)
        assert body["resultsCount"] == len(body["results"])
        assert body["hasMore"] == (body["nextOffset"] is not None)
        if not body["hasMore"]:
            break
        offset = body["nextOffset"]
    assert len(seen) == len(set(seen)) == 240
    assert (await search(client, query="the law", offset=1000))["results"] == []


# ---- sources that cannot be searched by meaning


async def test_sources_of_an_embedder_that_is_missing_are_searched_by_words(
    create: Callable[..., Any], small_dataset: Path, started: Start
) -> None:
    url = await create("skipped")
    await load(small_dataset, url)
    await execute(url, "UPDATE source SET active_embedder = 'openai' WHERE name = '3-res'")
    await execute(url, "UPDATE source SET active_embedder = 'minilm' WHERE name = '1-res'")
    async with started(url) as client:
        body = await search(client, query="the whale")
        reasons = {source: gap["reason"] for gap in body["skipped"] for source in gap["sources"]}
        assert "set OPENAI_API_KEY" in reasons["3-res"]
        # nothing is embedded yet
        assert reasons["1-res"] == "0 of 60 explanations can be searched by meaning so far."
        assert set(reasons) == {"1-res", "2-res", "3-res"}
        assert {place[1:] for place in places(body)[:3]} == {("1-res", 5), ("2-res", 5), ("3-res", 5)}
        assert {tuple(result["matchedBy"]) for result in body["results"]} == {("words",)}
        assert all(result["cosine_similarity"] is None for result in body["results"])
        page = Page((await client.get("/search-explanations?q=the+whale")).text)
        assert "3-res of small: matched by words only. These explanations were embedded by OpenAI" in page.text()
    await embed_missing(url, EmbedderRegistry([LOCAL], MINILM, 10))
    async with started(url) as client:
        body = await search(client, query="the whale")
        assert [gap["sources"] for gap in body["skipped"]] == [["3-res"]]
        by_meaning = {result["layer"] for result in body["results"] if "meaning" in result["matchedBy"]}
        assert by_meaning == {"1-res", "2-res"}
    await execute(
        url,
        """DELETE FROM embedding_minilm WHERE explanation_id IN (
               SELECT explanation.id FROM explanation JOIN source ON source.id = source_id
               WHERE name = '1-res' ORDER BY explanation.id LIMIT 20)""",
    )
    async with started(url) as client:
        text = Page((await client.get("/search-explanations?q=the+whale")).text).text()
        partly = "1-res of small: some explanations are matched by words only. "
        assert partly + "40 of 60 explanations can be searched by meaning so far." in text


async def test_sources_of_two_embedders_are_searched_together(
    create: Callable[..., Any], small_dataset: Path, started: Start
) -> None:
    url = await create("two")
    await load(small_dataset, url)
    await execute(url, "UPDATE source SET active_embedder = 'openai' WHERE name = '3-res'")
    with LlmProvider() as provider:
        keys = {"openai_api_key": "sk-mine", "openai_base_url": provider.base_url}
        openai = OpenAiEmbedder(SecretStr("sk-mine"), provider.base_url, 5)
        await embed_missing(url, EmbedderRegistry([LOCAL, openai], MINILM, 10))
        await openai.close()
        async with started(url, **keys) as client:
            body = await search(client, query="whale")
            assert body["skipped"] == []
            top = {(layer, index): item for (_, layer, index), item in zip(places(body), body["results"], strict=True)}
            assert {(f"{i}-res", 5) for i in (1, 2, 3)} == {(layer, index) for _, layer, index in places(body)[:3]}
            assert top["3-res", 5]["matchedBy"] == ["meaning", "words"]
            # each query is embedded once
            count = len(provider.requests)
            await search(client, query="whale")
            assert len(provider.requests) == count
        provider.default = type(provider.default)(status=401)
        async with started(url, **keys) as client:
            body = await search(client, query="whale")
            (gap,) = body["skipped"]
            assert gap["sources"] == ["3-res"] and "refused the key: check OPENAI_API_KEY" in gap["reason"]
            # a query that matches no words, in sources without vectors, has no results
            response = await client.post(SEARCH, json={"query": "xyzzy", "modelId": "small", "layers": ["3-res"]})
            assert response.status_code == 502 and "check OPENAI_API_KEY" in response.json()["error"]
            assert "sk-mine" not in response.text


# ---- limits of costs


# ---- bad requests


@pytest.mark.parametrize("path", ["-all", "-model", "-release", ""])
@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"query": "ab"}, 400, "A query has at least 3 characters; this one has 2."),
        ({"query": "  a   "}, 400, "this one has 1."),
        ({"query": "whale\0"}, 400, "query has a NUL character"),
        ({"query": "x" * 201}, 400, "The query has 201 characters; at most 200 are allowed."),
        ({"query": None}, 422, "query"),
        ({"offset": -1}, 422, "offset"),
        ({"offset": 10**9}, 422, "offset"),
        ({"offset": "first"}, 422, "offset"),
        ({"minDensity": 0.5, "maxDensity": 0.1}, 400, "No density is above 0.5 and below 0.1."),
        ({"maxDensity": 1.5}, 422, "maxDensity"),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient, path: str, changes: dict[str, Any], status: int, message: str
) -> None:
    body = {"query": "whale", "modelId": "small", "releaseName": "small-release", "layers": [], **changes}
    for address in (path, path + "/"):
        response = await client.post(SEARCH + address, json=body)
        assert response.status_code == status and message in response.json()["error"], response.text


@pytest.mark.parametrize(
    ("path", "changes", "status", "message"),
    [
        ("-model", {"modelId": "nope"}, 404, "There is no model 'nope'; available: other, small."),
        ("-release", {"releaseName": "nope"}, 404, "There is no release 'nope'; available: "),
        ("", {"layers": ["1-res", "9-res"]}, 404, "small has no source '9-res'; it has 1-res, 2-res, 3-res."),
        ("", {"layers": "1-res"}, 422, "layers"),
        ("", {"layers": ["x"] * 1001}, 422, "layers"),
        ("", {"modelId": "nope", "layers": ["1-res"]}, 404, "There is no model 'nope'"),
    ],
)
async def test_unknown_names(
    client: httpx.AsyncClient, path: str, changes: dict[str, Any], status: int, message: str
) -> None:
    body = {"query": "whale", "modelId": "small", "releaseName": "small-release", "layers": [], **changes}
    response = await client.post(SEARCH + path, json=body)
    assert response.status_code == status and message in response.json()["error"], response.text


# ---- the page


async def get(client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None, **query: Any) -> Page:
    response = await client.get(path, params=query or None, headers=headers)
    assert response.status_code == 200, response.text
    page = Page(response.text)
    assert page.open == []
    return page


def links_shown(page: Page) -> list[str]:
    return [attributes["href"] or "" for attributes, _ in page.find("a", class_="result-link")]


async def test_the_page_shows_the_results_of_the_api(client: httpx.AsyncClient) -> None:
    for path in ("/search-explanations", "/search-explanations/"):
        page = await get(client, path, q="whale")
        assert links_shown(page) == [
            f"/{'/'.join(map(str, place))}" for place in places(await search(client, query="whale"))
        ]
    assert "whale" in [text for _, text in page.find("mark")]
    assert (
        "1 to 10 of 240 features" in page.text() and page.find("title")[0][1] == "whale · Search explanations · memicos"
    )
    second = await get(client, page.find("a", rel="next")[0][0]["href"] or "")
    assert "11 to 20 of 240 features" in second.text() and not set(links_shown(page)) & set(links_shown(second))
    assert second.find("a", rel="prev")


async def test_the_choice_of_sources(client: httpx.AsyncClient) -> None:
    sources = json.dumps(["1-res", "3-res"])
    page = await get(client, "/search-explanations", q="whale", modelId="small", sources=sources)
    assert {href.rsplit("/", 1)[0] for href in links_shown(page)} == {"/small/1-res", "/small/3-res"}
    assert [
        text for attributes, text in page.find("a") if attributes.get("aria-current") and text in ("All", "Sources")
    ] == ["Sources"]
    page = await get(client, "/search-explanations", q="whale", releaseName="other-release")
    assert {href.rsplit("/", 1)[0] for href in links_shown(page)} == {"/other/1-res"}
    page = await get(client, "/search-explanations", q="whale", modelId="other", maxDensity="0.03")
    assert {href.rsplit("/", 1)[0] for href in links_shown(page)} == {"/other/1-res"}


async def test_search_as_you_type_returns_the_results_alone(client: httpx.AsyncClient) -> None:
    headers = {"HX-Request": "true", "HX-Target": "results"}
    page = await get(client, "/search-explanations", headers, q="whale")
    assert links_shown(page) and not page.find("h1") and not page.find("form")
    response = await client.get("/search-explanations?q=w", headers=headers)
    assert response.status_code == 400 and Page(response.text).elements[0][1]["role"] == "alert"


async def test_without_a_query_it_suggests_some(client: httpx.AsyncClient) -> None:
    page = await get(client, "/search-explanations")
    assert page.find("a", class_="chip")[0][1] == "numbers and dates"
    assert "autofocus" in page.find("input", id="q")[0][0]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("q=ab", 400, "A query has at least 3 characters"),
        ("q=whale&modelId=nope", 404, "There is no model 'nope'"),
        ('q=whale&modelId=nope&sources=["1-res"]', 404, "There is no model 'nope'"),
        ("q=whale&releaseName=nope", 404, "There is no release 'nope'"),
        ("q=whale&modelId=small&sources=[", 422, "sources is not valid JSON."),
        ("q=whale&modelId=small&sources=%221-res%22", 422, "sources must be a list."),
        ("q=whale&page=0", 422, "page"),
        ("q=whale&page=x", 422, "page"),
        ("q=whale&maxDensity=2", 422, "“Activation density” must be 1 or less."),
        ("q=whale&page=1000", 200, "There is no page 1000: the search has 240 results."),
        ("q=" + "x" * 201, 400, "The query has 201 characters"),
    ],
)
async def test_errors_in_an_address_are_shown(client: httpx.AsyncClient, query: str, status: int, message: str) -> None:
    response = await client.get(f"/search-explanations?{query}")
    page = Page(response.text)
    assert response.status_code == status and message in page.text() and page.find("header", class_="top")
