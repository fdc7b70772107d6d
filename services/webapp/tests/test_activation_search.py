"""Search by text: over all sources of a set, and token by token; JSON and pages."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from memicos_testing.fake_inference_server import FEATURES, FakeInferenceServer, tokens_of, value_of
from memicos_testing.html_page import Page
from memicos_testing.servers import Start
from memicos_webapp.activation_search.share_ranking import SourceActivations, rank_by_share
from memicos_webapp.formatting import format_percent, format_value

TEXT = "the whale rose from the sea"
TOKENS = tokens_of(TEXT)
SOURCES = ("1-res", "2-res", "3-res")


def densities(dataset: Path, source: str) -> dict[int, float]:
    table = pq.read_table(dataset / source / "features-00000.parquet", columns=["index", "density"]).to_pylist()
    return {row["index"]: row["density"] for row in table}


def largest_activations(dataset: Path) -> dict[tuple[str, int], float]:
    """The largest activation of each feature, as the dataset's files have it."""
    columns = ["index", "max_activation"]
    return {
        (source, row["index"]): row["max_activation"]
        for source in SOURCES
        for row in pq.read_table(dataset / source / "features-00000.parquet", columns=columns).to_pylist()
    }


def shares(dataset: Path, by: Any) -> list[tuple[float, str, str]]:
    """(share, source, index) of every feature with one, largest first, from the dataset and the fake's arithmetic."""
    computed = [
        (by(values(source, index)) / largest, source, str(index))
        for (source, index), largest in largest_activations(dataset).items()
        if largest > 0
    ]
    return sorted((item for item in computed if item[0] > 0), key=lambda item: (-item[0], item[1], int(item[2])))


def values(source: str, index: int) -> list[float]:
    return [value_of(source, index, token) for token in TOKENS]


def ranked(sources: tuple[str, ...], by: Any) -> list[float]:
    """What the strongest features are ranked by, strongest first, by the double's arithmetic."""
    scores = [by(values(source, index)) for source in sources for index in range(FEATURES)]
    return sorted((score for score in scores if score > 0), reverse=True)


