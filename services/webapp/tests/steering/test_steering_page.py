"""The steer page: links with all settings, sliders and their scales, the search for features."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.json_bodies.steer_bodies import TURNS, chat, completion
from memicos_testing.webapp.html_page import Page


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def get(client: httpx.AsyncClient, path: str) -> Page:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    page = Page(response.text)
    assert page.open == []
    return page


def strengths(page: Page) -> dict[str, str]:
    """`source/index` -> strength of the features."""
    controls = [
        f"{attributes['data-source']}/{attributes['data-index']}"
        for attributes, _ in page.find("div", class_="feature-control")
    ]
    values = [attributes["value"] for attributes, _ in page.find("input", type="number", class_="num")]
    return dict(zip(controls, map(str, values), strict=True))


async def test_the_share_address_holds_every_setting(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    body = completion(n_tokens=5, temperature=0.9, seed=3, steer_method="ORTHOGONAL_DECOMP", prompt="A & b")
    address = urlsplit((await post(client, "/api/steer", body))["shareUrl"])
    assert address.path == "/small/steer"
    assert parse_qs(address.query) == {
        "feature": ["1-res/5@20.5"], "prompt": ["A & b"], "n_tokens": ["5"], "temperature": ["0.9"], "seed": ["3"],
        "steer_method": ["ORTHOGONAL_DECOMP"],
    }  # fmt: skip
    page = Page((await client.get(f"{address.path}?{address.query}")).text)
    assert page.find("textarea", name="prompt")[0][1] == "A & b"
    values_shown = {
        attributes["name"]: attributes["value"]
        for attributes, _ in page.find("input", type="number")
        if attributes.get("name")
    }
    assert (values_shown["n_tokens"], values_shown["temperature"], values_shown["seed"]) == ("5", "0.9", "3")
    (control,) = page.find("div", class_="feature-control")
    assert (control[0]["data-source"], control[0]["data-index"]) == ("1-res", "5")


async def test_the_share_address_holds_the_conversation(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    def turns(*texts: str) -> list[dict[str, str]]:
        return [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(texts)]

    default, steered = turns("Sing", "la", "Louder"), turns("Sing", "LA & <b>", "Louder")
    body = chat(defaultChatMessages=default, steeredChatMessages=steered)
    address = urlsplit((await post(client, "/api/steer-chat", body))["shareUrl"])
    query = parse_qs(address.query)
    assert query["prompt"] == ["Louder"] and query["mode"] == ["chat"]
    assert json.loads(query["chat"][0]) == {"DEFAULT": default[:2], "STEERED": steered[:2]}
    # the page passes it to its script
    page = await get(client, f"{address.path}?{address.query}")
    form = page.find("form", id="steer")[0][0]
    assert json.loads(form["data-history"] or "") == json.loads(query["chat"][0])
    # the first message has no history; columns with different requests share no message
    page_with_feature = await post(
        client, "/api/steer-chat", chat(defaultChatMessages=turns("Sing"), steeredChatMessages=turns("Sing"))
    )
    assert "chat" not in parse_qs(urlsplit(page_with_feature["shareUrl"]).query)
    two = await post(
        client, "/api/steer-chat", chat(defaultChatMessages=turns("Sing"), steeredChatMessages=turns("Hum"))
    )
    query = parse_qs(urlsplit(two["shareUrl"]).query)
    assert "prompt" not in query
    assert json.loads(query["chat"][0]) == {"DEFAULT": turns("Sing"), "STEERED": turns("Hum")}


async def test_the_share_address_of_a_continued_message(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    turns = [*TURNS[:1], {"role": "assistant", "content": "Well & good"}]
    body = chat(defaultChatMessages=turns, steeredChatMessages=turns, continue_final_message=True)
    address = urlsplit((await post(client, "/api/steer-chat", body))["shareUrl"])
    query = parse_qs(address.query)
    assert query["continue_final_message"] == ["True"] and "prompt" not in query
    assert json.loads(query["chat"][0]) == {"DEFAULT": turns, "STEERED": turns}
    page = await get(client, f"{address.path}?{address.query}")
    (box,) = page.find("input", name="continue_final_message")
    assert "checked" in box[0]
    # the beginning of an answer, as the page's own links have it
    page = await get(client, "/small/steer?mode=chat&prompt=Sing&answer=La+%26+la&continue_final_message=true")
    assert (
        page.find("textarea", name="answer")[0][1] == "La & la" and page.find("textarea", name="prompt")[0][1] == "Sing"
    )
    assert "checked" in page.find("input", name="continue_final_message")[0][0]
    (box,) = (await get(client, "/small/steer?mode=chat")).find("input", name="continue_final_message")
    assert "checked" not in box[0]


async def test_a_conversation_too_long_for_an_address_is_left_out(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.token_limit = 10**6
    turns = [{"role": "user", "content": "a " * 10_000}, {"role": "assistant", "content": "b"}, TURNS[-1]]
    body = chat(defaultChatMessages=turns, steeredChatMessages=turns)
    query = parse_qs(urlsplit((await post(client, "/api/steer-chat", body))["shareUrl"]).query)
    assert "chat" not in query and query["prompt"] == ["Hello"] and query["feature"] == ["1-res/5@20.5"]


async def test_links_of_this_kind_set_the_features(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    page = await get(client, "/small/steer/?source=1-res&index=5&strength=12.5")
    assert strengths(page) == {"1-res/5": "12.5"} and "inference ready" in page.text()
    page = await get(client, "/small/steer?feature=1-res/5@-3&feature=2-res/7&feature=1-res/5@-3")
    assert list(strengths(page)) == ["1-res/5", "2-res/7"]
    assert strengths(page)["1-res/5"] == "-3"
    # without a strength: about three times the feature's maximum, two digits
    dashboard = (await client.get("/api/feature/small/2-res/7")).json()
    assert float(strengths(page)["2-res/7"]) == float(f"{3 * dashboard['maxActApprox']:.2g}")
    assert not (await get(client, "/small/steer")).find("div", class_="feature-control")


async def test_a_dashboards_link_steers_with_it(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    dashboard = Page((await client.get("/small/2-res/7")).text)
    page = await get(client, dashboard.find("a", id="steer-with-it")[0][0]["href"] or "")
    assert strengths(page) == strengths(await get(client, "/small/steer?feature=2-res/7"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("source=9-res&index=5", "small has no source '9-res'"),
        ("source=1-res&index=64", "small/1-res has no feature 64"),
        ("source=1-res&index=x", "“1-res/x” is not a feature"),
        ("feature=1-res/5/6@1", "“1-res/5/6@1” is not a feature"),
        ("feature=1-res", "“1-res” is not a feature"),
        ("n_tokens=many", "In the address: n_tokens must be a whole number."),
        ("temperature=3&seed=x", "temperature must be 2 or less"),
        ("mode=chat&chat={", "In the address: chat is not valid JSON."),
        ('chat={"STEERED":[{"role":"cat","content":""}]}', "In the address: chat.STEERED.0.role must be 'user', "),
        ("&".join(f"feature=1-res/{i}" for i in range(17)), "18 features were named; at most 16 can be used at once."),
    ],
)
async def test_errors_in_an_address_are_shown_and_the_rest_works(
    client: httpx.AsyncClient, inference: FakeInferenceServer, query: str, message: str
) -> None:
    page = await get(client, f"/small/steer?{query}&feature=3-res/1@5")
    problems = " ".join(text for _, text in page.find("p", class_="problem"))
    assert message in problems
    if "18" not in message:
        assert strengths(page) == {"3-res/1": "5"}


@pytest.mark.parametrize(
    ("strength", "value_shown", "message"),
    [
        ("1e9", "10000", "The strength of 1-res/5 was 1e+09; allowed is -10000 to 10000."),
        ("-20000", "-10000", "The strength of 1-res/5 was -20000;"),
        ("nan", None, "“nan” is not a number; the default strength of 1-res/5 is used."),
        ("1e999", None, "“1e999” is not a number; the default strength of 1-res/5"),
        ("１２", None, "“１２” is not a number; the default strength of 1-res/5"),
        ("1_0", None, "“1_0” is not a number; the default strength of 1-res/5"),
        ("1.2.3", None, "“1.2.3” is not a number; the default strength of 1-res/5"),
    ],
)
async def test_an_invalid_strength_is_reported_and_corrected(
    client: httpx.AsyncClient, inference: FakeInferenceServer, strength: str, value_shown: str | None, message: str
) -> None:
    page = await get(client, f"/small/steer?source=1-res&index=5&strength={strength}")
    assert message in " ".join(text for _, text in page.find("p", class_="problem"))
    usual = strengths(await get(client, "/small/steer?source=1-res&index=5"))["1-res/5"]
    assert strengths(page) == {"1-res/5": value_shown or usual}


async def test_features_are_found_by_words_index_and_source(client: httpx.AsyncClient) -> None:
    async def feature_links(query: str) -> list[str]:
        page = Page((await client.get("/small/steer/find", params={"q": query})).text)
        assert page.open == []
        return [text for _, text in page.find("span", class_="num")]

    assert await feature_links("whale") == ["1-res/5", "2-res/5", "3-res/5"]
    assert await feature_links("whal") == ["1-res/5", "2-res/5", "3-res/5"]
    assert await feature_links("7") == ["1-res/7", "2-res/7", "3-res/7"]
    assert await feature_links("2-res/7") == await feature_links("small/2-res/7") == ["2-res/7"]
    assert await feature_links("zebra") == await feature_links("' & | !") == await feature_links("") == []
    page = Page((await client.get("/small/steer/find?q=2-res/64")).text)
    assert "small/2-res has no feature 64" in page.text()


def sliders(page: Page) -> list[dict[str, str | None]]:
    return [attributes for attributes, _ in page.find("input", type="range")]


async def test_a_default_strength_is_a_share_of_the_residual_norm(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    """The small dataset's norms: 40 at layer 1, 120 at layer 3; that of layer 2 is unknown."""
    page = await get(client, "/small/steer?feature=1-res/5&feature=3-res/1&feature=2-res/7")
    dashboard = (await client.get("/api/feature/small/2-res/7")).json()
    old_rule = f"{3 * dashboard['maxActApprox']:.2g}"
    assert strengths(page) == {"1-res/5": "18", "3-res/1": "54", "2-res/7": old_rule}
    assert [(attributes["min"], attributes["max"]) for attributes in sliders(page)][:2] == [
        ("-48", "48"),
        ("-144", "144"),
    ]
    text = page.text()
    assert "whose median norm here is 40: a clear effect from about 12, incoherent text from about 32." in text
    assert "whose median norm here is 120: a clear effect from about 36, incoherent text from about 96." in text
    assert text.count("its norm at this source is not known, so the default is three times") == 1
    # the feature's own page links to the same strength
    dashboard_page = Page((await client.get("/small/1-res/5")).text)
    assert "strength=18" in (dashboard_page.find("a", id="steer-with-it")[0][0]["href"] or "")


