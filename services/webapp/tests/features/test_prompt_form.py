"""A conversation as the prompt of a page: the feature's box, and both pages of search by activation."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer, tokens_of
from memicos_testing.webapp.html_page import Page

CHAT = {"input": "chat", "role": ["user", "assistant"], "content": ["the whale rose", "from the sea"]}
MESSAGES = [{"role": "user", "content": "the whale rose"}, {"role": "assistant", "content": "from the sea"}]
RENDERED = "user: the whale rose assistant: from the sea"
BOX = "/small/1-res/5"


def page_of(response: httpx.Response, status: int = 200) -> Page:
    assert response.status_code == status, response.text
    page = Page(response.text)
    assert page.open == []
    return page


def contents(page: Page) -> list[str]:
    return [text for has, text in page.find("textarea") if has.get("name") == "content"]


def roles(page: Page) -> list[str | None]:
    return [
        has["value"] for has, _ in page.find("option") if "selected" in has and has["value"] in ("user", "assistant")
    ]


async def test_the_box_runs_a_conversation(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    result = page_of(await client.post(f"{BOX}/test", data=CHAT, headers={"HX-Request": "true"}))
    assert all(token.strip() in result.text() for token in tokens_of(RENDERED))
    (sent,) = inference.bodies("/v1/activation/single")
    # the conversation ends with the assistant's message, so that no turn is opened
    assert sent["messages"] == MESSAGES and sent["add_generation_prompt"] is False
    # the link to the result has the conversation
    (href,) = [has["href"] for has, text in result.find("a") if text == "Link to this result"]
    linked = page_of(await client.get(href or ""))
    assert contents(linked) == CHAT["content"] and roles(linked) == CHAT["role"]
    (form,) = [has for has, _ in linked.find("form") if has.get("id") == "test"]
    assert form["hx-trigger"] == "submit, load"
    chosen = [
        has["value"] for has, _ in linked.find("input", type="radio") if has["name"] == "input" and "checked" in has
    ]
    assert chosen == ["chat"]


async def test_the_assistants_turn_is_opened_after_a_users_message(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    # the form has an empty message for the next turn
    form = {"input": "chat", "role": ["user", "assistant"], "content": ["the whale", " "]}
    page_of(await client.post(f"{BOX}/test", data=form))
    (sent,) = inference.bodies("/v1/activation/single")
    assert sent["messages"] == [{"role": "user", "content": "the whale"}] and sent["add_generation_prompt"]


async def test_a_text_is_run_though_the_form_has_messages(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    """Without scripts the fields of both kinds are sent."""
    page_of(await client.post(f"{BOX}/test", data=CHAT | {"input": "text", "text": "a b"}))
    (sent,) = inference.bodies("/v1/activation/single")
    assert sent["prompt"] == "a b" and "messages" not in sent


@pytest.mark.parametrize(
    ("path", "inference_path"),
    [("/search", "/v1/activation/source"), ("/search-topk-by-token", "/v1/activation/topk-by-token")],
)
async def test_search_pages_run_the_conversation_of_their_address(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, inference_path: str
) -> None:
    query = CHAT | {"modelId": "small", "sourceSet": "res", "hideDense": "false"}
    page = page_of(await client.get(path, params=query))
    assert contents(page) == CHAT["content"] and roles(page) == CHAT["role"]
    results = page_of(await client.get(page.find("div", id="results")[0][0]["hx-get"] or ""))
    sent = inference.bodies(inference_path)
    assert all(body["messages"] in (MESSAGES, [MESSAGES]) for body in sent) and sent
    assert "whale" in results.text()
    # links to other rankings and pages keep the conversation
    for link, _ in [*results.find("a", class_="token-link"), *page.find("a")]:
        pairs = parse_qsl(urlsplit(link.get("href") or "").query)
        if ("modelId", "small") in pairs and not any(name == "q" for name, _ in pairs):
            assert [value for name, value in pairs if name == "content"] == CHAT["content"]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"input": "chat", "role": ["user"], "content": [" "]}, "The conversation is empty"),
        ({"input": "chat"}, "The conversation is empty"),
        ({"input": "chat", "role": ["robot"], "content": ["x"]}, "role: “robot” is not known"),
        ({"input": "chat", "role": ["user"], "content": ["x", "y"]}, "1 roles and 2 contents"),
        ({"input": "text", "text": ""}, "A text is empty"),
    ],
)
async def test_wrong_forms(
    client: httpx.AsyncClient, inference: FakeInferenceServer, form: dict[str, Any], message: str
) -> None:
    assert message in page_of(await client.post(f"{BOX}/test", data=form), 400).text()
    query = {"modelId": "small", "q": form.get("text", ""), **form}
    assert message in page_of(await client.get("/search/results", params=query), 400).text()
    assert inference.seen == []


async def test_the_conversation_is_sent_again_while_inference_loads(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.state, inference.progress = "loading", "reading the model"
    inference.refusal = (503, {"error": "The model is loading.", "cause": "loading"}, {"Retry-After": "2"})
    result = page_of(await client.post(f"{BOX}/test", data=CHAT))
    ((waiting, _),) = [(has, text) for has, text in result.find("p") if "hx-vals" in has]
    assert httpx.Response(200, text=waiting["hx-vals"] or "").json() == CHAT
