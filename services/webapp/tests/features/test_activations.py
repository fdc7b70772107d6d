"""Own text on one feature: the JSON, and the box on the dashboard."""

from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer, tokens_of, value_of
from memicos_testing.servers import Start, free_port
from memicos_testing.webapp.html_page import Page
from memicos_webapp.formatting import format_value

TEXT = "the whale rose from the sea"
# words on which feature 5 of 1-res is inactive, and on which it is active, by the fake server's arithmetic
VALUES = [value_of("1-res", 5, token) for token in tokens_of(TEXT)]


def body(**changes: Any) -> dict[str, Any]:
    return {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": TEXT, **changes}


async def test_values_equal_those_of_inference(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    response = await client.post("/api/activation/new", json=body())
    result = response.json()
    assert result["tokens"] == tokens_of(TEXT) and result["values"] == VALUES
    # every position has a value, BOS included, and counts for the maximum unless ignore_bos is set
    assert (result["maxValue"], result["maxValueTokenIndex"], result["minValue"]) == (100, 0, min(VALUES))
    assert (result["modelId"], result["layer"], result["source"], result["index"]) == ("small", "1-res", "1-res", "5")
    result = (await client.post("/api/activation/new", json=body(ignoreBos=True))).json()
    assert result["values"] == VALUES and result["maxValue"] == max(VALUES[1:]) < 100
    sent = inference.bodies("/v1/activation/single")
    assert [item["ignore_bos"] for item in sent] == [False, True]
    assert {item["prompt"] for item in sent} == {TEXT}


@pytest.mark.parametrize(
    "feature",
    [
        {"modelId": "small", "layer": "1-res", "index": 5},
        {"modelId": "small", "source": "1-res", "index": "5"},
        {"modelId": "small", "source": "1-res", "neuron": 5},
    ],
)
async def test_every_known_name_of_a_feature(
    client: httpx.AsyncClient, inference: FakeInferenceServer, feature: dict[str, Any]
) -> None:
    for name in ("feature", "neuron"):
        response = await client.post("/api/activation/new", json={name: feature, "customText": TEXT})
        assert response.json()["values"] == VALUES


async def test_a_list_of_requests_gets_a_list_of_results(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    results = (await client.post("/api/activation/new", json=body(customText=["a b", TEXT]))).json()
    assert [result["tokens"] for result in results] == [tokens_of("a b"), tokens_of(TEXT)]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"customText": ""}, 400, "A text is empty"),
        ({"customText": []}, 400, "0 texts were sent; 1 to 4 are taken at once."),
        ({"customText": ["a"] * 5}, 400, "5 texts were sent"),
        ({"customText": ["a", ""]}, 400, "A text is empty"),
        ({"customText": 7}, 422, "customText must be a string or a list of strings."),
        ({"customText": ["a", 7]}, 422, "customText must be a string or a list of strings."),
        ({"feature": None}, 422, "feature must be an object, {…}."),
        ({"feature": {"modelId": "nope", "layer": "1-res", "index": 5}}, 404, "There is no model 'nope'"),
        ({"feature": {"modelId": "small", "layer": "9-res", "index": 5}}, 404, "small has no source '9-res'"),
        ({"feature": {"modelId": "small", "layer": "1-res", "index": 64}}, 404, "has no feature 64"),
        ({"feature": {"modelId": "small", "layer": "1-res", "index": -1}}, 422, "feature.index must be 0 or more."),
        (
            {"feature": {"modelId": "small", "layer": "1-res", "index": 2**31}},
            422,
            "feature.index must be 2147483647 or less.",
        ),
        (
            {"feature": {"modelId": "small", "layer": "1-res", "index": 1.5}},
            422,
            "feature.index must be a whole number.",
        ),
        ({"feature": {"modelId": "small", "layer": "1-res"}}, 422, "feature.index is missing."),
        ({"feature": {"modelId": "small", "layer": ["1-res"], "index": 5}}, 422, "feature.layer must be a string."),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient, inference: FakeInferenceServer, changes: dict[str, Any], status: int, message: str
) -> None:
    response = await client.post("/api/activation/new", json=body(**changes))
    assert response.status_code == status and message in response.json()["error"]
    assert inference.seen == []


HTMX = {"HX-Request": "true"}


