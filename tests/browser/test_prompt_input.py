"""A conversation in place of a text: by keyboard, on a narrow window, by link, and without scripts."""

import re

import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from playwright.sync_api import Browser, Page, expect

FEATURE = "/small/1-res/5"
PAGES = [FEATURE, "/search?hideDense=false", "/search-topk-by-token?hideDense=false"]
MESSAGES = [{"role": "user", "content": "the whale rose"}, {"role": "assistant", "content": "from the sea"}]


def last_conversation(inference: FakeInferenceServer) -> object:
    path, body = inference.seen[-1]
    messages = body["messages"]
    return messages[0] if path.endswith("/source") else messages


@pytest.mark.parametrize("path", PAGES)
def test_a_conversation_by_keyboard(page: Page, webapp_url: str, inference: FakeInferenceServer, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{webapp_url}{path}")
    expect(page.get_by_role("textbox", name="Message")).to_be_hidden()
    page.get_by_role("radio", name="Text", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("textbox", name="Your text")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Role")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("the whale rose")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Add a message")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Message").nth(1)).to_be_focused()
    expect(page.get_by_role("combobox", name="Role").nth(1)).to_have_value("assistant")
    page.keyboard.type("from the sea")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("Control+Enter")
    expect(page.locator("#results section, .own-text").first).to_be_visible()
    assert last_conversation(inference) == MESSAGES
    # the address has the conversation and nothing of the other field
    expect(page).to_have_url(re.compile("input=chat&role=user&content=the.whale.rose&role=assistant"))
    assert "defaulttesttext" not in page.url and "q=" not in page.url
    shared = page.context.new_page()
    shared.goto(page.url)
    expect(shared.get_by_role("textbox", name="Message").nth(1)).to_have_value("from the sea")
    expect(shared.locator("#results section, .own-text").first).to_be_visible()
    assert last_conversation(inference) == MESSAGES


def test_messages_are_removed_and_a_text_is_run_again(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page.goto(f"{webapp_url}{FEATURE}?input=chat&role=user&content=a&role=assistant&content=b&role=user&content=c")
    messages = page.get_by_role("textbox", name="Message")
    expect(messages).to_have_count(3)
    page.get_by_role("button", name="Remove this message").nth(1).click()
    expect(messages).to_have_count(2)
    expect(messages.nth(1)).to_be_focused()
    page.get_by_role("button", name="Remove this message").first.click()
    expect(page.get_by_role("button", name="Remove this message")).to_have_count(0)
    with page.expect_response("**/test"):
        page.get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile(r"\?input=chat&role=user&content=c$"))
    assert last_conversation(inference) == [{"role": "user", "content": "c"}]
    # an empty conversation is not sent
    count = len(inference.seen)
    messages.fill("")
    page.get_by_role("button", name="Run").click()
    expect(messages).to_be_focused()
    assert len(inference.seen) == count
    page.locator("label[for=input-text]").click()
    page.get_by_role("textbox", name="Your text").fill("the whale")
    with page.expect_response("**/test"):
        page.keyboard.press("Control+Enter")
    expect(page).to_have_url(re.compile(r"\?defaulttesttext=the(\+|%20)whale$"))
    assert inference.seen[-1][1]["prompt"] == "the whale"


@pytest.mark.parametrize("path", PAGES)
def test_without_scripts(browser: Browser, webapp_url: str, inference: FakeInferenceServer, path: str) -> None:
    """Results of the search pages come by script; their forms lead to the address of the results."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{webapp_url}{path}")
    page.get_by_role("textbox", name="Your text").fill("the whale")
    page.get_by_role("button", name="Run").click()
    if path == FEATURE:
        expect(page.locator(".own-text")).to_contain_text("the whale")
        assert inference.seen[-1][1]["prompt"] == "the whale"
    else:
        expect(page.locator("#results")).to_have_attribute("hx-get", re.compile("q=the"))
    page.goto(f"{webapp_url}{path}")
    page.locator("label[for=input-chat]").click()
    page.get_by_role("textbox", name="Message").fill("the whale rose")
    page.get_by_role("button", name="Run").click()
    if path == FEATURE:
        expect(page.locator(".own-text")).to_contain_text("the whale rose")
        assert last_conversation(inference) == MESSAGES[:1]
    else:
        expect(page.locator("#results")).to_have_attribute("hx-get", re.compile("content=the"))
    context.close()
