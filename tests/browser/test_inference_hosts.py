"""The owner adds an inference server by keyboard, sees its state, and disables and removes it."""

from collections.abc import Callable

import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from playwright.sync_api import Page, expect

Watched = Callable[..., Page]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_server_is_added_and_removed(
    watched: Watched, webapp_url: str, served_inference: tuple[str, FakeInferenceServer], width: int
) -> None:
    url, server = served_inference
    server.reset()
    page = watched(viewport={"width": width, "height": 844}, has_touch=width == 390)
    page.goto(f"{webapp_url}/account")
    page.get_by_role("link", name="Inference servers").click()
    page.get_by_label("Name").focus()
    page.keyboard.type("default")
    page.keyboard.press("Tab")
    page.keyboard.type(url)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("named default already")
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Name").fill(f"second-{width}")
    page.keyboard.press("Enter")
    # the state comes without a reload
    state = page.locator(f"#state-second-{width}")
    expect(state).to_contain_text("ready small, 3 sources; 0 requests in progress")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    server.state, server.progress, server.fraction = "loading", "reading weights", 0.5
    expect(state).to_contain_text("loading inference is loading, 50 %: reading weights")

    for verb in ("Disable", "Enable"):
        button = page.get_by_role("button", name=f"{verb} second-{width}")
        assert (button.bounding_box() or {})["height"] >= 24
        button.tap() if width == 390 else button.click()
    remove = page.get_by_label(f"Remove second-{width}").first
    remove.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name=f"Remove second-{width}").last.click()
    expect(state).to_have_count(0)
    server.reset()
