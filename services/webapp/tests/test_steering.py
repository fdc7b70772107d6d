"""Steering: the JSON, its streams and how they end, and the page."""

import asyncio
import itertools
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from html_page import Page
from inference_double import InferenceDouble

FEATURE = {"modelId": "small", "layer": "1-res", "index": 5, "strength": 20.5}
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def completion(**changes: Any) -> dict[str, Any]:
    return {"modelId": "small", "prompt": "Once", "n_tokens": 4, "features": [FEATURE], **changes}


def chat(**changes: Any) -> dict[str, Any]:
    body = {"modelId": "small", "n_tokens": 4, "features": [FEATURE], "defaultChatMessages": TURNS}
    return {**body, "steeredChatMessages": TURNS, **changes}


def words(kind: str, count: int) -> str:
    return "".join(f" {kind}{i}" for i in range(count))


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_completion_is_answered_without_its_prompt(
    client: httpx.AsyncClient, inference: InferenceDouble
) -> None:
    found = await post(client, "/api/steer", completion())
    assert (found["STEERED"], found["DEFAULT"]) == (words("steered", 4), words("default", 4))
    assert found["tokens"] == {"STEERED": 4, "DEFAULT": 4}
    assert found["steeredLogProbs"][0] == {
        "token": " steered0",
        "logprob": -0.5,
        "topLogprobs": [{"token": " other", "logprob": -2.5}],
    }
    assert len(found["defaultLogProbs"]) == 4
    assert found["id"] is None and found["limit"] is None and found["error"] is None


async def test_what_inference_is_asked(client: httpx.AsyncClient, inference: InferenceDouble) -> None:
    body = completion(
        features=[FEATURE, {"modelId": "small", "source": "3-res", "index": "7", "strength": -3}],
        temperature=0,
        seed=7,
        freq_penalty=2,
        strength_multiplier=1.5,
        steer_method="ORTHOGONAL_DECOMP",
        n_logprobs=0,
    )
    found = await post(client, "/api/steer", body)
    assert found["steeredLogProbs"] is None
    (sent,) = inference.bodies("/v1/steer/completion")
    assert sent["features"] == [
        {"model": "small", "source": "1-res", "index": 5, "strength": 20.5},
        {"model": "small", "source": "3-res", "index": 7, "strength": -3},
    ]
    expected = {
        "prompt": "Once", "model": "small", "types": ["STEERED", "DEFAULT"], "n_completion_tokens": 4,
        "temperature": 0, "seed": 7, "freq_penalty": 2, "strength_multiplier": 1.5, "n_logprobs": 0, "stream": True,
        "steer_method": "ORTHOGONAL_DECOMP",
    }  # fmt: skip
    assert {name: sent[name] for name in expected} == expected


async def test_a_chat_is_answered_with_both_conversations(
    client: httpx.AsyncClient, inference: InferenceDouble
) -> None:
    found = await post(client, "/api/steer-chat", chat(steer_special_tokens=False, seed=3))
    for kind in ("STEERED", "DEFAULT"):
        said = words(kind.lower(), 4).strip()
        assert found[kind]["chatTemplate"] == [*TURNS, {"role": "assistant", "content": said}]
        assert found[kind]["raw"].endswith(said) and len(found[kind]["logprobs"]) == 4
    assert found["settings"] == {
        "temperature": 0.5, "n_tokens": 4, "freq_penalty": 1.0, "seed": 3, "strength_multiplier": 1.0,
        "steer_special_tokens": False, "steer_method": "SIMPLE_ADDITIVE",
    }  # fmt: skip
    # two conversations that say the same are one batch
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert sent["types"] == ["STEERED", "DEFAULT"] and sent["steer_special_tokens"] is False


async def test_conversations_that_differ_are_two_requests(
    client: httpx.AsyncClient, inference: InferenceDouble
) -> None:
    other = [{"role": "user", "content": "Good evening"}]
    found = await post(client, "/api/steer-chat", chat(steeredChatMessages=other))
    assert found["STEERED"]["chatTemplate"][0] == other[0] and found["DEFAULT"]["chatTemplate"][:2] == TURNS
    sent = {tuple(one["types"]): one for one in inference.bodies("/v1/steer/completion-chat")}
    assert sent["STEERED",]["prompt"] == other and sent["DEFAULT",]["prompt"] == TURNS
    assert sent["DEFAULT",]["features"] == []
    assert found["tokens"] == {"STEERED": 4, "DEFAULT": 4}


