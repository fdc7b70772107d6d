"""Pages of search by activation, and of search token by token."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyarrow.parquet as pq
import pytest
from memicos_testing.fake_inference_server import FEATURES, FakeInferenceServer, value_of
from memicos_testing.servers import Start
from memicos_testing.webapp.expected_activations import SOURCES, TEXT, TOKENS, ranked, shares, values
from memicos_testing.webapp.html_page import Page
from memicos_webapp.formatting import format_percent, format_value


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Page:
    response = await client.get(path, params=query)
    assert response.status_code == 200, response.text
    page = Page(response.text)
    assert page.open == []
    return page


@pytest.mark.parametrize("path", ["/search", "/search-topk-by-token"])
async def test_the_page_names_an_unknown_source(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(
        path, params={"modelId": "small", "sourceSet": "res", "q": TEXT, "selectedLayers": "9-res"}
    )
    page = Page(response.text)
    assert response.status_code == 400
    assert "small/res has no source 9-res; it has 1-res, 2-res, 3-res." in page.text()
    assert not page.find("div", id="results")


async def test_the_page_runs_the_text_of_its_address(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    query = {"modelId": "small", "sourceSet": "res", "q": TEXT, "selectedLayers": '["1-res","3-res"]'}
    page = await get(client, "/search", **query, hideDense="false")
    assert page.find("textarea")[0][1] == TEXT
    checked = [
        attributes["value"] for attributes, _ in page.find("input", name="selectedLayers") if "checked" in attributes
    ]
    assert checked == ["1-res", "3-res"]
    (attributes, _) = page.find("div", id="results")[0]
    assert attributes["hx-trigger"] == "load"
    results = Page((await client.get(attributes["hx-get"] or "")).text)
    assert results.open == []
    hits = results.find("div", class_="result")
    assert hits and {urlsplit(link["href"] or "").path.split("/")[2] for link, _ in results.find("a") if
                     (link["href"] or "").startswith("/small/")} == {"1-res", "3-res"}  # fmt: skip
    # each token is a link that ranks by this token
    token_links = results.find("a", class_="token-link")
    assert [text for _, text in token_links] == TOKENS[1:]
    query = parse_qs(urlsplit(token_links[1][0]["href"] or "").query)
    assert json.loads(query["sortIndexes"][0]) == [2]


async def test_ranking_by_tokens_on_the_page(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    path = "/search/results"
    results = await get(client, path, modelId="small", q=TEXT, sortIndexes="[2]", hideDense="false", rank="raw")
    values_shown = [text for _, text in results.find("div", class_="example-value")]
    assert values_shown == [format_value(number) for number in ranked(SOURCES, lambda item: item[2])[:30]]
    (chosen,) = [text for attributes, text in results.find("a", class_="token-link") if attributes.get("aria-current")]
    assert chosen == " whale"


async def test_the_page_ranks_by_share_and_says_so(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    results = await get(client, "/search/results", modelId="small", q=TEXT, hideDense="false")
    expected = shares(small_dataset, lambda values: max(values[1:]))[:30]
    shares_shown = [text.split("%")[0] + "%" for _, text in results.find("div", class_="example-value")]
    assert shares_shown == [format_percent(share) for share, _, _ in expected]
    assert "as a share of each feature’s maximum activation" in results.text()
    (raw_link, _) = next(link for link in results.find("a") if link[1] == "Rank by raw activation")
    assert parse_qs(urlsplit(raw_link["href"] or "").query)["rank"] == ["raw"]
    # the page shows the number of features of the start of the text
    first = [
        index for _, source, index in expected if values(source, int(index))[1] == max(values(source, int(index))[1:])
    ]
    assert f"{len(first)} of these 30 features are most active at the first token" in results.text()
    # the form keeps the chosen ranking
    page = await get(client, "/search", modelId="small", q=TEXT, rank="raw")
    assert [attributes["value"] for attributes, _ in page.find("option") if "selected" in attributes] == [
        "small/res",
        "raw",
    ]
    invalid = await client.get("/search/results", params={"modelId": "small", "q": TEXT, "rank": "loudest"})
    assert invalid.status_code == 400 and "choose one of raw, share" in invalid.text


async def test_with_every_source_unticked_nothing_is_searched(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    # the parameters that the form then sends
    form = {"modelId": "small", "sourceSet": "res", "q": TEXT, "selectedLayers": ""}
    page = await get(client, "/search", **form)
    assert "No source is chosen: choose at least one to search in." in page.text()
    assert not page.find("div", id="results")
    boxes = page.find("input", type="checkbox", name="selectedLayers")
    assert len(boxes) == 3 and not [attributes for attributes, _ in boxes if "checked" in attributes]
    response = await client.get("/search/results", params=form)
    assert response.status_code == 400 and "No source is chosen" in response.text
    assert inference.seen == []
    # the form always sends the empty value, which distinguishes no tick from an address without sources
    (hidden, _) = page.find("input", type="hidden", name="selectedLayers")[0]
    assert hidden["value"] == ""
    page = await get(client, "/search", **(form | {"selectedLayers": ["", "2-res"]}))
    boxes = page.find("input", type="checkbox", name="selectedLayers")
    assert [attributes["value"] for attributes, _ in boxes if "checked" in attributes] == ["2-res"]


async def test_an_empty_database_has_nothing_to_search(fresh_url: str, started: Start) -> None:
    async with started(fresh_url) as client:
        for path in ("/search/results", "/search-topk-by-token/results"):
            response = await client.get(path, params={"q": "x"})
            assert response.status_code == 404 and "No features have been imported yet" in response.text


async def test_the_ranking_value_is_shown(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    text = " ".join(f"w{i}" for i in range(48))
    # for a long text each result shows a part
    for position in (1, 48):
        results = await get(client, "/search/results", q=text, sortIndexes=f"[{position}]", hideDense="false")
        hits = results.text().split("activation density ")[1:]
        assert hits and all(f" w{position - 1} " in f"{result} " for result in hits)


async def test_an_address_without_a_set_takes_the_first(client: httpx.AsyncClient) -> None:
    page = await get(client, "/search")
    assert not page.find("div", id="results")
    assert [attributes["value"] for attributes, _ in page.find("option") if "selected" in attributes] == [
        "small/res",
        "share",
    ]


async def test_the_token_page(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    page = await get(client, "/search-topk-by-token", modelId="small", source="3-res", text=TEXT)
    assert [
        attributes["value"]
        for attributes, _ in page.find("input", type="radio", name="selectedLayers")
        if "checked" in attributes
    ] == ["3-res"]
    results = Page((await client.get(page.find("div", id="results")[0][0]["hx-get"] or "")).text)
    assert results.open == []
    assert [text for _, text in results.find("bdi", class_="token")] == TOKENS
    results = await get(
        client, "/search-topk-by-token/results", modelId="small", source="3-res", q=TEXT, hideDense="false"
    )
    first = [text for _, text in results.find("span", class_="token-value")]
    at = sorted((value_of("3-res", i, TOKENS[1]) for i in range(FEATURES)), reverse=True)
    expected = [format_value(number) for number in at[:6] if number > 0]
    assert expected and first[: len(expected)] == expected


async def test_levels_are_shares_of_each_features_maximum(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    maximum = {
        (source, row["index"]): row["max_activation"]
        for source in SOURCES
        for row in pq.read_table(small_dataset / source / "features-00000.parquet").to_pylist()
    }

    def level(source: str, index: int, value: float) -> int:
        return min(9, max(1, round(9 * value / maximum[source, index]))) if maximum[source, index] > 0 else 1

    parameters = {"modelId": "small", "source": "3-res", "q": TEXT, "hideDense": "false"}
    features = await client.get("/search/results", params=parameters)
    tokens = await client.get("/search-topk-by-token/results", params=parameters)
    levels = set()
    for response, block in ((features, '<div class="example result">'), (tokens, "<li>")):
        assert "Shading: share of each feature’s maximum activation" in Page(response.text).text()
        blocks = response.text.split(block)[1:]
        assert len(blocks) > 5
        for text in blocks:
            source, index = re.findall(r'href="/small/([^/]+)/(\d+)"', text)[0]
            shaded_tokens = re.findall(r'class="(?:num token-value )?a(\d)"(?: title="([^"]+)")?>([^<]*)<', text)
            assert shaded_tokens
            for number, title, inside in shaded_tokens:
                values = [value_of(source, int(index), token) for token in TOKENS[1:]]
                possible = {level(source, int(index), v) for v in values if format_value(v) == (title or inside)}
                assert int(number) in possible, (source, index, number)
                levels.add(int(number))
    assert len(levels) > 3


async def test_another_sets_sources_are_offered(client: httpx.AsyncClient) -> None:
    page = await get(client, "/search/sources", set="small/res", view="tokens")
    assert [attributes["value"] for attributes, _ in page.find("input", type="radio")] == list(SOURCES)


async def test_results_are_requested_again_while_inference_loads(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.state = "loading"
    page = await get(client, "/search", modelId="small", q=TEXT)
    assert "inference is loading" in page.text()
    for path in ("/search/results", "/search-topk-by-token/results"):
        results = await get(client, path, modelId="small", q=TEXT)
        (attributes, _) = results.find("p", class_="loading")[0]
        assert (attributes["hx-get"] or "").startswith(f"{path}?") and attributes["hx-trigger"] == "load delay:2s"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/search?modelId=nope&q=a", 400, "There is no set nope/; there is small/res."),
        ("/search?sortIndexes=x&q=a", 400, "sortIndexes: “x” is not the position of a token."),
        ("/search/results?modelId=nope&q=a", 400, "There is no set nope/"),
        ("/search/results?sortIndexes=[1e9]&q=a", 400, "is not the position of a token"),
        ("/search/results?sortIndexes=[99]&q=a", 400, "positions of 2 tokens"),
        ("/search/results?sortIndexes=[0]&q=a", 400, "position 0 does not count"),
        ("/search/results?q=", 400, "A text is empty"),
        ("/search/results?q=" + "a+" * 50, 400, "Text too long"),
        ("/search-topk-by-token/results?q=", 400, "A text is empty"),
        ("/search-topk-by-token/results?set=small/nope&q=a", 400, "There is no set small/nope"),
        ("/search/sources?set=nope/nope", 200, ""),
    ],
)
async def test_errors_in_an_address_are_shown(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, status: int, message: str
) -> None:
    response = await client.get(path, headers={"HX-Request": "true"} if "results" in path else {})
    assert response.status_code == status and message in Page(response.text).text()