async def test_the_box_shades_the_text(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    response = await client.post("/small/1-res/5/test", data={"text": TEXT}, headers=HTMX)
    page = Page(response.text)
    assert response.status_code == 200 and page.open == [] and not page.find("h1")
    fires = [(token, value) for token, value in zip(tokens_of(TEXT)[1:], VALUES[1:], strict=True) if value > 0]
    assert fires
    shaded = page.find("i")
    assert [(text, float(attributes["title"] or "")) for attributes, text in shaded] == fires
    # BOS has a value but does not count
    (attributes, text) = page.find("bdi", class_="ignored")[0]
    assert text == "<|bos|>" and "value 100" in (attributes["title"] or "")
    assert max(VALUES) == 100 and f"max {max(VALUES[1:]):.1f} at “ whale”" in page.text()
    strongest = [text for attributes, text in shaded if "max" in (attributes["class"] or "").split()]
    assert strongest == [tokens_of(TEXT)[VALUES.index(max(VALUES[1:]))]]
    link = next(attributes["href"] for attributes, text in page.find("a") if text == "Link to this result")
    assert link == "/small/1-res/5?defaulttesttext=the+whale+rose+from+the+sea"
    assert Page((await client.get(link)).text).find("textarea", id="test-text")[0][1] == TEXT


async def test_levels_are_shares_of_the_features_maximum(
    client: httpx.AsyncClient, inference: FakeInferenceServer, small_dataset: Path
) -> None:
    rows = pq.read_table(small_dataset / "1-res" / "features-00000.parquet").to_pylist()
    maximum = {row["index"]: row["max_activation"] for row in rows if row["max_activation"] > 0}
    words = [f"w{i}" for i in range(200)]
    # a text with a value above the maximum of the corpus, and one with all values below it
    pairs = [(index, word, value_of("1-res", index, word)) for index in maximum for word in words]
    above = next((index, word) for index, word, value in pairs if value > maximum[index])
    below = next((index, word) for index, word, value in pairs if 0 < value < maximum[index] / 2)
    for index, word in (above, below):
        page = Page((await client.post(f"/small/1-res/{index}/test", data={"text": word}, headers=HTMX)).text)
        level = round(9 * value_of("1-res", index, word) / maximum[index])
        assert [attributes["class"] for attributes, _ in page.find("i")] == [f"a{min(9, max(1, level))} max"]
        assert f"share of the feature’s maximum activation, {format_value(maximum[index])}" in page.text()


async def test_without_scripts_the_form_leads_to_a_page(client: httpx.AsyncClient) -> None:
    page = Page((await client.post("/small/1-res/5/test", data={"text": TEXT})).text)
    assert page.find("header", class_="top") and page.find("i")


async def test_a_text_on_which_the_feature_does_not_fire(client: httpx.AsyncClient) -> None:
    word = next(f"w{i}" for i in range(99) if not value_of("1-res", 5, f"w{i}"))
    page = Page((await client.post("/small/1-res/5/test", data={"text": word}, headers=HTMX)).text)
    assert "not active on this text" in page.text() and not page.find("i")


async def test_markup_in_the_text_is_text(client: httpx.AsyncClient) -> None:
    response = await client.post("/small/1-res/5/test", data={"text": "<b>&\"' a"}, headers=HTMX)
    assert "<b>" not in response.text and "&lt;b&gt;" in response.text


async def test_the_box_repeats_its_request_while_inference_loads(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.state = "loading"
    page = Page((await client.post("/small/1-res/5/test", data={"text": 'a "b"'}, headers=HTMX)).text)
    (attributes, text) = page.find("p", class_="loading")[0]
    assert attributes["hx-post"] == "/small/1-res/5/test" and attributes["hx-vals"] == '{"text": "a \\"b\\""}'
    assert attributes["hx-trigger"] == "load delay:2s" and " is loading, " in page.text() + text


async def test_the_box_repeats_its_request_while_inference_is_down(started: Start, loaded_url: str) -> None:
    async with started(loaded_url, inference_url=f"http://127.0.0.1:{free_port()}") as client:
        response = await client.post("/small/1-res/5/test", data={"text": "a"}, headers=HTMX)
    page = Page(response.text)
    (attributes, _) = page.find("p", class_="down")[0]
    assert attributes["hx-post"] == "/small/1-res/5/test" and attributes["hx-trigger"] == "load delay:5s"
    assert "Inference is not running" in page.text()


@pytest.mark.parametrize(
    ("path", "text", "status", "message"),
    [
        ("/small/1-res/5/test", "", 400, "A text is empty"),
        ("/small/1-res/64/test", "a", 404, "small/1-res has no feature 64"),
        ("/small/1-res/x/test", "a", 404, "small/1-res has no feature x; its features are 0 to 63."),
        ("/small/1-res/99999999999/test", "a", 404, "small/1-res has no feature 99999999999"),
        ("/nope/1-res/5/test", "a", 404, "There is no model 'nope'"),
        (
            "/small/1-res/5/test",
            "a " * 60,
            400,
            "Text too long: 62 tokens, max is 50. Shorten it, or raise TOKEN_LIMIT",
        ),
    ],
)
async def test_errors_are_shown_in_place_of_the_box(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, text: str, status: int, message: str
) -> None:
    response = await client.post(path, data={"text": text}, headers=HTMX)
    page = Page(response.text)
    assert response.status_code == status and message in page.text() and not page.find("h1")
    assert page.elements[0][1]["role"] == "alert"
