"""Search of explanations, by activation and by token, while the user types."""

import re

from memicos_testing.fake_inference_server import FakeInferenceServer
from playwright.sync_api import Page, expect


def test_results_change_while_typing(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/search-explanations")
    field = page.get_by_role("searchbox", name="Search explanations", exact=True)
    expect(field).to_be_focused()
    page.evaluate("window.sameDocument = true")
    page.keyboard.type("whale")
    first = page.locator(".result").first
    expect(first.locator(".result-link")).to_have_text("the word 'whale' and what follows it")
    expect(first.locator("mark")).to_have_text("whale")
    expect(first.locator(".text i").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=whale"))
    field.fill("w")
    expect(page.get_by_role("alert")).to_contain_text("A query has at least 3 characters")
    field.fill("parliament and its houses")
    expect(first.locator(".result-link")).to_contain_text("Houses")
    assert page.evaluate("window.sameDocument") is True
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", level=2, name=re.compile("21 to 40 of"))).to_be_visible()
    page.go_back()
    first.locator(".result-link").click()
    expect(page.get_by_role("heading", level=2, name=re.compile("^Top activations"))).to_be_visible()


def test_some_sources_of_a_model(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/search-explanations?q=whale")
    page.get_by_role("navigation", name="Where to search").get_by_role("link", name="Sources").click()
    expect(page.locator(".result").first).to_be_visible()
    page.get_by_role("checkbox", name="3-res").check()
    expect(page.locator(".result").first.locator("a.chip")).to_have_text("small/3-res/5")
    expect(page.locator(".result a.chip").filter(has_not_text="3-res")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("checkbox", name="3-res")).to_be_checked()


def test_a_suggestion_is_a_link(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/search-explanations")
    page.get_by_role("link", name="whales and the sea").click()
    expect(page.locator(".result").first.locator(".result-link")).to_contain_text(re.compile("whale|sea"))


def test_own_text_over_all_sources(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    inference.delay = 0.3
    page.goto(f"{webapp_url}/search")
    page.get_by_label("Include dense features (> 1%)").check()
    page.get_by_role("textbox", name="Your text").fill("the whale rose from the sea")
    page.get_by_role("textbox", name="Your text").press("Control+Enter")
    expect(page.get_by_text("Running the text through small")).to_be_visible()
    expect(page.locator(".result")).to_have_count(30)
    expect(page.locator(".result").first.locator("i").first).to_be_visible()
    page.locator(".token-links").get_by_role("link", name="whale").click()
    expect(page.locator(".token-links a[aria-current]")).to_have_text(" whale")
    expect(page.get_by_text("Rank by the strongest token instead")).to_be_visible()
    page.get_by_role("link", name="By token").click()
    expect(page.get_by_role("rowheader")).to_have_count(7)
    expect(page.get_by_role("row", name="whale").get_by_role("link").first).to_be_visible()
    expect(page.get_by_role("textbox", name="Your text")).to_have_value("the whale rose from the sea")


def test_an_example_fills_the_text(page: Page, webapp_url: str, inference: FakeInferenceServer) -> None:
    page.goto(f"{webapp_url}/search")
    page.get_by_role("link", name=re.compile("The whale sank")).click()
    expect(page.get_by_role("textbox", name="Your text")).to_have_value(re.compile("^The whale sank the ship"))
    expect(page.locator(".token-links a").nth(1)).to_have_text(" whale")


def test_the_ranking_is_chosen_and_no_source_is_refused(
    page: Page, webapp_url: str, inference: FakeInferenceServer
) -> None:
    page.goto(f"{webapp_url}/search?q=the+whale+rose+from+the+sea&hideDense=false")
    results = page.locator(".result")
    expect(results).to_have_count(30)
    expect(results.first.locator(".example-value")).to_contain_text("%")
    expect(page.get_by_text("as a share of each feature’s maximum activation")).to_be_visible()
    page.get_by_role("combobox", name="Rank by").select_option("raw")
    page.get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile("rank=raw"))
    expect(results).to_have_count(30)
    expect(results.first.locator(".example-value")).not_to_contain_text("%")
    page.get_by_role("link", name="Rank by share of the maximum activation").click()
    expect(results.first.locator(".example-value")).to_contain_text("%")
    expect(page.get_by_role("combobox", name="Rank by")).to_have_value("share")
    request_count = len(inference.seen)
    for box in page.get_by_role("group", name="Sources").get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_have_text("No source is chosen: choose at least one to search in.")
    expect(results).to_have_count(0)
    assert len(inference.seen) == request_count
    page.get_by_role("checkbox", name="2-res").check()
    page.get_by_role("button", name="Run").click()
    expect(results.first).to_be_visible()
    expect(page.get_by_role("checkbox", name="2-res")).to_be_checked()
    expect(page.get_by_role("checkbox", name="1-res")).not_to_be_checked()
