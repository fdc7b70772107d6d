"""The demo in docker in a real Chromium: each part by its page, and open pages while a container is killed."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from memicos_testing.docker_stack import Stack, eventually, output
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
from playwright.sync_api import Browser, Page, expect

SOURCE = "/smollm2-135m-it/15-res-4k"
STEER = "/smollm2-135m-it/steer?source=15-res-4k&index=87&strength=150"
TEXT = "Please wash the dishes."
LOADED = 180_000
"""Longest wait for a container that starts again, in milliseconds."""


def kill(stack: Stack, service: str) -> int:
    """End the main process of a container by SIGKILL; returns how often the container was restarted before."""
    container = stack.container(service)
    process = container["State"]["Pid"]
    os.kill(process, signal.SIGKILL)
    # until its memory is freed, its sockets accept connections, which then end without an answer
    eventually(lambda: not Path(f"/proc/{process}").exists())
    return container["RestartCount"]


def run_text(page: Page) -> None:
    page.get_by_role("textbox", name=re.compile("Type a text|text")).first.fill(TEXT)
    page.locator("#test .btn.primary").click()


def run_steering(page: Page) -> None:
    page.get_by_label("Tokens", exact=True).fill("12")
    page.get_by_label("prompt").fill("My favourite hobby is")
    page.get_by_role("button", name="Run").click()


@pytest.fixture(scope="module")
def provider(demo: Stack) -> Iterator[LlmProvider]:
    """An LLM provider that runs on this machine, with autointerp of the demo set to it."""
    with LlmProvider(demo.gateway()) as provider:
        environment = {"AUTOINTERP_BASE_URL": provider.base_url, "AUTOINTERP_API_KEY": SERVER_KEY}
        Stack(demo.name, demo.files, demo.project, demo.port, environment).compose("up", "-d", "autointerp")
        eventually(lambda: demo.container("autointerp")["State"]["Health"]["Status"] == "healthy")
        yield provider
    demo.compose("up", "-d", "autointerp")


def test_a_visitor_reads_tests_searches_and_steers(demo: Stack, page: Page) -> None:
    page.goto(f"{demo.url}/")
    page.get_by_role("link", name="smollm2-135m-it").first.click()
    expect(page).to_have_url(f"{demo.url}/smollm2-135m-it")
    page.goto(f"{demo.url}{SOURCE}/87")
    expect(page.locator(".top .identity")).to_have_text("Visitor")
    expect(page.locator(".example").first).to_be_visible()
    run_text(page)
    expect(page.locator("#test-result .own-text")).to_contain_text("wash the dishes", timeout=LOADED)
    expect(page.locator("#test-result .own-result")).to_contain_text("max")

    page.goto(f"{demo.url}/search-explanations/?q=numbers+and+dates")
    expect(page.locator(".result").first).to_be_visible()
    page.goto(f"{demo.url}/search")
    page.get_by_role("textbox", name="Your text").fill("Call me Ishmael.")
    page.get_by_role("textbox", name="Your text").press("Control+Enter")
    expect(page.locator(".result").first).to_be_visible(timeout=LOADED)

    page.goto(demo.url + STEER)
    run_steering(page)
    texts = [page.get_by_role("region", name=name) for name in ("Default", "Steered")]
    for text in texts:
        expect(text.locator(".tokens")).to_have_text("12 of 12", timeout=LOADED)
    default, steered = (text.locator(".answer").inner_text() for text in texts)
    assert default.strip() and steered.strip() and default != steered


def test_the_owner_signs_in_by_the_link_and_explains(demo: Stack, page: Page, provider: LlmProvider) -> None:
    provider.default = Reply(content="EXPLANATION: washing and dishes")
    printed = output("docker", "exec", demo.container("webapp")["Id"], "memicos", "owner-link")
    # the address has the published port, not that of the container
    link = re.search(rf"http://localhost:{demo.port}/account/sign-in#\S+", printed)
    assert link, printed
    page.goto(link[0])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".top .identity")).to_have_text("Owner")
    url = f"http://localhost:{demo.port}{SOURCE}/2477"
    page.goto(url)
    page.get_by_role("button", name="Generate explanation").click()
    expect(page.locator("#explanation-status")).to_contain_text("added", timeout=LOADED)
    page.reload()
    explanation = page.get_by_text("washing and dishes").first
    expect(explanation).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete the explanation “washing and dishes”").click()
    expect(explanation).to_have_count(0)


def test_open_pages_recover_when_inference_is_killed(demo: Stack, browser: Browser) -> None:
    context = browser.new_context()
    feature, steer = context.new_page(), context.new_page()
    feature.goto(f"{demo.url}{SOURCE}/87")
    steer.goto(demo.url + STEER)
    for page in (feature, steer):
        expect(page.locator(".inference.ready").first).to_be_visible(timeout=LOADED)
    restarts = kill(demo, "inference")
    run_text(feature)
    # without another click: the page says what inference does, and asks again until the result is there
    expect(feature.locator("#test-result .inference")).to_be_visible(timeout=LOADED)
    expect(feature.locator("#test-result .own-text")).to_contain_text("wash the dishes", timeout=LOADED)
    run_steering(steer)
    expect(steer.get_by_role("region", name="Steered").locator(".tokens")).to_have_text("12 of 12", timeout=LOADED)
    assert demo.container("inference")["RestartCount"] == restarts + 1
    context.close()


@pytest.mark.parametrize("service", ["webapp", "database"])
def test_an_open_page_is_used_on_when_another_container_is_killed(demo: Stack, browser: Browser, service: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{demo.url}{SOURCE}/87")
    restarts = kill(demo, service)
    eventually(lambda: demo.container(service)["RestartCount"] == restarts + 1)
    eventually(lambda: httpx.get(f"{demo.url}{SOURCE}/87").status_code == 200)
    run_text(page)
    expect(page.locator("#test-result .own-text")).to_contain_text("wash the dishes", timeout=LOADED)
    context.close()