async def test_without_features_a_chat_is_default_only(client: httpx.AsyncClient, inference: InferenceDouble) -> None:
    found = await post(client, "/api/steer-chat", chat(features=[]))
    assert found["STEERED"] is None and found["DEFAULT"]["chatTemplate"][-1]["content"] == "default0 default1 " \
        "default2 default3"  # fmt: skip
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert sent["types"] == ["DEFAULT"] and sent["features"] == []


async def test_the_share_address_holds_every_setting(client: httpx.AsyncClient, inference: InferenceDouble) -> None:
    body = completion(n_tokens=5, temperature=0.9, seed=3, steer_method="ORTHOGONAL_DECOMP", prompt="A & b")
    address = urlsplit((await post(client, "/api/steer", body))["shareUrl"])
    assert address.path == "/small/steer"
    assert parse_qs(address.query) == {
        "feature": ["1-res/5@20.5"], "prompt": ["A & b"], "n_tokens": ["5"], "temperature": ["0.9"], "seed": ["3"],
        "steer_method": ["ORTHOGONAL_DECOMP"],
    }  # fmt: skip
    page = Page((await client.get(f"{address.path}?{address.query}")).text)
    assert page.find("textarea", name="prompt")[0][1] == "A & b"
    shown = {has["name"]: has["value"] for has, _ in page.find("input", type="number") if has.get("name")}
    assert (shown["n_tokens"], shown["temperature"], shown["seed"]) == ("5", "0.9", "3")
    (dial,) = page.find("div", class_="dial")
    assert (dial[0]["data-source"], dial[0]["data-index"]) == ("1-res", "5")


async def test_the_share_address_holds_the_conversation(client: httpx.AsyncClient, inference: InferenceDouble) -> None:
    def turns(*said: str) -> list[dict[str, str]]:
        return [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(said)]

    default, steered = turns("Sing", "la", "Louder"), turns("Sing", "LA & <b>", "Louder")
    body = chat(defaultChatMessages=default, steeredChatMessages=steered)
    address = urlsplit((await post(client, "/api/steer-chat", body))["shareUrl"])
    query = parse_qs(address.query)
    assert query["prompt"] == ["Louder"] and query["mode"] == ["chat"]
    assert json.loads(query["chat"][0]) == {"DEFAULT": default[:2], "STEERED": steered[:2]}
    # the page hands it on to its script
    page = await get(client, f"{address.path}?{address.query}")
    form = page.find("form", id="steer")[0][0]
    assert json.loads(form["data-talk"] or "") == json.loads(query["chat"][0])
    # one message has nothing before it; columns that were asked differently share no message
    one = await post(
        client, "/api/steer-chat", chat(defaultChatMessages=turns("Sing"), steeredChatMessages=turns("Sing"))
    )
    assert "chat" not in parse_qs(urlsplit(one["shareUrl"]).query)
    two = await post(
        client, "/api/steer-chat", chat(defaultChatMessages=turns("Sing"), steeredChatMessages=turns("Hum"))
    )
    query = parse_qs(urlsplit(two["shareUrl"]).query)
    assert "prompt" not in query
    assert json.loads(query["chat"][0]) == {"DEFAULT": turns("Sing"), "STEERED": turns("Hum")}


async def test_a_conversation_too_long_for_an_address_is_left_out(
    client: httpx.AsyncClient, inference: InferenceDouble
) -> None:
    inference.token_limit = 10**6
    turns = [{"role": "user", "content": "a " * 10_000}, {"role": "assistant", "content": "b"}, TURNS[-1]]
    body = chat(defaultChatMessages=turns, steeredChatMessages=turns)
    query = parse_qs(urlsplit((await post(client, "/api/steer-chat", body))["shareUrl"]).query)
    assert "chat" not in query and query["prompt"] == ["Hello"] and query["feature"] == ["1-res/5@20.5"]


# ---- streams