async def search_all(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    body = {"modelId": "small", "sourceSet": "res", "text": TEXT, **changes}
    answer = await client.post("/api/search-all", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_strongest_features_of_all_sources(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    found = await search_all(client)
    assert found["tokens"] == TOKENS and found["sortIndexes"] == []
    assert len(found["result"]) == 50
    assert [one["maxValue"] for one in found["result"]] == ranked(SOURCES, lambda one: max(one[1:]))[:50]
    for one in found["result"]:
        assert one["values"] == values(one["layer"], int(one["index"]))
        assert one["values"][one["maxValueIndex"]] == one["maxValue"] and one["maxValueIndex"] > 0
        neuron = one["neuron"]
        assert (neuron["modelId"], neuron["layer"], neuron["index"]) == ("small", one["layer"], one["index"])
        assert len(neuron["pos_str"]) == 10
        if neuron["maxActApprox"]:
            assert neuron["explanations"][0]["typeName"] == "token-statistics"
            (example,) = neuron["activations"]
            assert example["maxValue"] == pytest.approx(neuron["maxActApprox"])
    # BOS counts where it is asked for
    found = await search_all(client, ignoreBos=False)
    assert {one["maxValue"] for one in found["result"]} == {100}


async def test_ranked_by_chosen_tokens(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    found = await search_all(client, sortIndexes=[6, 2], numResults=7)
    assert found["sortIndexes"] == [6, 2]
    assert [one["sumValues"] for one in found["result"]] == ranked(SOURCES, lambda one: one[2] + one[6])[:7]
    # features that are silent there are no results, though they fire elsewhere
    found = await search_all(client, sortIndexes=[2], numResults=100)
    expected = ranked(SOURCES, lambda one: one[2])
    assert [one["sumValues"] for one in found["result"]] == expected and len(expected) < 100
    # BOS counts where it is asked for
    found = await search_all(client, sortIndexes=[0], ignoreBos=False)
    assert {one["sumValues"] for one in found["result"]} == {100}


def returned_shares(result: dict[str, Any]) -> list[tuple[float, str, str]]:
    return [(item["share"], item["layer"], item["index"]) for item in result["result"]]


def close(items: list[tuple[float, str, str]]) -> list[tuple[Any, str, str]]:
    # the database keeps the largest activations as 32-bit numbers
    return [(pytest.approx(share, rel=1e-6), source, index) for share, source, index in items]


@pytest.mark.parametrize("limit", [3, 20, 100])
async def test_ranked_by_share_of_the_largest_activation(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path, limit: int
) -> None:
    found = await search_all(client, rank="share", numResults=limit)
    expected = shares(small_dataset, lambda values: max(values[1:]))
    assert found["rank"] == "share" and len(expected) > 100
    assert returned_shares(found) == close(expected[:limit])
    # this ranking is another one than that by activation
    assert [item["maxValue"] for item in found["result"]] != ranked(SOURCES, lambda one: max(one[1:]))[:limit]
    for item in found["result"]:
        # values cover every position, BOS included, as with rank raw
        assert item["values"] == values(item["layer"], int(item["index"]))
        assert item["maxValue"] == max(item["values"][1:]) == item["values"][item["maxValueIndex"]]
        assert item["neuron"]["maxActApprox"] * item["share"] == pytest.approx(item["maxValue"], rel=1e-6)
    assert found["recipes"].keys() == set(SOURCES)


async def test_share_at_chosen_tokens_without_dense_features_and_with_bos(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    found = await search_all(client, rank="share", sortIndexes=[6, 2, 6], numResults=30)
    expected = shares(small_dataset, lambda values: values[2] + values[6])
    assert returned_shares(found) == close(expected[:30])
    assert all(item["sumValues"] == item["values"][2] + item["values"][6] for item in found["result"])
    found = await search_all(client, rank="share", ignoreBos=False, numResults=10)
    assert returned_shares(found) == close(shares(small_dataset, lambda values: values[0])[:10])
    rare = {source: densities(small_dataset, source) for source in SOURCES}
    found = await search_all(client, rank="share", densityThreshold=0.025, numResults=20)
    expected = [
        item for item in shares(small_dataset, lambda values: max(values[1:])) if rare[item[1]][int(item[2])] <= 0.025
    ]
    assert returned_shares(found) == close(expected[:20])
    for positions, words in (([99], "positions of 7 tokens"), ([0], "position 0 does not count")):
        body = {"modelId": "small", "sourceSet": "res", "text": TEXT, "rank": "share", "sortIndexes": positions}
        answer = await client.post("/api/search-all", json=body)
        assert answer.status_code == 400 and words in answer.json()["error"]


async def test_raw_stays_the_default_of_the_api(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    found = await search_all(client)
    assert found["rank"] == "raw" and found == await search_all(client, rank="raw")
    for item in found["result"]:
        largest = item["neuron"]["maxActApprox"]
        assert item["share"] == (pytest.approx(item["maxValue"] / largest) if largest else None)
    answer = await client.post(
        "/api/search-all", json={"modelId": "small", "sourceSet": "res", "text": TEXT, "rank": "loudest"}
    )
    assert answer.status_code == 422 and "rank" in answer.json()["error"]


def test_ranking_by_share_against_brute_force() -> None:
    """Random sparse activations of sources with different scales and ignored positions, by dense arithmetic."""
    generator = np.random.default_rng(0)
    tokens, count = 12, 300
    names = ["a", "b", "c"]
    dense = {
        name: generator.gamma(2, 10.0**scale, (count, tokens)) * (generator.random((count, tokens)) < 0.1)
        for scale, name in enumerate(names)
    }
    largest = {
        (name, index): float(generator.gamma(3, 10.0**scale))
        for scale, name in enumerate(names)
        for index in range(count)
        if generator.random() < 0.9
    }
    ignored = {"a": {0}, "b": {0, 3}, "c": set()}
    sources = [
        SourceActivations(
            name,
            {
                index: [(int(position), float(row[position])) for position in np.flatnonzero(row)]
                for index, row in enumerate(dense[name])
                if row.any()
            },
            frozenset(ignored[name]),
        )
        for name in names
    ]
    for positions in ([], [2], [0, 3, 7]):
        expected = []
        for name in names:
            counted = dense[name].copy()
            counted[:, list(ignored[name])] = 0
            scores = counted[:, positions].sum(1) if positions else counted.max(1)
            expected += [
                (scores[index] / largest[name, index], name, index)
                for index in range(count)
                if scores[index] > 0 and (name, index) in largest
            ]
        expected.sort(key=lambda item: (-item[0], item[1], item[2]))
        found = rank_by_share(sources, largest, tokens, positions, 50)
        assert [(item.source, item.index) for item in found] == [item[1:] for item in expected[:50]]
        assert [item.share for item in found] == pytest.approx([item[0] for item in expected[:50]])
        for item in found:
            assert item.values == dense[item.source][item.index].tolist()


async def test_some_sources_and_several_texts(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    found = await search_all(client, selectedLayers=["3-res", "1-res"], text=["a b", TEXT])
    assert [one["tokens"] for one in found["results"]] == [tokens_of("a b"), TOKENS]
    assert {one["layer"] for one in found["results"][1]["result"]} == {"1-res", "3-res"}
    # the sources go to inference in their own order
    assert inference.bodies("/v1/activation/all")[0]["selected_sources"] == ["1-res", "3-res"]


async def test_dense_features_are_left_out_before_the_limit(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    threshold = 0.025
    found = await search_all(client, densityThreshold=threshold, numResults=20)
    rare = {source: densities(small_dataset, source) for source in SOURCES}
    expected = sorted(
        (
            max(values(source, index)[1:])
            for source in SOURCES
            for index in range(FEATURES)
            if rare[source][index] <= threshold
        ),
        reverse=True,
    )
    assert [one["maxValue"] for one in found["result"]] == expected[:20]
    assert all(rare[one["layer"]][int(one["index"])] <= threshold for one in found["result"])
    # 0 and -1 keep all, as the published client's defaults have it
    kept = [(await search_all(client, densityThreshold=number))["result"] for number in (0, -1)]
    assert kept[0] == kept[1] == (await search_all(client))["result"]


async def test_an_inference_server_that_gives_fewer_results(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.max_num_results = 5
    # capabilities are read anew when the server was away
    inference.state = "loading"
    await client.get("/small/inference")
    inference.state = "ready"
    assert len((await search_all(client))["result"]) == 5
    assert len((await search_all(client, densityThreshold=0.025))["result"]) <= 5


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"modelId": "nope"}, 404, "There is no model 'nope' here; there is small."),
        ({"sourceSet": "nope"}, 404, "small has no source set 'nope'; it has res."),
        ({"selectedLayers": ["1-res", "9-res"]}, 400, "9-res: no source of the set 'res' of small; it has 1-res"),
        ({"text": ""}, 400, "A text is empty"),
        ({"text": []}, 400, "0 texts were sent"),
        ({"text": ["a"] * 5}, 400, "1 to 4 are taken at once"),
        ({"text": "a " * 50}, 400, "Text too long"),
        ({"text": 3}, 422, "text must be a string or a list of strings."),
        ({"numResults": 0}, 422, "numResults"),
        ({"numResults": 101}, 422, "numResults"),
        ({"sortIndexes": [99]}, 400, "positions of 7 tokens"),
        ({"sortIndexes": [2, 0]}, 400, "sortIndexes: position 0 does not count"),
        ({"sortIndexes": [-1]}, 422, "sortIndexes.0 must be 0 or more."),
        ({"sortIndexes": ["x"]}, 422, "sortIndexes"),
        ({"densityThreshold": 1.5}, 422, "densityThreshold"),
        ({"densityThreshold": "nan"}, 422, "densityThreshold must be a finite number."),
        ({"modelId": ["small"]}, 422, "modelId"),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any], status: int, words: str
) -> None:
    body = {"modelId": "small", "sourceSet": "res", "text": TEXT, **changes}
    answer = await client.post("/api/search-all", json=body)
    assert answer.status_code == status and words in answer.json()["error"], answer.text


async def by_token(client: httpx.AsyncClient, **changes: Any) -> Any:
    body = {"modelId": "small", "source": "1-res", "text": TEXT, "densityThreshold": 0, **changes}
    answer = await client.post("/api/search-topk-by-token", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_strongest_features_at_each_token(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    found = await by_token(client, numResults=4)
    assert found["source"] == "1-res"
    # positions count from BOS, which is left out
    assert [(row["position"], row["token"]) for row in found["results"]] == list(enumerate(TOKENS))[1:]
    for row in found["results"]:
        at = sorted((value_of("1-res", i, row["token"]) for i in range(FEATURES)), reverse=True)
        assert [one["activationValue"] for one in row["topFeatures"]] == [value for value in at[:4] if value > 0]
        for one in row["topFeatures"]:
            assert one["feature"]["index"] == str(one["featureIndex"]) and not row["isSpecial"]
    found = await by_token(client, ignoreBos=False)
    assert found["results"][0]["isSpecial"] and found["results"][0]["topFeatures"][0]["activationValue"] == 100
    assert len((await by_token(client, text=["a b", TEXT]))["results"]) == 2


async def test_dense_features_are_left_out_at_each_token(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    threshold, rare = 0.025, densities(small_dataset, "1-res")
    found = await by_token(client, numResults=3, densityThreshold=threshold)
    for row in found["results"]:
        at = sorted((value_of("1-res", i, row["token"]) for i in rare if rare[i] <= threshold), reverse=True)
        assert [one["activationValue"] for one in row["topFeatures"]] == [value for value in at[:3] if value > 0]


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"modelId": "nope"}, 404, "There is no model 'nope'"),
        ({"source": "9-res"}, 404, "small has no source '9-res'"),
        ({"source": "x" * 101}, 422, "at most 100 characters"),
        ({"numResults": 21}, 422, "numResults"),
        ({"text": None}, 422, "text"),
        ({"densityThreshold": 2}, 422, "densityThreshold"),
    ],
)
async def test_bad_requests_token_by_token(
    client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any], status: int, words: str
) -> None:
    body = {"modelId": "small", "source": "1-res", "text": TEXT, **changes}
    answer = await client.post("/api/search-topk-by-token", json=body)
    assert answer.status_code == status and words in answer.json()["error"], answer.text


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Page:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert page.open == []
    return page


@pytest.mark.parametrize("path", ["/search", "/search-topk-by-token"])
async def test_the_page_names_a_source_that_there_is_not(client: httpx.AsyncClient, path: str) -> None:
    page = await get(client, path, modelId="small", sourceSet="res", q=TEXT, selectedLayers="9-res")
    assert "small/res has no source 9-res; it has 1-res, 2-res, 3-res." in page.text()
    assert not page.find("div", id="results")


async def test_the_page_runs_the_text_of_its_address(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    query = {"modelId": "small", "sourceSet": "res", "q": TEXT, "selectedLayers": '["1-res","3-res"]'}
    page = await get(client, "/search", **query, hideDense="false")
    assert page.find("textarea")[0][1] == TEXT
    checked = [has["value"] for has, _ in page.find("input", name="selectedLayers") if "checked" in has]
    assert checked == ["1-res", "3-res"]
    (has, _) = page.find("div", id="results")[0]
    assert has["hx-trigger"] == "load"
    results = Page((await client.get(has["hx-get"] or "")).text)
    assert results.open == []
    hits = results.find("div", class_="result")
    assert hits and {urlsplit(one["href"] or "").path.split("/")[2] for one, _ in results.find("a") if
                     (one["href"] or "").startswith("/small/")} == {"1-res", "3-res"}  # fmt: skip
    # each token ranks by itself, in an address of its own
    chips = results.find("a", class_="token-link")
    assert [text for _, text in chips] == TOKENS[1:]
    query = parse_qs(urlsplit(chips[1][0]["href"] or "").query)
    assert json.loads(query["sortIndexes"][0]) == [2]


async def test_ranking_by_tokens_on_the_page(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    path = "/search/results"
    results = await get(client, path, modelId="small", q=TEXT, sortIndexes="[2]", hideDense="false", rank="raw")
    shown = [text for _, text in results.find("div", class_="example-value")]
    assert shown == [format_value(number) for number in ranked(SOURCES, lambda one: one[2])[:30]]
    (chosen,) = [text for has, text in results.find("a", class_="token-link") if has.get("aria-current")]
    assert chosen == " whale"


async def test_the_page_ranks_by_share_and_says_so(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    results = await get(client, "/search/results", modelId="small", q=TEXT, hideDense="false")
    expected = shares(small_dataset, lambda values: max(values[1:]))[:30]
    shown = [text.split("%")[0] + "%" for _, text in results.find("div", class_="example-value")]
    assert shown == [format_percent(share) for share, _, _ in expected]
    assert "as a share of each feature’s maximum activation" in results.text()
    (other, _) = next(link for link in results.find("a") if link[1] == "Rank by raw activation")
    assert parse_qs(urlsplit(other["href"] or "").query)["rank"] == ["raw"]
    # features of the start of a text are counted aloud
    first = [
        index for _, source, index in expected if values(source, int(index))[1] == max(values(source, int(index))[1:])
    ]
    assert f"{len(first)} of these 30 features are most active at the first token" in results.text()
    # the chosen ranking stays in the form
    page = await get(client, "/search", modelId="small", q=TEXT, rank="raw")
    assert [has["value"] for has, _ in page.find("option") if "selected" in has] == ["small/res", "raw"]
    bad = await client.get("/search/results", params={"modelId": "small", "q": TEXT, "rank": "loudest"})
    assert bad.status_code == 400 and "it is one of raw, share" in bad.text


async def test_with_every_source_unticked_nothing_is_searched(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    # what the form sends then
    form = {"modelId": "small", "sourceSet": "res", "q": TEXT, "selectedLayers": ""}
    page = await get(client, "/search", **form)
    assert "No source is chosen: choose at least one to search in." in page.text()
    assert not page.find("div", id="results")
    boxes = page.find("input", type="checkbox", name="selectedLayers")
    assert len(boxes) == 3 and not [has for has, _ in boxes if "checked" in has]
    answer = await client.get("/search/results", params=form)
    assert answer.status_code == 400 and "No source is chosen" in answer.text
    assert inference.seen == []
    # the form always sends the empty value, so that no tick is not mistaken for an address without sources
    (hidden, _) = page.find("input", type="hidden", name="selectedLayers")[0]
    assert hidden["value"] == ""
    page = await get(client, "/search", **(form | {"selectedLayers": ["", "2-res"]}))
    boxes = page.find("input", type="checkbox", name="selectedLayers")
    assert [has["value"] for has, _ in boxes if "checked" in has] == ["2-res"]


async def test_an_empty_database_has_nothing_to_search(fresh_url: str, started: Start) -> None:
    async with started(fresh_url) as client:
        for path in ("/search/results", "/search-topk-by-token/results"):
            answer = await client.get(path, params={"q": "x"})
            assert answer.status_code == 404 and "No features have been imported yet" in answer.text


async def test_what_a_feature_is_ranked_by_is_shown(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    text = " ".join(f"w{i}" for i in range(48))
    # of a text this long each result shows a part
    for position in (1, 48):
        results = await get(client, "/search/results", q=text, sortIndexes=f"[{position}]", hideDense="false")
        hits = results.text().split("activation density ")[1:]
        assert hits and all(f" w{position - 1} " in f"{hit} " for hit in hits)


async def test_an_address_without_a_set_takes_the_first(client: httpx.AsyncClient) -> None:
    page = await get(client, "/search")
    assert not page.find("div", id="results")
    assert [has["value"] for has, _ in page.find("option") if "selected" in has] == ["small/res", "share"]


async def test_the_token_page(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    page = await get(client, "/search-topk-by-token", modelId="small", source="3-res", text=TEXT)
    assert [has["value"] for has, _ in page.find("input", type="radio") if "checked" in has] == ["3-res"]
    results = Page((await client.get(page.find("div", id="results")[0][0]["hx-get"] or "")).text)
    assert results.open == []
    assert [text for _, text in results.find("span", class_="token")] == TOKENS
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
    for answer, block in ((features, '<div class="example result">'), (tokens, "<li>")):
        assert "Shading: share of each feature’s maximum activation" in Page(answer.text).text()
        blocks = answer.text.split(block)[1:]
        assert len(blocks) > 5
        for text in blocks:
            source, index = re.findall(r'href="/small/([^/]+)/(\d+)"', text)[0]
            shown = re.findall(r'class="(?:num token-value )?a(\d)"(?: title="([^"]+)")?>([^<]*)<', text)
            assert shown
            for number, title, inside in shown:
                values = [value_of(source, int(index), token) for token in TOKENS[1:]]
                possible = {level(source, int(index), v) for v in values if format_value(v) == (title or inside)}
                assert int(number) in possible, (source, index, number)
                levels.add(int(number))
    assert len(levels) > 3


async def test_another_sets_sources_are_offered(client: httpx.AsyncClient) -> None:
    page = await get(client, "/search/sources", set="small/res", view="tokens")
    assert [has["value"] for has, _ in page.find("input", type="radio")] == list(SOURCES)


async def test_while_inference_loads_results_ask_again(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.state = "loading"
    page = await get(client, "/search", modelId="small", q=TEXT)
    assert "inference is loading" in page.text()
    for path in ("/search/results", "/search-topk-by-token/results"):
        results = await get(client, path, modelId="small", q=TEXT)
        (has, _) = results.find("p", class_="loading")[0]
        assert (has["hx-get"] or "").startswith(f"{path}?") and has["hx-trigger"] == "load delay:2s"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/search?modelId=nope&q=a", 200, "There is no set nope/; there is small/res."),
        ("/search?sortIndexes=x&q=a", 200, "sortIndexes: “x” is not the position of a token."),
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
async def test_what_is_wrong_with_an_address_is_said(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, status: int, words: str
) -> None:
    answer = await client.get(path, headers={"HX-Request": "true"} if "results" in path else {})
    assert answer.status_code == status and words in Page(answer.text).text()
