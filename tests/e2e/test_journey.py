"""The main job in a real browser on the demo: from the first page to steered text."""

import re

from memicos_testing.demo_program import Demo
from playwright.sync_api import Page, expect


def test_home_feature_own_text_search_steer(page: Page, demo: Demo) -> None:
    page.goto(demo.webapp)
    page.keyboard.press("/")
    page.keyboard.type("15-res-4k/87")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{demo.webapp}/smollm2-135m-it/15-res-4k/87")

    page.get_by_label("Your text").fill("On March 4, 1861 the president spoke of 25 states.")
    page.get_by_role("button", name="Run").click()
    result = page.locator("#test-result")
    expect(result).to_contain_text("March")
    expect(result.locator("[title]").first).to_be_visible()

    page.goto(f"{demo.webapp}/search-explanations/?q=numbers+and+dates")
    first = page.locator("main a[href*='/smollm2-135m-it/']").filter(has_text=re.compile(r"\w")).first
    expect(first).to_be_visible()

    page.goto(f"{demo.webapp}/smollm2-135m-it/15-res-4k/87")
    page.locator("#steer-with-it").click()
    expect(page).to_have_url(re.compile(r"/smollm2-135m-it/steer\?source=15-res-4k&index=87&strength="))
    page.get_by_role("button", name="Completion").click()
    page.get_by_label("prompt").fill("The meeting will be held on")
    page.get_by_role("spinbutton", name="Tokens").fill("24")
    page.get_by_role("button", name="Run").click()

    columns = [page.locator("#default-card .out"), page.locator("#steered-card .out")]
    # the first text may wait, on a machine that other programs use
    for column in columns:
        expect(column).to_have_text(re.compile(r"\S"))
    lengths: set[tuple[int, int]] = set()
    for _ in range(600):
        default, steered = (len(column.inner_text()) for column in columns)
        lengths.add((default, steered))
        if page.locator("#stop").is_hidden() and default and steered:
            break
        page.wait_for_timeout(50)
    # both columns grow concurrently: at some moments each has a part
    assert len({default for default, _ in lengths}) > 3 and len({steered for _, steered in lengths}) > 3
    assert any(0 < default < max(lengths)[0] and steered > 0 for default, steered in lengths)