async def frames(url: str, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The JSON of every event; the stream's form is checked on the way."""
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("POST", path, json={**body, "stream": True}) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = (await answer.aread()).decode()
    assert text.endswith("\n\n")
    events = text.removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.mark.parametrize("path", ["/api/steer", "/api/steer/"])
async def test_every_event_is_the_whole_answer_so_far(url: str, inference: InferenceDouble, path: str) -> None:
    found = await frames(url, path, completion())
    assert [frame["STEERED"] for frame in found] == [words("steered", n) for n in (1, 2, 3, 4, 4)]
    assert [frame["tokens"]["DEFAULT"] for frame in found] == [1, 2, 3, 4, 4]
    assert [len(frame["steeredLogProbs"]) for frame in found] == [1, 2, 3, 4, 4]
    assert ["shareUrl" in frame for frame in found] == [False] * 4 + [True]
    assert found[-1]["shareUrl"].startswith(f"{url}/small/steer?feature=1-res%2F5%4020.5")


async def test_a_chat_streams_both_columns(url: str, inference: InferenceDouble) -> None:
    found = await frames(url, "/api/steer-chat", chat())
    assert [frame["STEERED"]["chatTemplate"][-1]["content"] for frame in found] == [
        words("steered", n).strip() for n in (1, 2, 3, 4, 4)
    ]
    assert found[-1]["settings"]["n_tokens"] == 4
    # two conversations come as they come; each event still has all that is known
    other = chat(steeredChatMessages=[{"role": "user", "content": "Other"}])
    found = await frames(url, "/api/steer-chat", other)
    counts = [(frame["tokens"].get("STEERED", 0), frame["tokens"].get("DEFAULT", 0)) for frame in found]
    assert counts[-1] == (4, 4) and all(a <= b for a, b in itertools.pairwise(counts))
    assert all(sum(after) - sum(before) <= 1 for before, after in itertools.pairwise(counts))


@pytest.mark.parametrize(("path", "body"), [("/api/steer", completion()), ("/api/steer-chat", chat())])
async def test_a_stream_that_breaks_off_says_so_in_its_last_event(
    url: str, client: httpx.AsyncClient, inference: InferenceDouble, path: str, body: dict[str, Any]
) -> None:
    inference.error_after = 2
    found = await frames(url, path, body)
    assert found[-1]["error"] == "The model ran out of memory; ask for fewer tokens."
    assert all("error" not in frame for frame in found[:-1]) and "shareUrl" not in found[-1]
    # half an answer is no answer where it was not streamed
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]) == (502, found[-1]["error"])

    inference.error_after, inference.break_after = None, 2
    found = await frames(url, path, body)
    assert "broke off; run it again" in found[-1]["error"] and found[-1]["tokens"]["STEERED"] == 2
    answer = await client.post(path, json=body)
    assert answer.status_code == 502 and "broke off" in answer.json()["error"]


@pytest.mark.parametrize(("path", "body"), [("/api/steer", completion()), ("/api/steer-chat", chat())])
async def test_what_is_wrong_before_the_first_event_is_no_stream(
    client: httpx.AsyncClient, inference: InferenceDouble, path: str, body: dict[str, Any]
) -> None:
    inference.token_limit = 1
    answer = await client.post(path, json={**body, "stream": True})
    assert answer.status_code == 400 and "max is 1" in answer.json()["error"]
    inference.reset()
    inference.break_after = 0
    answer = await client.post(path, json={**body, "stream": True})
    assert answer.status_code == 502 and "broke off" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/steer", completion(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200)),
        ("/api/steer-chat", chat(n_tokens=200, steeredChatMessages=[{"role": "user", "content": "Other"}])),
    ],
)
async def test_leaving_ends_the_work(url: str, inference: InferenceDouble, path: str, body: dict[str, Any]) -> None:
    inference.delay = 0.02
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("POST", path, json={**body, "stream": True}) as answer,
    ):
        async for line in answer.aiter_lines():
            if line:
                break
    expected = len(inference.seen)
    async with asyncio.timeout(5):
        while inference.streams_closed < expected:  # noqa: ASYNC110 (the double has no event for it)
            await asyncio.sleep(0.02)
    assert inference.frames_sent < 150


