"""The dashboard and the navigation to it, by mouse and keyboard."""

import re
from collections.abc import Callable

import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer, value_of
from memicos_testing.llm_provider import LlmProvider, Reply
from playwright.sync_api import Dialog, Page, expect

Watched = Callable[..., Page]


def test_from_home_to_a_feature_by_the_jump_box(page: Page, webapp_url: str) -> None:
    page.goto(webapp_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Explore the features of language models")
    page.keyboard.press("/")
    expect(page.locator("#jump")).to_be_focused()
    page.keyboard.type("2-res/5")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{webapp_url}/small/2-res/5")
    expect(page.get_by_role("heading", level=1)).to_have_text("the word 'whale' and what follows it")


def test_keys_walk_through_live_features(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/small/2-res/14")
    page.keyboard.press("j")
    expect(page).to_have_url(f"{webapp_url}/small/2-res/16")
    page.keyboard.press("k")
    expect(page).to_have_url(f"{webapp_url}/small/2-res/14")
    page.keyboard.press("t")
    expect(page.locator("#test-text")).to_be_focused()
    page.keyboard.type("j?")
    expect(page.locator("#test-text")).to_have_value("j?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_three_views_of_an_example(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/small/2-res/5")
    first = page.locator(".example .text").first

    def length() -> int:
        return len(first.inner_text())

    snippet = length()
    # whole texts are fetched on demand
    expect(page.locator(".example .far")).to_have_count(0)
    page.get_by_text("Full", exact=True).click()
    expect(page.locator(".example .far").first).to_be_visible()
    full = length()
    page.get_by_text("Stacked", exact=True).click()
    stacked = length()
    assert stacked < snippet < full
    # the choice is remembered on the next feature
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("/6$"))
    expect(page.locator("#v-stacked")).to_be_checked()
    page.locator("#v-snippet").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#v-full")).to_be_checked()
    expect(page.locator(".example .far").first).to_be_visible()
    page.keyboard.press("k")
    expect(page.locator("#v-full")).to_be_checked()
    expect(page.locator(".example .far").first).to_be_visible()


def test_shades_and_numbers(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/small/2-res/5")
    peak = page.locator(".example .text i.max").first
    expect(peak).to_have_class("a9 max")
    assert re.fullmatch(r"\d+\.\d", peak.get_attribute("title") or "")
    colour = "getComputedStyle(document.querySelector('.example .text i.max')).backgroundColor"
    assert page.evaluate(colour) != "rgba(0, 0, 0, 0)"
    page.keyboard.press("v")
    after = "getComputedStyle(document.querySelector('.example .text i.max'), '::after').content"
    assert page.evaluate(after) == f'"{peak.get_attribute("title")}"'


def test_where_an_activation_came_from_is_shown_or_hidden(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/small/3-res/6")
    page.set_viewport_size({"width": 390, "height": 800})
    origin, token = page.locator(".example .origin").first, page.locator(".example .text i.d9").first
    line = "getComputedStyle(document.querySelector('.example .text i.d9')).boxShadow"
    expect(origin).to_have_text(re.compile(r"^Comes from \S+ 3\.00 \(1 before\), \S+ 2\.00 \(itself\)$"))
    expect(token).to_have_attribute("title", re.compile("attribution 3.00"))
    assert page.evaluate(line) != "none"
    page.keyboard.press("o")
    expect(page.get_by_role("checkbox", name="Origin")).not_to_be_checked()
    expect(origin).to_be_hidden()
    assert page.evaluate(line) == "none"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    # a source without attributions has nothing to show or hide
    page.goto(f"{webapp_url}/small/2-res/6")
    expect(page.locator("#v-values")).to_be_attached()
    expect(page.locator("#v-origin")).to_have_count(0)


def test_the_feature_table_filters_in_place_and_its_address_can_be_shared(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/small/2-res")
    expect(page.locator("#features .count")).to_contain_text("of 60")
    page.evaluate("window.sameDocument = true")
    page.locator("[name=words]").fill("whale")
    expect(page.locator("#features .count")).to_contain_text("1–1 of 1")
    expect(page).to_have_url(re.compile("words=whale"))
    page.reload()
    expect(page.locator("#features .count")).to_contain_text("1–1 of 1")
    page.goto(f"{webapp_url}/small/2-res")
    page.evaluate("window.sameDocument = true")
    page.get_by_role("link", name="Density").click()
    expect(page).to_have_url(re.compile("sort=density&order=desc|order=desc"))
    page.get_by_role("link", name="Next →").click()
    expect(page.locator("#features .count")).to_contain_text("51–60 of 60")
    assert page.evaluate("window.sameDocument") is True
    page.locator("#features tbody a").first.click()
    expect(page.get_by_role("heading", level=2, name=re.compile("^Top activations"))).to_be_visible()


def test_the_table_works_without_scripts(watched: Watched, webapp_url: str) -> None:
    page = watched(java_script_enabled=False)
    page.goto(f"{webapp_url}/small/2-res")
    page.locator("[name=words]").fill("whale")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#features tbody tr")).to_have_count(1)
    page.locator("#features tbody a").first.click()
    # fetching whole texts needs them
    expect(page.get_by_text("Full", exact=True)).to_be_hidden()
    page.get_by_text("Stacked", exact=True).click()
    expect(page.locator("#v-stacked")).to_be_checked()


def test_own_text_is_shaded_and_stays_in_the_address(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page.goto(f"{webapp_url}/small/1-res/5")
    expect(page.get_by_text("inference ready")).to_be_visible()
    page.keyboard.press("t")
    page.keyboard.type("the whale rose")
    page.keyboard.press("Control+Enter")
    result = page.locator("#test-result")
    expect(result.locator("i.max")).to_have_text(" whale")
    expect(result.locator("i.max")).to_have_attribute("title", f"{value_of('1-res', 5, 'whale'):.4g}")
    expect(result).to_contain_text("max 10.0 at “ whale”")
    expect(page).to_have_url(f"{webapp_url}/small/1-res/5?defaulttesttext=the+whale+rose")
    page.reload()
    expect(result.locator("i.max")).to_have_text(" whale")
    # the error is shown in place of the result
    page.get_by_label("Your text").fill("word " * 60)
    page.get_by_role("button", name="Run").click()
    expect(result.get_by_role("alert")).to_contain_text("Text too long: 62 tokens, max is 50. Shorten it")


def test_own_text_waits_while_inference_loads(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    inference.state, inference.fraction, inference.progress = "loading", 0.5, "reading weights"
    page.goto(f"{webapp_url}/small/1-res/5?defaulttesttext=the+whale")
    expect(page.locator("#test-result")).to_contain_text("loading, 50 %: reading weights")
    inference.state = "ready"
    # it retries automatically
    expect(page.locator("#test-result i.max")).to_have_text(" whale")
    expect(page.get_by_text("inference ready")).to_be_visible()


def test_explanations_are_generated_chosen_as_label_and_deleted(
    page: Page, webapp_url: str, provider: LlmProvider
) -> None:
    page.goto(f"{webapp_url}/small/3-res/9")
    default = "the word 'sea' and what follows it"
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(default)
    form = page.get_by_role("form", name="Generate an explanation")
    provider.script(Reply(status=429))
    form.get_by_label("Explainer model").fill("some/model")
    form.get_by_role("button", name="Generate explanation").click()
    status = page.locator("#explanation-status")
    expect(status.get_by_role("alert")).to_contain_text("The language model gave no explanation (rate_limited)")
    # a request that lasts is cancelled: nothing comes of it
    provider.script(Reply(delay=600))
    form.get_by_role("button", name="Generate explanation").click()
    expect(form.get_by_role("status")).to_have_text("waiting for the language model…")
    while len(provider.requests) < 2:  # else the next request would get this reply
        page.wait_for_timeout(20)
    form.get_by_role("button", name="Cancel").click()
    expect(status).to_contain_text("Cancelled.")
    expect(page.locator("#explanations .explanation")).to_have_count(1)
    expect(form.get_by_role("button", name="Cancel")).to_be_hidden()
    form.get_by_role("button", name="Generate explanation").click()
    expect(status).to_have_text("Explanation by some/model added.")
    explanations = page.locator("#explanations .explanation")
    expect(explanations).to_have_count(2)
    # it becomes the label by choice only
    expect(heading).to_have_text(default)
    expect(explanations.first).to_contain_text(default)
    form.get_by_role("button", name="Generate explanation").click()
    expect(status.get_by_role("alert")).to_contain_text("already exists")
    explanations.nth(1).get_by_role("button", name="Use as label").click()
    expect(heading).to_have_text("the sea")
    expect(explanations.first).to_contain_text("the sea")
    page.reload()
    expect(heading).to_have_text("the sea")
    # a dataset's explanation cannot be deleted; the user's own only after a confirmation
    expect(page.get_by_role("button", name="Delete the explanation")).to_have_count(1)
    questions: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", dismiss)
    page.get_by_role("button", name="Delete the explanation").click()
    expect(explanations).to_have_count(2)
    assert questions == ["Delete this explanation? “the sea”"]
    page.once("dialog", lambda dialog: dialog.accept())
    # by keyboard
    page.get_by_role("button", name="Delete the explanation").focus()
    page.keyboard.press("Enter")
    expect(status).to_have_text("Explanation deleted.")
    expect(explanations).to_have_count(1)
    expect(heading).to_have_text(default)


def test_the_embed_code_is_copied(page: Page, webapp_url: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=webapp_url)
    page.goto(f"{webapp_url}/small/2-res/5")
    page.get_by_text("Embed", exact=True).click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    code = page.evaluate("navigator.clipboard.readText()")
    assert code.startswith("<iframe ") and "max-width: 100%" in code
    assert f"{webapp_url}/small/2-res/5?embed=true" in code
    # all of it is visible
    box = page.get_by_label("HTML that shows this dashboard in another page")
    assert box.evaluate("e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth")


def test_the_command_of_a_result_is_copied(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=webapp_url)
    page.goto(f"{webapp_url}/small/2-res/5?defaulttesttext=the+whale")
    result = page.locator("#test-result")
    result.get_by_text("Recompute", exact=True).click()
    result.get_by_role("button", name="Copy").click()
    expect(result.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"memicos recompute {webapp_url}/small/2-res/5 --text 'the whale'"


def test_an_embedded_dashboard_has_no_navigation(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}/small/2-res/5?embed=true&defaulttesttext=the+whale")
    expect(page.get_by_role("navigation")).to_have_count(0)
    expect(page.locator("#test-result .own-text")).to_be_visible()
    expect(page.get_by_role("link", name="Open in memicos")).to_have_attribute("href", "/small/2-res/5")


def tops(page: Page, *names: str) -> list[float]:
    """Positions of the sections with these headings, in pixels from the top of the page."""
    headings = [page.get_by_role("heading", level=2, name=re.compile(f"^{name}")) for name in names]
    return [heading.evaluate("e => e.getBoundingClientRect().top + scrollY") for heading in headings]


SECTIONS = ("Explanations", "Positive logits", "Activation density", "Test your own text", "Top activations")
RELATED = ("Similar features", "How this was computed")


def test_a_phone_shows_explanation_logits_and_histograms_before_the_examples(
    watched: Watched, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page = watched(viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto(f"{webapp_url}/small/2-res/5")
    positions = tops(page, *SECTIONS, *RELATED)
    assert positions == sorted(positions)
    # the first three before two screens have passed
    assert positions[2] < 2 * 844


@pytest.mark.parametrize("width", [540, 1280])
def test_an_embedded_dashboard_is_in_the_order_of_reading(
    watched: Watched, webapp_url: str, inference: FakeInferenceServer, width: int
) -> None:
    page = watched(viewport={"width": width, "height": 600})
    page.goto(f"{webapp_url}/small/2-res/5?embed=true")
    positions = tops(page, *SECTIONS)
    assert positions == sorted(positions)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_order_of_the_document_is_the_order_of_reading(
    watched: Watched, webapp_url: str, inference: FakeInferenceServer, width: int
) -> None:
    page = watched(viewport={"width": width, "height": 844})
    page.goto(f"{webapp_url}/small/2-res/5")
    positions = page.evaluate(
        """() => [...document.querySelectorAll("main .stack section")].map((section) => {
             const box = section.getBoundingClientRect();
             return [Math.round(box.left), Math.round(box.top + scrollY)];
           })"""
    )
    assert len(positions) >= 7
    # in each column from top to bottom
    for column in {x for x, _ in positions}:
        rows = [top for x, top in positions if x == column]
        assert rows == sorted(rows)
    if width == 390:
        assert len({x for x, _ in positions}) == 1


def test_a_menu_closes_on_escape_and_on_a_click_outside(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/small/2-res/5")
    code, summary = page.locator("#embed-code"), page.get_by_text("Embed", exact=True)
    summary.click()
    expect(code).to_be_visible()
    code.click()
    expect(code).to_be_visible()
    page.keyboard.press("Escape")
    expect(code).to_be_hidden()
    expect(page.locator("details.menu summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(code).to_be_visible()
    page.get_by_role("heading", level=2, name="Explanations").click()
    expect(code).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.mouse.click(5, 5)
    expect(page.locator("#keys")).to_be_hidden()


def test_the_jump_box_lists_the_pages_that_an_input_fits(page: Page, webapp_url: str) -> None:
    page.goto(webapp_url)
    page.keyboard.press("/")
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pages that match “7”")
    page.get_by_role("link", name="3-res/7").click()
    expect(page).to_have_url(f"{webapp_url}/small/3-res/7")
    # on the page of a source the index is one of that source
    page.keyboard.press("/")
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{webapp_url}/small/3-res/9")


def test_tokens_to_rank_by_are_targets_of_24_pixels(
    watched: Watched, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page = watched(viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto(f"{webapp_url}/search?q=a+b+,+c+the+whale&hideDense=false")
    links = page.locator(".token-links a")
    expect(links).not_to_have_count(0)
    for link in links.all():
        box = link.bounding_box()
        assert box and box["width"] >= 24 and box["height"] >= 24
    links.nth(1).tap()
    expect(page.locator(".token-links a[aria-current]")).to_have_count(1)
