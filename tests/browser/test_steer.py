"""Steering: both columns stream and can be stopped, and the address holds the whole experiment."""

import re

from memicos_testing.fake_inference_server import FakeInferenceServer
from playwright.sync_api import Page, Route, expect

STEER = "/small/steer?source=1-res&index=5&strength=20"
COLUMNS = ("Default", "Steered")


def column(page: Page, name: str) -> str:
    return page.get_by_role("region", name=name).locator(".answer").last.inner_text()


def numbered_words(kind: str, count: int) -> str:
    return " ".join(f"{kind}{i}" for i in range(count))


def test_both_columns_stream_side_by_side(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    inference.delay = 0.1
    page.goto(webapp_url + STEER)
    page.get_by_label("Tokens", exact=True).fill("20")
    page.get_by_label("prompt").fill("Once upon")
    page.get_by_label("prompt").press("Control+Enter")
    default, steered = (page.get_by_role("region", name=name) for name in ("Default", "Steered"))
    expect(steered.locator(".answer")).to_contain_text("steered2")
    # both columns grow without waiting for each other
    assert 0 <= abs(len(column(page, "Default").split()) - len(column(page, "Steered").split())) <= 1
    assert "steered19" not in column(page, "Steered")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(steered.locator(".tokens")).to_have_text("20 of 20")
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    assert column(page, "Steered").strip() == numbered_words("steered", 20)
    assert column(page, "Default").strip() == numbered_words("default", 20)
    expect(default.locator(".out .prompt")).to_have_text("Once upon")
    boxes = [item.bounding_box() for item in (default, steered)]
    assert boxes[0] and boxes[1] and boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
    # the address is the whole experiment
    expect(page).to_have_url(re.compile(r"feature=1-res%2F5%4020&prompt=Once\+upon&n_tokens=20"))
    page.reload()
    expect(page.get_by_label("prompt")).to_have_value("Once upon")
    expect(page.get_by_label("Tokens", exact=True)).to_have_value("20")


def test_before_its_script_is_loaded_the_form_is_not_sent(page: Page, webapp_url: str) -> None:
    waiting: list[Route] = []
    page.route("**/steer.js*", lambda route: waiting.append(route))
    page.goto(webapp_url + STEER, wait_until="commit")
    prompt, run = page.get_by_label("prompt"), page.get_by_role("button", name="Run")
    prompt.fill("Once upon")
    for button in page.locator("[data-needs-script]").all():
        expect(button).to_be_disabled()
    prompt.press("Control+Enter")
    page.get_by_label("Tokens", exact=True).press("Enter")
    expect(page).to_have_url(webapp_url + STEER)
    waiting.pop().continue_()
    run.click()
    expect(page.get_by_role("region", name="Steered").locator(".answer")).to_contain_text("steered1")
    expect(page).to_have_url(re.compile(r"feature=1-res%2F5%4020&prompt=Once\+upon"))


def test_escape_stops_the_generation(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    inference.delay = 0.05
    page.goto(webapp_url + STEER)
    page.get_by_label("Tokens", exact=True).fill("200")
    page.get_by_role("button", name="Once upon a time").click()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("region", name="Steered").locator(".answer")).to_contain_text("steered3")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    page.wait_for_timeout(500)
    sent, column_texts = inference.frames_sent, column(page, "Steered")
    page.wait_for_timeout(300)
    assert inference.frames_sent == sent < 100 and column(page, "Steered") == column_texts


def test_ctrl_enter_sends_once(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    """In a chat and in a completion, and Enter alone in a chat: one request, one message, one answer."""
    for mode, kind in (("completion", "completion"), ("chat", "completion-chat")):
        for key in ("Control+Enter", "Enter") if mode == "chat" else ("Control+Enter",):
            inference.reset()
            page.goto(f"{webapp_url}{STEER}&mode={mode}&n_tokens=3")
            page.get_by_label("prompt").fill("Hello")
            page.get_by_label("prompt").press(key)
            steered = page.get_by_role("region", name="Steered")
            expect(steered.locator(".tokens")).to_have_text("3 of 3")
            expect(page.get_by_role("button", name="Run")).to_be_visible()
            page.wait_for_timeout(300)
            assert len(inference.bodies(f"/v1/steer/{kind}")) == 1, (mode, key)
            assert column(page, "Steered").strip() == numbered_words("steered", 3)
            if mode == "chat":
                expect(steered.locator(".turn")).to_have_count(2)
                expect(page).to_have_url(re.compile(r"chat=%7B%22DEFAULT%22%3A%5B%7B%22role%22%3A%22user%22"))
                assert page.url.count("user") == 2


def test_a_chat_takes_no_second_message_before_its_answer(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    inference.delay = 0.1
    page.goto(f"{webapp_url}{STEER}&mode=chat&n_tokens=12")
    prompt = page.get_by_label("prompt")
    prompt.fill("Hello")
    prompt.press("Enter")
    expect(page.get_by_role("region", name="Steered").locator(".answer")).to_contain_text("steered1")
    prompt.press("Enter")
    expect(page.locator("#steer-note")).to_have_text("The model is answering. Esc stops it.")
    expect(page.get_by_role("region", name="Steered").locator(".tokens")).to_have_text("12 of 12")
    expect(prompt).to_have_value("")
    (sent,) = inference.bodies("/v1/steer/completion-chat")
    assert [turn["content"] for turn in sent["prompt"]] == ["Hello"]


def test_each_method_keeps_a_strength_of_its_own(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}/small/steer?feature=1-res/5&feature=3-res/1@94&n_tokens=3&prompt=Once")
    numbers = page.get_by_role("spinbutton", name=re.compile("as a number"))
    sliders = page.get_by_role("slider")
    method = page.get_by_label("Method")
    # a share of the layer's norm, which is 40 at layer 1
    expect(numbers.nth(0)).to_have_value("18")
    expect(sliders.nth(0)).to_have_attribute("max", "48")
    expect(page.get_by_text("Added to the residual stream").first).to_be_visible()
    method.select_option(label="Orthogonal decomposition")
    for number in range(2):
        expect(numbers.nth(number)).to_have_value("3")
        expect(sliders.nth(number)).to_have_value("3")
        expect(sliders.nth(number)).to_have_attribute("max", "10")
    expect(page.get_by_text("Added to the residual stream").first).to_be_hidden()
    expect(page.get_by_text("0 removes it, 1 changes nothing").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"feature=3-res%2F1%403&.*steer_method=ORTHOGONAL_DECOMP"))
    numbers.nth(1).fill("0")
    page.get_by_role("button", name="Run").click()
    caption = page.locator("#caption")
    expect(caption).to_contain_text(
        "Steered, orthogonal decomposition: the component along the decoder direction of 1-res/5 multiplied by 3 and "
        "the component along the decoder direction of 3-res/1 multiplied by 0 at every position"
    )
    sent = inference.bodies("/v1/steer/completion")[-1]
    assert [item["strength"] for item in sent["features"]] == [3, 0] and sent["steer_method"] == "ORTHOGONAL_DECOMP"
    method.select_option(label="Simple additive")
    expect(numbers.nth(0)).to_have_value("18")
    expect(numbers.nth(1)).to_have_value("94")
    method.select_option(label="Orthogonal decomposition")
    expect(numbers.nth(1)).to_have_value("0")


def test_the_caption_says_what_was_done(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}{STEER}&mode=chat&n_tokens=2&strength_multiplier=1.5")
    page.get_by_label(re.compile("special tokens too")).uncheck()
    page.get_by_label("prompt").fill("Hello")
    page.get_by_label("prompt").press("Enter")
    expect(page.locator("#caption")).to_contain_text(
        "Steered, simple additive: 30 (20 × 1.5) × the decoder direction of 1-res/5 added at every position but the "
        "special tokens of the conversation so far. Default: the same prompt, seed and settings without steering, "
        "as two rows"
    )


def test_the_default_strength_keeps_the_text_readable_and_zero_is_marked(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    """A slider's marks are at the thumb's positions for their strengths."""
    page.goto(f"{webapp_url}/small/steer?feature=1-res/5")
    slider, scale = page.get_by_role("slider"), page.locator("svg.scale:not([hidden])")
    expect(scale.locator("text.mark")).to_have_text("0")
    assert scale.locator("text:not(.mark)").all_text_contents() == ["weak", "clear", "breaks"]
    track, drawing = slider.bounding_box(), scale.bounding_box()
    mark = scale.locator("line.mark").bounding_box()
    assert track and drawing and mark
    assert abs(mark["x"] + mark["width"] / 2 - (track["x"] + track["width"] / 2)) < 1
    zones = {name: scale.locator(f"rect.{name}").last.bounding_box() for name in ("weak", "clear", "breaks")}
    value = float(slider.input_value())
    thumb = drawing["x"] + drawing["width"] * (0.5 + value / 48 / 2)
    clear = zones["clear"]
    assert clear and clear["x"] < thumb < clear["x"] + clear["width"]


def test_headings_of_the_columns_do_not_move(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}{STEER}&n_tokens=3&prompt=Once")
    boxes = []
    for _ in range(2):
        boxes.append(page.get_by_role("heading", name="Steered").bounding_box())
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_role("region", name="Steered").locator(".tokens")).to_have_text("3 of 3")
    assert boxes[0] == boxes[1]


def test_a_chats_composer_is_below_the_conversation(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page.goto(f"{webapp_url}{STEER}")

    def tops() -> tuple[float, float]:
        boxes = page.locator("#composer").bounding_box(), page.locator("#results").bounding_box()
        assert boxes[0] and boxes[1]
        return boxes[0]["y"], boxes[1]["y"]

    composer, results = tops()
    assert composer < results
    page.get_by_role("button", name="Chat", exact=True).click()
    composer, results = tops()
    assert composer > results


def test_a_phone_shows_features_prompt_and_texts_in_this_order(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{webapp_url}{STEER}")
    names = ("#h-features", "#composer", "#results", "#h-sampling")
    boxes = [page.locator(name).bounding_box() for name in names]
    tops = [box["y"] for box in boxes if box]
    assert len(tops) == 4 and tops == sorted(tops)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


TYPE = """(box, text) => {
  for (let length = 1; length <= text.length; length += 1) {
    box.value = text.slice(0, length);
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


def test_typing_searches_once_and_cancels_the_previous_search(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    queries: list[str] = []
    cancelled: list[str] = []
    page.on("request", lambda request: queries.append(request.url) if "/steer/find" in request.url else None)
    page.on("requestfailed", lambda request: cancelled.append(request.url))
    page.route("**/steer/find?q=sea", lambda _: None)  # it is never answered
    page.goto(f"{webapp_url}/small/steer")
    page.get_by_role("button", name="Add by explanation or index").click()
    box = page.get_by_role("searchbox", name="words of an explanation, or an index")
    with page.expect_request("**/steer/find?q=sea"):
        box.evaluate(TYPE, "sea")
    box.evaluate(TYPE, "whale")
    expect(page.get_by_role("button", name="2-res/5")).to_be_visible()
    assert [query.rpartition("=")[2] for query in queries] == ["sea", "whale"]
    assert cancelled == [queries[0]]


def test_a_chat_continues_in_both_columns(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(webapp_url + STEER)
    page.get_by_role("button", name="Chat", exact=True).click()
    page.get_by_label("Tokens", exact=True).fill("3")
    prompt = page.get_by_label("prompt")
    for turn, message in enumerate(("Hello", "And then?")):
        prompt.fill(message)
        prompt.press("Enter")
        for name in ("Default", "Steered"):
            region = page.get_by_role("region", name=name)
            expect(region.locator(".turn")).to_have_count(2 * turn + 2)
            expect(region.locator(".turn.user .content").last).to_have_text(message)
            expect(region.locator(".turn.model .content").last).to_have_text(numbered_words(name.lower(), 3))
        expect(prompt).to_have_value("")
    # each column has its own history
    sent = {tuple(body["types"]): body["prompt"] for body in inference.bodies("/v1/steer/completion-chat")[1:]}
    assert sent["STEERED",][1]["content"] == numbered_words("steered", 3)
    assert sent["DEFAULT",][1]["content"] == numbered_words("default", 3)
    # the address has the conversation: it continues after a reload
    page.reload()
    for turn in (2, 3):
        for name in ("Default", "Steered"):
            region = page.get_by_role("region", name=name)
            expect(region.locator(".turn")).to_have_count(2 * turn)
            expect(region.locator(".turn.model .content").last).to_have_text(numbered_words(name.lower(), 3))
        prompt.fill("Go on")
        prompt.press("Enter")
    steered = page.get_by_role("region", name="Steered")
    expect(steered.locator(".turn")).to_have_count(8)
    expect(steered.locator(".turn.model .content").last).to_have_text(numbered_words("steered", 3))
    sent = {tuple(body["types"]): body["prompt"] for body in inference.bodies("/v1/steer/completion-chat")}
    assert [turn["content"] for turn in sent["STEERED",]][::2] == ["Hello", "And then?", "Go on", "Go on"]
    expect(prompt).to_have_value("")
    page.get_by_role("button", name="Reset").click()
    expect(page).not_to_have_url(re.compile("chat="))


def test_reset_discards_the_answer_in_progress(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    inference.delay = 0.05
    page.goto(f"{webapp_url}{STEER}&mode=chat&n_tokens=100")
    prompt = page.get_by_role("textbox", name="prompt")
    expect(prompt).to_have_attribute("placeholder", "Write a message, the model answers…")
    prompt.fill("Hello")
    prompt.press("Enter")
    steered = page.get_by_role("region", name="Steered")
    expect(steered.locator(".answer")).to_contain_text("steered2")
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    inference.delay = 0
    page.get_by_label("Tokens", exact=True).fill("3")
    prompt.fill("Again")
    prompt.press("Enter")
    expect(steered.locator(".turn")).to_have_count(2)
    expect(steered.locator(".turn.model .content").last).to_have_text(numbered_words("steered", 3))
    assert [turn["content"] for turn in inference.bodies("/v1/steer/completion-chat")[-1]["prompt"]] == ["Again"]


def test_features_are_added_and_removed(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}/small/steer")
    page.get_by_label("prompt").fill("Once")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_have_text("Add a feature to steer with first.")
    finder = page.get_by_role("searchbox", name="words of an explanation, or an index")
    expect(finder).to_be_focused()
    finder.fill("whale")
    page.get_by_role("button", name="2-res/5").click()
    expect(page.locator(".feature-control")).to_have_count(1)
    number = page.get_by_role("spinbutton", name=re.compile("as a number"))
    number.fill("-12")
    number.press("Tab")
    expect(page.get_by_role("slider")).to_have_value("-12")
    expect(page).to_have_url(re.compile(r"feature=2-res%2F5%40-12"))
    page.get_by_role("slider").press("ArrowRight")
    expect(number).not_to_have_value("-12")
    page.get_by_role("button", name=re.compile("^remove")).click()
    expect(page.get_by_text("No feature yet.")).to_be_visible()


def test_errors_are_shown(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(webapp_url + STEER)
    prompt, note = page.get_by_label("prompt"), page.locator("#steer-note")
    prompt.fill("word " * 60)
    prompt.press("Control+Enter")
    expect(note).to_contain_text("Text too long: 62 tokens, max is 50. Shorten it")
    # there is no response, and no placeholder of one
    expect(page.get_by_role("region", name="Steered").locator(".out")).to_have_text("")
    expect(note).to_have_attribute("role", "alert")
    inference.error_after = 2
    prompt.fill("Once")
    prompt.press("Control+Enter")
    expect(note).to_have_text(
        "Inference stopped before the response was complete: No memory is left; ask for fewer tokens."
    )
    expect(page.get_by_role("region", name="Steered").locator(".answer")).to_have_text("steered0 steered1")
    inference.reset()
    inference.state = "loading"
    prompt.press("Control+Enter")
    expect(note).to_contain_text("is loading, ")
    page.goto(f"{webapp_url}/small/steer?source=9-res&index=5")
    expect(page.get_by_role("alert").first).to_contain_text("small has no source '9-res'")


def test_a_dashboard_links_to_the_steer_page(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}/small/2-res/7")
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile(r"/small/steer\?source=2-res&index=7&strength="))
    expect(page.locator(".feature-control .name")).to_contain_text("2-res/7")
