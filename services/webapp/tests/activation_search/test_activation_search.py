"""Search by text: over all sources of a set, and token by token; JSON and pages."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from memicos_testing.fake_inference_server import FEATURES, FakeInferenceServer, tokens_of, value_of
from memicos_testing.webapp.expected_activations import SOURCES, TEXT, TOKENS, ranked, shares, values
from memicos_webapp.activation_search.share_ranking import SourceActivations, rank_by_share


def densities(dataset: Path, source: str) -> dict[int, float]:
    table = pq.read_table(dataset / source / "features-00000.parquet", columns=["index", "density"]).to_pylist()
    return {row["index"]: row["density"] for row in table}


async def search_all(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    body = {"modelId": "small", "sourceSet": "res", "text": TEXT, **changes}
    response = await client.post("/api/search-all", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_strongest_features_of_all_sources(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    results = await search_all(client)
    assert results["tokens"] == TOKENS and results["sortIndexes"] == []
    assert len(results["result"]) == 50
    assert [result["maxValue"] for result in results["result"]] == ranked(SOURCES, lambda item: max(item[1:]))[:50]
    for result in results["result"]:
        assert result["values"] == values(result["layer"], int(result["index"]))
        assert result["values"][result["maxValueIndex"]] == result["maxValue"] and result["maxValueIndex"] > 0
        neuron = result["neuron"]
        assert (neuron["modelId"], neuron["layer"], neuron["index"]) == ("small", result["layer"], result["index"])
        assert len(neuron["pos_str"]) == 10
        if neuron["maxActApprox"]:
            assert neuron["explanations"][0]["typeName"] == "token-statistics"
            (example,) = neuron["activations"]
            assert example["maxValue"] == pytest.approx(neuron["maxActApprox"])
    # BOS counts where it is asked for
    results = await search_all(client, ignoreBos=False)
    assert {result["maxValue"] for result in results["result"]} == {100}


async def test_ranked_by_chosen_tokens(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    results = await search_all(client, sortIndexes=[6, 2], numResults=7)
    assert results["sortIndexes"] == [6, 2]
    assert [result["sumValues"] for result in results["result"]] == ranked(SOURCES, lambda item: item[2] + item[6])[:7]
    # inactive features are not results, even if they fire on other texts
    results = await search_all(client, sortIndexes=[2], numResults=100)
    expected = ranked(SOURCES, lambda item: item[2])
    assert [result["sumValues"] for result in results["result"]] == expected and len(expected) < 100
    # BOS counts where it is asked for
    results = await search_all(client, sortIndexes=[0], ignoreBos=False)
    assert {result["sumValues"] for result in results["result"]} == {100}


def returned_shares(result: dict[str, Any]) -> list[tuple[float, str, str]]:
    return [(item["share"], item["layer"], item["index"]) for item in result["result"]]


def close(items: list[tuple[float, str, str]]) -> list[tuple[Any, str, str]]:
    # the database stores the largest activations as 32-bit numbers
    return [(pytest.approx(share, rel=1e-6), source, index) for share, source, index in items]


@pytest.mark.parametrize("limit", [3, 20, 100])
async def test_ranked_by_share_of_the_largest_activation(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path, limit: int
) -> None:
    results = await search_all(client, rank="share", numResults=limit)
    expected = shares(small_dataset, lambda values: max(values[1:]))
    assert results["rank"] == "share" and len(expected) > 100
    assert returned_shares(results) == close(expected[:limit])
    # the ranking differs from that by activation
    assert [item["maxValue"] for item in results["result"]] != ranked(SOURCES, lambda item: max(item[1:]))[:limit]
    for item in results["result"]:
        # values cover every position, BOS included, as with rank raw
        assert item["values"] == values(item["layer"], int(item["index"]))
        assert item["maxValue"] == max(item["values"][1:]) == item["values"][item["maxValueIndex"]]
        assert item["neuron"]["maxActApprox"] * item["share"] == pytest.approx(item["maxValue"], rel=1e-6)
    assert results["recipes"].keys() == set(SOURCES)


async def test_share_at_chosen_tokens_without_dense_features_and_with_bos(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    results = await search_all(client, rank="share", sortIndexes=[6, 2, 6], numResults=30)
    expected = shares(small_dataset, lambda values: values[2] + values[6])
    assert returned_shares(results) == close(expected[:30])
    assert all(item["sumValues"] == item["values"][2] + item["values"][6] for item in results["result"])
    results = await search_all(client, rank="share", ignoreBos=False, numResults=10)
    assert returned_shares(results) == close(shares(small_dataset, lambda values: values[0])[:10])
    rare = {source: densities(small_dataset, source) for source in SOURCES}
    results = await search_all(client, rank="share", densityThreshold=0.025, numResults=20)
    expected = [
        item for item in shares(small_dataset, lambda values: max(values[1:])) if rare[item[1]][int(item[2])] <= 0.025
    ]
    assert returned_shares(results) == close(expected[:20])
    for positions, message in (([99], "positions of 7 tokens"), ([0], "position 0 does not count")):
        body = {"modelId": "small", "sourceSet": "res", "text": TEXT, "rank": "share", "sortIndexes": positions}
        response = await client.post("/api/search-all", json=body)
        assert response.status_code == 400 and message in response.json()["error"]


async def test_raw_stays_the_default_of_the_api(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    results = await search_all(client)
    assert results["rank"] == "raw" and results == await search_all(client, rank="raw")
    for item in results["result"]:
        largest = item["neuron"]["maxActApprox"]
        assert item["share"] == (pytest.approx(item["maxValue"] / largest) if largest else None)
    response = await client.post(
        "/api/search-all", json={"modelId": "small", "sourceSet": "res", "text": TEXT, "rank": "loudest"}
    )
    assert response.status_code == 422 and "rank" in response.json()["error"]


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
        results = rank_by_share(sources, largest, tokens, positions, 50)
        assert [(item.source, item.index) for item in results] == [item[1:] for item in expected[:50]]
        assert [item.share for item in results] == pytest.approx([item[0] for item in expected[:50]])
        for item in results:
            assert item.values == dense[item.source][item.index].tolist()


async def test_some_sources_and_several_texts(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    results = await search_all(client, selectedLayers=["3-res", "1-res"], text=["a b", TEXT])
    assert [result["tokens"] for result in results["results"]] == [tokens_of("a b"), TOKENS]
    assert {result["layer"] for result in results["results"][1]["result"]} == {"1-res", "3-res"}
    # sources are sent to inference in their own order
    assert inference.bodies("/v1/activation/all")[0]["selected_sources"] == ["1-res", "3-res"]


async def test_dense_features_are_left_out_before_the_limit(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    threshold = 0.025
    results = await search_all(client, densityThreshold=threshold, numResults=20)
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
    assert [result["maxValue"] for result in results["result"]] == expected[:20]
    assert all(rare[result["layer"]][int(result["index"])] <= threshold for result in results["result"])
    # 0 and -1 keep all, as the published client's defaults
    result_lists = [(await search_all(client, densityThreshold=number))["result"] for number in (0, -1)]
    assert result_lists[0] == result_lists[1] == (await search_all(client))["result"]


async def test_an_inference_server_that_returns_fewer_results(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.max_num_results = 5
    # capabilities are read again after the server was down
    inference.state = "loading"
    await client.get("/small/inference")
    inference.state = "ready"
    assert len((await search_all(client))["result"]) == 5
    assert len((await search_all(client, densityThreshold=0.025))["result"]) <= 5


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"modelId": "nope"}, 404, "There is no model 'nope'; available: small."),
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
    client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any], status: int, message: str
) -> None:
    body = {"modelId": "small", "sourceSet": "res", "text": TEXT, **changes}
    response = await client.post("/api/search-all", json=body)
    assert response.status_code == status and message in response.json()["error"], response.text


async def by_token(client: httpx.AsyncClient, **changes: Any) -> Any:
    body = {"modelId": "small", "source": "1-res", "text": TEXT, "densityThreshold": 0, **changes}
    response = await client.post("/api/search-topk-by-token", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_strongest_features_at_each_token(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    results = await by_token(client, numResults=4)
    assert results["source"] == "1-res"
    # positions count from BOS, which is excluded
    assert [(row["position"], row["token"]) for row in results["results"]] == list(enumerate(TOKENS))[1:]
    for row in results["results"]:
        at = sorted((value_of("1-res", i, row["token"]) for i in range(FEATURES)), reverse=True)
        assert [feature["activationValue"] for feature in row["topFeatures"]] == [
            value for value in at[:4] if value > 0
        ]
        for feature in row["topFeatures"]:
            assert feature["feature"]["index"] == str(feature["featureIndex"]) and not row["isSpecial"]
    results = await by_token(client, ignoreBos=False)
    assert results["results"][0]["isSpecial"] and results["results"][0]["topFeatures"][0]["activationValue"] == 100
    assert len((await by_token(client, text=["a b", TEXT]))["results"]) == 2


async def test_dense_features_are_left_out_at_each_token(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    threshold, rare = 0.025, densities(small_dataset, "1-res")
    results = await by_token(client, numResults=3, densityThreshold=threshold)
    for row in results["results"]:
        at = sorted((value_of("1-res", i, row["token"]) for i in rare if rare[i] <= threshold), reverse=True)
        assert [feature["activationValue"] for feature in row["topFeatures"]] == [
            value for value in at[:3] if value > 0
        ]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"modelId": "nope"}, 404, "There is no model 'nope'"),
        ({"source": "9-res"}, 404, "small has no source '9-res'"),
        ({"source": "x" * 101}, 422, "at most 100 characters"),
        ({"numResults": 21}, 422, "numResults"),
        ({"text": None}, 400, "Exactly one of text and messages is required"),
        ({"densityThreshold": 2}, 422, "densityThreshold"),
    ],
)
async def test_bad_requests_token_by_token(
    client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any], status: int, message: str
) -> None:
    body = {"modelId": "small", "source": "1-res", "text": TEXT, **changes}
    response = await client.post("/api/search-topk-by-token", json=body)
    assert response.status_code == status and message in response.json()["error"], response.text
