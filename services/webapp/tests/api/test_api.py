"""The JSON of features: equal to the dataset's rows; error responses."""

from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI


async def feature(client: httpx.AsyncClient, index: int) -> dict[str, Any]:
    response = await client.get(f"/api/feature/small/2-res/{index}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_feature_has_the_known_columns_with_the_datasets_values(
    client: httpx.AsyncClient, small_dataset: Path
) -> None:
    table = pq.read_table(small_dataset / "2-res" / "features-00000.parquet").to_pylist()
    contexts = pq.read_table(small_dataset / "corpus" / "contexts.parquet").to_pylist()
    vocabulary = pq.read_table(small_dataset / "corpus" / "vocabulary.parquet")["token"].to_pylist()
    for row in table:
        body = await feature(client, row["index"])
        assert (body["modelId"], body["layer"], body["index"]) == ("small", "2-res", str(row["index"]))
        assert body["maxActApprox"] == pytest.approx(row["max_activation"])
        assert body["frac_nonzero"] == pytest.approx(row["density"])
        assert body["pos_str"] == [vocabulary[i].replace("\0", "␀") for i in row["positive_token_ids"]]
        assert body["neg_values"] == pytest.approx(row["negative_logits"])
        assert body["freq_hist_data_bar_heights"] == row["activation_histogram"]
        assert len(body["logits_hist_data_bar_values"]) == len(row["logit_histogram"])
        assert body["topkCosSimIndices"] == [row["index"], *row["neighbour_indices"]]
        assert body["correlated_features_pearson"] == pytest.approx(row["correlated_pearson"])
        assert len(body["activations"]) == len(row["example_groups"])
        tops = [activation for activation in body["activations"] if activation["binMin"] == -1]
        assert len(tops) == row["example_groups"].count(0)
        for number, activation in enumerate(tops):
            context = contexts[row["example_contexts"][number]]
            assert activation["tokens"] == [vocabulary[i].replace("\0", "␀") for i in context["token_ids"]]
            dense = [0.0] * len(activation["tokens"])
            for position, value in zip(row["value_positions"][number], row["values"][number], strict=True):
                dense[position] = value
            assert activation["values"] == pytest.approx(dense)
            assert (
                activation["values"][activation["maxValueTokenIndex"]]
                == activation["maxValue"]
                == max(activation["values"])
            )
        for activation in body["activations"]:
            if activation["binMin"] != -1:
                value = activation["values"][activation["qualifyingTokenIndex"]]
                assert activation["binMin"] < value <= activation["binMax"] * (1 + 1e-6)


async def test_live_neighbours_by_index_skip_the_dead(client: httpx.AsyncClient) -> None:
    body = await feature(client, 14)
    assert (body["previousLiveIndex"], body["nextLiveIndex"]) == (13, 16)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/api/feature/nope/2-res/1", 404, "There is no model 'nope'; available: small."),
        ("GET", "/api/feature/small/nope/1", 404, "small has no source 'nope'; it has 1-res, 2-res, 3-res."),
        ("GET", "/api/feature/small/2-res/64/", 404, "has no feature 64; its features are 0 to 63."),
        ("GET", "/api/feature/small/2-res/-1", 400, "'-1' is not the index of a feature"),
        ("POST", "/api/feature/small/2-res/1", 405, "does not support the method POST"),
        ("GET", "/api/steer/", 405, "/api/steer does not support the method GET; it supports POST."),
        ("GET", "/api/explanation/generate", 405, "does not support the method GET"),
        ("POST", "/api/feature/small/2-res/1", 405, "; it supports GET."),
        ("GET", "/api/nope", 404, "The path /api/nope does not exist. The API's routes are listed at /api-doc"),
        (
            "POST",
            "/api/list/new",
            404,
            "The path /api/list/new does not exist. The API's routes are listed at /api-doc",
        ),
        ("DELETE", "/api/a/b/c", 404, "The path /api/a/b/c does not exist."),
        ("GET", "/api", 404, "The path /api does not exist."),
    ],
)
async def test_errors_are_json_with_both_keys(
    client: httpx.AsyncClient, method: str, path: str, status: int, message: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    body = response.json()
    assert set(body) == {"error", "message"} and body["error"] == body["message"] and message in body["error"]


async def test_a_trailing_slash_is_answered_without_redirect(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/feature/small/2-res/1/")).json() == await feature(client, 1)


async def test_operation_ids_are_unique(app: FastAPI) -> None:
    ids = [operation["operationId"] for path in app.openapi()["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) and "get_feature" in ids