# ---- bad requests


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"modelId": "nope"}, 404, "There is no model 'nope' here; there is small."),
        ({"features": [{**FEATURE, "modelId": "other"}]}, 400, "other/1-res/5 is a feature of another model"),
        ({"features": [{**FEATURE, "layer": "9-res"}]}, 404, "small has no source '9-res'"),
        ({"features": [{**FEATURE, "index": 64}]}, 404, "small/1-res has no feature 64; it has 0 to 63."),
        ({"features": [{**FEATURE, "index": 2**40}]}, 422, "features.0.index"),
        ({"features": [{**FEATURE, "index": -1}]}, 422, "features.0.index"),
        ({"features": [{**FEATURE, "strength": 1e5}]}, 400, "it may go from -10000 to 10000"),
        ({"features": [{**FEATURE, "strength": "much"}]}, 422, "features.0.strength"),
        ({"features": [{**FEATURE, "layer": "6-neuronpedia-resid-pre"}]}, 400, "names an uploaded vector"),
        ({"features": [FEATURE] * 17}, 400, "17 features were sent, at most 16 steer at once."),
        ({"features": "all"}, 422, "features"),
        ({"n_tokens": 257}, 400, "n_tokens is 257, at most 256 are generated here."),
        ({"n_tokens": 0}, 422, "n_tokens"),
        ({"temperature": 2.1}, 422, "temperature"),
        ({"temperature": None}, 422, "temperature"),
        ({"seed": 10**9}, 422, "seed"),
        ({"strength_multiplier": 11}, 422, "strength_multiplier"),
        ({"steer_method": "PROJECTION_CAP"}, 422, "steer_method must be 'SIMPLE_ADDITIVE' or 'ORTHOGONAL_DECOMP'."),
        ({"n_logprobs": 11}, 422, "n_logprobs"),
        ({"stream": "perhaps"}, 422, "stream"),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient, inference: InferenceDouble, changes: dict[str, Any], status: int, message: str
) -> None:
    for path, body in (("/api/steer", completion(**changes)), ("/api/steer-chat", chat(**changes))):
        answer = await client.post(path, json=body)
        assert answer.status_code == status and message in answer.json()["error"], answer.text
    assert inference.seen == []


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/steer", completion(prompt=""), "prompt must not be empty."),
        ("/api/steer", completion(features=[]), "features must not be empty."),
        ("/api/steer-chat", chat(defaultChatMessages=[]), "defaultChatMessages"),
        ("/api/steer-chat", chat(steeredChatMessages=[{"role": "pirate", "content": "a"}]), "role"),
        ("/api/steer-chat", chat(steeredChatMessages=[{"role": "user"}]), "steeredChatMessages.0.content is missing."),
    ],
)
async def test_bad_prompts(
    client: httpx.AsyncClient, inference: InferenceDouble, path: str, body: dict[str, Any], message: str
) -> None:
    answer = await client.post(path, json=body)
    assert answer.status_code == 422 and message in answer.json()["error"]