async def test_each_method_has_a_scale_of_its_own(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    additive = await get(client, "/small/steer?feature=1-res/5")
    factors = await get(client, "/small/steer?feature=1-res/5&steer_method=ORTHOGONAL_DECOMP")
    assert strengths(factors) == {"1-res/5": "3"}
    assert [(attributes["min"], attributes["max"]) for attributes in sliders(factors)] == [("-10", "10")]
    for page in (additive, factors):
        (control, _), *_ = page.find("div", class_="feature-control")
        assert json.loads(control["data-scales"] or "") == {
            "SIMPLE_ADDITIVE": {"value": 18, "max": 48, "step": 0.1},
            "ORTHOGONAL_DECOMP": {"value": 3, "max": 10, "step": 0.1},
        }
    notes = {
        attributes["data-for"]: "hidden" in attributes
        for attributes, _ in factors.find("p", class_="small")
        if "data-for" in attributes
    }
    assert notes == {"SIMPLE_ADDITIVE": True, "ORTHOGONAL_DECOMP": False}
    # a link's strength is within the range of the slider
    page = await get(client, "/small/steer?feature=1-res/5@33&steer_method=ORTHOGONAL_DECOMP")
    assert strengths(page) == {"1-res/5": "33"} and sliders(page)[0]["max"] == "33"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("a" * 101, "The search has 101 characters; at most 100 are allowed (MEMICOS_STEER_SEARCH_CHARACTERS)."),
        ("a b c d e f g h i", "The search has 9 words; at most 8 are allowed (MEMICOS_STEER_SEARCH_WORDS)."),
    ],
)
async def test_a_search_for_features_has_limits(client: httpx.AsyncClient, query: str, message: str) -> None:
    response = await client.get("/small/steer/find", params={"q": query}, headers={"HX-Request": "true"})
    assert response.status_code == 400 and message in Page(response.text).text()
    for allowed in ("whale " * 8, "w" * 100):
        assert (await client.get("/small/steer/find", params={"q": allowed})).status_code == 200
    # one search at a time runs for typed input
    (field, _), *_ = (await get(client, "/small/steer")).find("input", name="q")
    assert (field["hx-sync"], field["hx-trigger"]) == ("this:replace", "input changed delay:250ms")
    assert field["maxlength"] == "100"


