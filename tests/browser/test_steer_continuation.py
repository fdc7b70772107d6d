"""The steer page of a chat model continues the model's message."""

import json
from urllib.parse import parse_qs, quote, urlsplit

from memicos_testing.fake_inference_server import FakeInferenceServer
from playwright.sync_api import Page, expect

STEER = "/small/steer?source=1-res&index=5&strength=20"
COLUMNS = ("Default", "Steered")


def numbered_words(kind: str, count: int) -> str:
    return " ".join(f"{kind}{i}" for i in range(count))


def test_the_models_message_is_continued(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}{STEER}&mode=chat&n_tokens=2")
    prompt, beginning = page.get_by_label("prompt"), page.locator("textarea[name=answer]")
    box = page.get_by_role("checkbox", name="Continue the model’s message")
    expect(beginning).to_be_hidden()
    # by keyboard: the beginning of an answer is written, and continued
    box.press("Space")
    prompt.fill("Sing")
    prompt.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Enter the beginning of the answer first.")
    expect(beginning).to_be_focused()
    beginning.fill("Well, ")
    beginning.press("Enter")
    last = {name: page.get_by_role("region", name=name).locator(".turn.model .content").last for name in COLUMNS}
    for name, message in last.items():
        expect(message).to_have_text(f"Well, {numbered_words(name.lower(), 2)}")
        expect(page.get_by_role("region", name=name).locator(".turn")).to_have_count(2)
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert sent["continue_final_message"] is True
    assert sent["prompt"] == [{"role": "user", "content": "Sing"}, {"role": "assistant", "content": "Well, "}]
    # now there is a message to continue: without one of the user's, words may be added to it
    expect(prompt).to_have_value("")
    expect(beginning).to_have_value("")
    expect(beginning).to_have_attribute("placeholder", "Words to add to the model’s message first, or nothing")
    beginning.fill(" and")
    # the address holds the experiment, here and where it is opened
    page.get_by_role("button", name="Share").click()
    page.goto(page.url)
    expect(box).to_be_checked()
    expect(beginning).to_have_value(" and")
    page.get_by_role("button", name="Run").click()
    for name, message in last.items():
        words = numbered_words(name.lower(), 2)
        expect(message).to_have_text(f"Well, {words} and{words}")
        expect(page.get_by_role("region", name=name).locator(".turn")).to_have_count(2)
    sent = {tuple(body["types"]): body["prompt"] for body in inference.bodies("/v1/steer/completion-chat")[1:]}
    assert sent["STEERED",][-1] == {"role": "assistant", "content": "Well, steered0 steered1 and"}
    assert sent["DEFAULT",][-1] == {"role": "assistant", "content": "Well, default0 default1 and"}
    # a later answer can be begun as well
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    prompt.fill("Once more")
    beginning.fill("Yes: ")
    beginning.press("Enter")
    expect(last["Steered"]).to_have_text(f"Yes: {numbered_words('steered', 2)}")
    sent = inference.bodies("/v1/steer/completion-chat")[-1]
    assert sent["continue_final_message"] is True
    assert sent["prompt"][-2:] == [
        {"role": "user", "content": "Once more"}, {"role": "assistant", "content": "Yes: "},
    ]  # fmt: skip
    # without it the next message is the user's
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    box.click()
    expect(beginning).to_be_hidden()
    prompt.fill("Louder")
    prompt.press("Enter")
    expect(page.get_by_role("region", name="Steered").locator(".turn")).to_have_count(6)
    expect(last["Steered"]).to_have_text(numbered_words("steered", 2))
    assert inference.bodies("/v1/steer/completion-chat")[-1]["continue_final_message"] is False


def test_part_of_a_character_at_the_end_is_not_continued(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    """The end of a text that stopped at its limit of tokens may be a character of which tokens are missing."""
    turns = [{"role": "user", "content": "Sing"}, {"role": "assistant", "content": "おはよう\ufffd"}]
    chat = quote(json.dumps({"DEFAULT": turns, "STEERED": turns}))
    page.goto(f"{webapp_url}{STEER}&mode=chat&n_tokens=2&continue_final_message=true&chat={chat}")
    page.get_by_role("button", name="Run").click()
    message = page.get_by_role("region", name="Steered").locator(".turn.model .content")
    expect(message).to_have_text(f"おはよう{numbered_words('steered', 2)}")
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert sent["prompt"][-1]["content"] == "おはよう"


def test_a_message_that_could_not_be_continued_stays_as_it_was(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page.goto(f"{webapp_url}{STEER}&mode=chat&n_tokens=2")
    page.get_by_label("prompt").fill("Sing")
    page.get_by_label("prompt").press("Enter")
    steered = page.get_by_role("region", name="Steered")
    expect(steered.locator(".turn.model .content")).to_have_text(numbered_words("steered", 2))
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    inference.state = "loading"
    page.get_by_role("checkbox", name="Continue the model’s message").check()
    page.locator("textarea[name=answer]").fill(" and")
    address = page.url
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#steer-note")).to_contain_text("is loading")
    expect(steered.locator(".turn.model .content")).to_have_text(numbered_words("steered", 2))
    expect(page.locator("textarea[name=answer]")).to_have_value(" and")
    assert "Sing" in address and parse_qs(urlsplit(page.url).query)["chat"] == parse_qs(urlsplit(address).query)["chat"]
