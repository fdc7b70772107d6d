"""The nginx example in a browser, by http and https: every request stays below /memicos/, and streams arrive early."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.nginx import Site, nginx_site
from memicos_testing.servers import in_thread
from memicos_testing.webapp.owner_link import owner_link
from playwright.sync_api import Page, Request, Response, expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

Watched = Callable[..., Page]
SCHEMES = ("http", "https")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(
    webapp_environment: dict[str, str], start_webapp: Callable[[dict[str, str]], AbstractContextManager[str]]
) -> Iterator[Site]:
    settings = {"MEMICOS_ROOT_PATH": "/memicos", "MEMICOS_TRUSTED_PROXIES": "127.0.0.1"}
    with (
        start_webapp(webapp_environment | settings) as url,
        tempfile.TemporaryDirectory() as folder,
        nginx_site(url, Path(folder)) as site,
    ):
        yield site


@dataclass
class Visit:
    """A page that is watched, and the requests that it has made."""

    page: Page
    home: str
    """Address of the home page, with the slash at its end."""
    requests: list[str] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    """Responses with an error status."""

    def __post_init__(self) -> None:
        self.page.context.on("request", self._add_request)
        self.page.context.on("response", self._add_response)

    def _add_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _add_response(self, response: Response) -> None:
        if response.status >= 400:
            self.failures.append((response.status, response.url))

    def outside(self) -> list[str]:
        """Requests of addresses that are not below the home page."""
        inside = (self.home, "data:", "blob:")
        return [url for url in self.requests if not url.startswith(inside) and url != self.home.rstrip("/")]


@pytest.fixture(params=SCHEMES)
def visit(request: pytest.FixtureRequest, watched: Watched, site: Site) -> Iterator[Visit]:
    visit = Visit(watched(ignore_https_errors=True), f"{getattr(site, request.param)}/memicos/")
    yield visit
    assert len(visit.requests) > 5
    assert (visit.outside(), visit.failures) == ([], [])


def test_from_home_by_search_to_a_feature(visit: Visit, inference: FakeInferenceServer) -> None:
    page = visit.page
    page.goto(visit.home.rstrip("/"))
    expect(page).to_have_url(visit.home)
    page.get_by_role("link", name="Search", exact=False).first.click()
    expect(page).to_have_url(re.compile(re.escape(visit.home) + "search"))
    page.goto(f"{visit.home}search-explanations")
    expect(page.get_by_role("searchbox", name="Search explanations", exact=True)).to_be_focused()
    page.keyboard.type("whale")
    first = page.locator(".result").first
    expect(first.locator("mark")).to_have_text("whale")
    expect(first.locator(".text i").first).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(visit.home) + r"search-explanations/?\?.*q=whale"))
    first.locator(".result-link").click()
    expect(page).to_have_url(re.compile(re.escape(visit.home) + r"small/\d-res/\d+"))
    expect(page.get_by_text("inference ready")).to_be_visible()
    address = page.url
    page.get_by_text("Full", exact=True).click()
    expect(page.locator(".example .far").first).to_be_visible()
    page.keyboard.press("t")
    page.keyboard.type("the whale rose")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#test-result i.max")).to_have_text(" whale")
    expect(page).to_have_url(f"{address}?defaulttesttext=the+whale+rose")
    page.get_by_role("link", name="Link to this result").click()
    expect(page.locator("#test-result i.max")).to_have_text(" whale")
    page.locator("#next").click()
    expect(page).not_to_have_url(re.compile(re.escape(address)))
    page.keyboard.press("/")
    page.keyboard.type("2-res/5")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{visit.home}small/2-res/5")


def test_a_search_by_own_text(visit: Visit, inference: FakeInferenceServer) -> None:
    page = visit.page
    page.goto(f"{visit.home}search")
    page.get_by_label("Include dense features (> 1%)").check()
    page.get_by_role("textbox", name="Your text").fill("the whale rose from the sea")
    page.get_by_role("textbox", name="Your text").press("Control+Enter")
    expect(page.locator(".result")).to_have_count(30)
    page.locator(".token-links").get_by_role("link", name="whale").click()
    expect(page.locator(".token-links a[aria-current]")).to_have_text(" whale")
    page.get_by_role("link", name="By token").click()
    expect(page.get_by_role("rowheader")).to_have_count(7)
    page.get_by_role("row", name="whale").get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(re.escape(visit.home) + r"small/\d-res/\d+"))


def test_steering_streams_and_its_link_is_shared(
    visit: Visit, watched: Watched, inference: FakeInferenceServer
) -> None:
    page = visit.page
    inference.delay = 0.2
    page.goto(f"{visit.home}small/1-res/5")
    page.locator("#steer-with-it").click()
    expect(page).to_have_url(re.compile(re.escape(visit.home) + "small/steer"))
    page.get_by_label("Tokens", exact=True).fill("20")
    page.get_by_label("prompt").fill("Once upon")
    page.get_by_label("prompt").press("Control+Enter")
    columns = [page.get_by_role("region", name=name) for name in ("Default", "Steered")]
    for column, word in zip(columns, ("default", "steered"), strict=True):
        expect(column.locator(".answer")).to_contain_text(f"{word}2")
    # the texts are shorter than a buffer: a proxy that buffers passes them on at their end
    assert "steered19" not in columns[1].locator(".answer").inner_text()
    assert inference.frames_sent < 2 * 20
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(columns[1].locator(".tokens")).to_have_text("20 of 20")
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_role("button", name=re.compile("^Link"))).to_be_visible()
    shared = Visit(watched(ignore_https_errors=True), visit.home)
    shared.page.goto(page.url)
    expect(shared.page.get_by_label("prompt")).to_have_value("Once upon")
    expect(shared.page.get_by_label("Tokens", exact=True)).to_have_value("20")
    shared.page.get_by_role("button", name="Run").click()
    expect(shared.page.get_by_role("region", name="Steered").locator(".answer")).to_contain_text("steered2")
    shared.page.keyboard.press("Escape")
    expect(shared.page.get_by_text("Stopped.")).to_be_visible()
    assert (shared.outside(), shared.failures) == ([], [])


def test_the_embed_code_works_in_a_page_of_another_site(visit: Visit, watched: Watched) -> None:
    page = visit.page
    page.goto(f"{visit.home}small/2-res/5")
    code = page.locator("#embed-code").input_value()
    assert f'src="{visit.home}small/2-res/5?embed=true"' in code

    async def article(_: object) -> HTMLResponse:
        return HTMLResponse(f"<!doctype html><title>An article</title><h1>An article</h1>{code}")

    # 127.0.0.1 is another site than localhost
    with in_thread(Starlette(routes=[Route("/", article)])) as url:
        other = Visit(watched(ignore_https_errors=True), visit.home)
        other.page.goto(url)
        frame = other.page.frame_locator("iframe")
        expect(frame.get_by_role("heading", level=1)).to_have_text("the word 'whale' and what follows it")
        expect(frame.locator(".example .text i.max").first).to_be_visible()
        frame.get_by_text("Stacked", exact=True).click()
        with other.page.expect_popup() as popup:
            frame.get_by_role("link", name="Open in memicos").click()
        expect(popup.value).to_have_url(f"{visit.home}small/2-res/5")
        assert (other.outside(), other.failures) == ([url + "/"], [])


def test_the_owner_signs_in_by_the_link_and_explains(
    visit: Visit, webapp_environment: dict[str, str], provider: LlmProvider
) -> None:
    page, https = visit.page, visit.home.startswith("https")
    page.goto(owner_link(webapp_environment, visit.home.rstrip("/")))
    expect(page).to_have_url(f"{visit.home}account/sign-in")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{visit.home}account")
    expect(page.locator(".top .identity")).to_have_text("Owner")
    (cookie,) = page.context.cookies()
    assert (cookie.get("path"), cookie.get("secure"), cookie.get("httpOnly")) == ("/memicos/", https, True)
    page.goto(f"{visit.home}small/3-res/{13 if https else 12}")
    page.get_by_role("button", name="Generate explanation").click()
    expect(page.locator("#explanation-status")).to_contain_text("added")
    page.locator(".top .identity").click()
    expect(page).to_have_url(f"{visit.home}account")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator(".top .identity")).to_have_text("Visitor")
    assert page.url.startswith(visit.home)