async def test_the_order_of_the_page_is_that_of_reading(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    orders = {
        "completion": ["h-features", "composer", "results", "h-sampling"],
        "chat": ["h-features", "results", "composer", "h-sampling"],
    }
    for mode, order in orders.items():
        page = await get(client, f"/small/steer?mode={mode}")
        ids = [attributes["id"] for _, attributes, _ in page.elements if attributes.get("id") in order]
        assert ids == order


async def test_the_fragment_of_one_feature(client: httpx.AsyncClient) -> None:
    page = Page((await client.get("/small/steer/feature?source=2-res&index=7")).text)
    assert strengths(page) == strengths(await get(client, "/small/steer?feature=2-res/7"))
    page = Page((await client.get("/small/steer/feature?source=2-res&index=7&steer_method=ORTHOGONAL_DECOMP")).text)
    assert strengths(page) == {"2-res/7": "3"}
    for query, status in (("source=2-res&index=64", 404), ("source=2-res&index=x", 400), ("source=2-res", 422)):
        response = await client.get(f"/small/steer/feature?{query}", headers={"HX-Request": "true"})
        assert response.status_code == status and "alert" in response.text


async def test_steer_redirects_to_a_model(client: httpx.AsyncClient) -> None:
    response = await client.get("/steer?feature=1-res/5")
    assert (response.status_code, response.headers["location"]) == (307, "/small/steer?feature=1-res/5")
    response = await client.get("/nope/steer")
    assert response.status_code == 404 and "There is no model &#39;nope&#39;" in response.text
