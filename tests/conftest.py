"""A real Chromium, Node, and the demo's model. Tests that need what is not installed are skipped and reported.

page         a fresh page of the module's Chromium, 1280 wide; what it logs as an error, such as a violation of the
             content security policy, fails the test at its end
watched      makes further pages, with other sizes or themes, that are watched in the same way
model_folder the folder of the demo's model
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typescript_client
from memicos_testing.demo_program import ROOT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

ABORTED = ("htmx:sendAbort", "htmx:afterRequest")
"""Messages of htmx for a request that the page ends itself; a failed one has another message beside the second."""

# longest wait for what a page shall show, on a machine that other programs use
expect.set_options(timeout=60_000)


class _Folders(LoadScopeScheduling):
    """One process runs the tests of a folder: they use the same servers. Those of the browser take as long as all
    others together, and their servers start fast: each file is on its own."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.startswith("tests/browser/") else file.rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _Folders(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                reason = "no Chromium is installed: apt-get install chromium"
                item.add_marker(pytest.mark.skip(reason=reason))  # noqa: TID251 (reported; CI installs one)
        if "typescript_package" in getattr(item, "fixturenames", ()) and typescript_client.node_major() is None:
            reason = "no Node is installed: apt-get install nodejs npm"
            item.add_marker(pytest.mark.skip(reason=reason))  # noqa: TID251 (reported; CI installs one)


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The demo's model, converted once for every run on this machine."""
    subprocess.run([sys.executable, "demo/model.py"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return ROOT / ".data" / "models" / "smollm2-135m-it"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


Watched = Callable[..., Page]


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # the browser also logs responses with an error status; each test checks these itself
        if message.type == "error" and not message.text.startswith(("Failed to load resource", *ABORTED)):
            problems.append(message.text)

    def make(**options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched()
