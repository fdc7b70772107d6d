"""The owner signs in by a one-time link, by keyboard, writes, and signs out; a read-only server shows its badge."""

from collections.abc import Callable

import pytest
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.webapp.owner_link import owner_link
from playwright.sync_api import Page, expect

Watched = Callable[..., Page]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_owner_signs_in_explains_and_signs_out(
    watched: Watched, public_url: str, webapp_environment: dict[str, str], provider: LlmProvider, width: int
) -> None:
    page = watched(viewport={"width": width, "height": 844}, has_touch=width == 390)
    feature = f"{public_url}/small/3-res/{10 if width == 390 else 11}"
    page.goto(feature)
    expect(page.locator(".top .identity")).to_have_text("Visitor")
    expect(page.get_by_role("button", name="Generate explanation")).to_have_count(0)
    page.locator("#write-problem a").click()
    expect(page).to_have_url(f"{public_url}/account")
    expect(page.get_by_text("memicos owner-link").first).to_be_visible()

    link = owner_link(webapp_environment, public_url)
    page.goto(link)
    # the code is in the form, and removed from the address, so that it is not kept in the history
    expect(page).to_have_url(f"{public_url}/account/sign-in")
    expect(page.locator("#token")).to_have_value(link.partition("#")[2])
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{public_url}/account")
    expect(page.locator(".top .identity")).to_have_text("Owner")
    expect(page.get_by_text("this browser")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    (cookie,) = page.context.cookies()
    assert cookie.get("httpOnly") and cookie.get("sameSite") == "Lax"

    page.goto(feature)
    page.get_by_role("button", name="Generate explanation").click()
    expect(page.locator("#explanation-status")).to_contain_text("added")

    page.goto(f"{public_url}/account")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator(".top .identity")).to_have_text("Visitor")
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown, expired or used")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_read_only_server_shows_a_badge_and_no_write(watched: Watched, read_only_url: str, width: int) -> None:
    page = watched(viewport={"width": width, "height": 844})
    page.goto(f"{read_only_url}/small/1-res/5")
    expect(page.locator(".top .identity")).to_have_text("Read-only")
    expect(page.locator("#write-problem")).to_contain_text("read-only")
    expect(page.get_by_role("button", name="Generate explanation")).to_have_count(0)
    # the header is as high as without the badge: sections and badge share a line
    assert (page.locator(".top").bounding_box() or {})["height"] < 100
    assert page.evaluate("document.documentElement.scrollWidth") <= width