async def test_no_finite_number_no_steering(client: httpx.AsyncClient) -> None:
    body = json.dumps(completion()).replace("20.5", "Infinity")
    answer = await client.post("/api/steer", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and "finite number" in answer.json()["error"]


# ---- the page


async def get(client: httpx.AsyncClient, path: str) -> Page:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert page.open == []
    return page


def strengths(page: Page) -> dict[str, str]:
    """`source/index` -> strength of the dials."""
    dials = [f"{has['data-source']}/{has['data-index']}" for has, _ in page.find("div", class_="dial")]
    values = [has["value"] for has, _ in page.find("input", type="number", class_="num")]
    return dict(zip(dials, map(str, values), strict=True))


async def test_links_of_this_kind_set_the_dials(client: httpx.AsyncClient, inference: InferenceDouble) -> None:
    page = await get(client, "/small/steer/?source=1-res&index=5&strength=12.5")
    assert strengths(page) == {"1-res/5": "12.5"} and "inference ready" in page.text()
    page = await get(client, "/small/steer?feature=1-res/5@-3&feature=2-res/7&feature=1-res/5@-3")
    assert list(strengths(page)) == ["1-res/5", "2-res/7"]
    assert strengths(page)["1-res/5"] == "-3"
    # without a strength: about three times the feature's maximum, two digits
    dashboard = (await client.get("/api/feature/small/2-res/7")).json()
    assert float(strengths(page)["2-res/7"]) == float(f"{3 * dashboard['maxActApprox']:.2g}")
    assert not (await get(client, "/small/steer")).find("div", class_="dial")


async def test_a_dashboards_link_steers_with_it(client: httpx.AsyncClient, inference: InferenceDouble) -> None:
    dashboard = Page((await client.get("/small/2-res/7")).text)
    page = await get(client, dashboard.find("a", id="steer-with-it")[0][0]["href"] or "")
    assert strengths(page) == strengths(await get(client, "/small/steer?feature=2-res/7"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("source=9-res&index=5", "small has no source '9-res'"),
        ("source=1-res&index=64", "small/1-res has no feature 64"),
        ("source=1-res&index=x", "“1-res/x” is no feature"),
        ("feature=1-res/5/6@1", "“1-res/5/6@1” is no feature"),
        ("feature=1-res", "“1-res” is no feature"),
        ("n_tokens=many", "In the address: n_tokens must be a whole number."),
        ("temperature=3&seed=x", "temperature must be 2 or less"),
        ("mode=chat&chat={", "In the address: chat is not valid JSON."),
        ('chat={"STEERED":[{"role":"cat","content":""}]}', "In the address: chat.STEERED.0.role must be 'user', "),
        ("&".join(f"feature=1-res/{i}" for i in range(17)), "18 features were named, 16 steer at once."),
    ],
)
async def test_what_is_wrong_with_an_address_is_said_and_the_rest_works(
    client: httpx.AsyncClient, inference: InferenceDouble, query: str, message: str
) -> None:
    page = await get(client, f"/small/steer?{query}&feature=3-res/1@5")
    problems = " ".join(text for _, text in page.find("p", class_="problem"))
    assert message in problems
    if "18" not in message:
        assert strengths(page) == {"3-res/1": "5"}


@pytest.mark.parametrize(
    ("strength", "shown", "message"),
    [
        ("1e9", "10000", "A strength may go from -10000 to 10000: that of 1-res/5 was 1e+09."),
        ("-20000", "-10000", "that of 1-res/5 was -20000."),
        ("nan", None, "“nan” is no strength of 1-res/5, which has its default here."),
        ("1e999", None, "“1e999” is no strength of 1-res/5"),
        ("1.2.3", None, "“1.2.3” is no strength of 1-res/5"),
    ],
)
async def test_a_strength_that_cannot_be_is_said_and_put_right(
    client: httpx.AsyncClient, inference: InferenceDouble, strength: str, shown: str | None, message: str
) -> None:
    page = await get(client, f"/small/steer?source=1-res&index=5&strength={strength}")
    assert message in " ".join(text for _, text in page.find("p", class_="problem"))
    usual = strengths(await get(client, "/small/steer?source=1-res&index=5"))["1-res/5"]
    assert strengths(page) == {"1-res/5": shown or usual}


async def test_features_are_found_by_words_index_and_place(client: httpx.AsyncClient) -> None:
    async def found(query: str) -> list[str]:
        page = Page((await client.get("/small/steer/find", params={"q": query})).text)
        assert page.open == []
        return [text for _, text in page.find("span", class_="num")]

    assert await found("whale") == ["1-res/5", "2-res/5", "3-res/5"]
    assert await found("whal") == ["1-res/5", "2-res/5", "3-res/5"]
    assert await found("7") == ["1-res/7", "2-res/7", "3-res/7"]
    assert await found("2-res/7") == await found("small/2-res/7") == ["2-res/7"]
    assert await found("zebra") == await found("' & | !") == await found("") == []
    page = Page((await client.get("/small/steer/find?q=2-res/64")).text)
    assert "small/2-res has no feature 64" in page.text()


async def test_a_dial_by_itself(client: httpx.AsyncClient) -> None:
    page = Page((await client.get("/small/steer/dial?source=2-res&index=7")).text)
    assert strengths(page) == strengths(await get(client, "/small/steer?feature=2-res/7"))
    for query, status in (("source=2-res&index=64", 404), ("source=2-res&index=x", 400), ("source=2-res", 422)):
        answer = await client.get(f"/small/steer/dial?{query}", headers={"HX-Request": "true"})
        assert answer.status_code == status and "alert" in answer.text


async def test_steer_leads_to_a_model(client: httpx.AsyncClient) -> None:
    answer = await client.get("/steer?feature=1-res/5")
    assert (answer.status_code, answer.headers["location"]) == (307, "/small/steer?feature=1-res/5")
    answer = await client.get("/nope/steer")
    assert answer.status_code == 404 and "There is no model &#39;nope&#39; here" in answer.text
