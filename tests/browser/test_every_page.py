"""Every page: no errors in the console, no sideways scrolling, both themes, and WCAG 2.2 AA in each of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import axe_playwright_python
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from playwright.sync_api import Page, expect

Watched = Callable[..., Page]

PAGES = (
    "/",
    "/small",
    "/small-release",
    "/small/res",
    "/small/2-res",
    "/small/2-res?words=zebra",
    "/small/2-res/5",
    "/small/2-res/5?defaulttesttext=the+whale+rose",
    "/small/2-res/15",
    "/small/2-res/5?embed=true",
    "/small/1-res/5/explanations",
    "/search-explanations",
    "/search-explanations/?q=whale",
    "/search-explanations?q=whale&modelId=small&sources=%5B%221-res%22%5D",
    "/search?q=the+whale+rose+from+the+sea&hideDense=false",
    "/search-topk-by-token?q=the+whale+rose+from+the+sea&hideDense=false",
    "/small/steer?feature=1-res/5&feature=2-res/7&prompt=Once",
    "/small/steer?mode=chat",
    "/jump?to=7",
    "/api-doc",
    "/account",
    "/account/sign-in",
    "/account/inference-hosts",
    "/account/provider-keys",
    "/account/data",
    "/account/data/explain?name=small/1-res",
    "/account/data/score?name=small/1-res",
    "/nope",
)

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def open_page(page: Page, address: str) -> None:
    """Open the page and wait for the requests that it makes."""
    page.goto(address)
    expect(page.locator(".htmx-request")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(
    watched: Watched, webapp_url: str, inference: FakeInferenceServer, width: int
) -> None:
    page = watched(viewport={"width": width, "height": 800})
    for path in PAGES:
        open_page(page, webapp_url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(f"{webapp_url}/api-doc")
    for details in page.locator("details").all():
        details.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_theme_follows_the_system_until_one_is_chosen(watched: Watched, webapp_url: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    page = watched(color_scheme="dark")
    page.goto(webapp_url)
    dark = page.evaluate(background)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(background)
    assert dark != light
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(background) == dark
    page.goto(f"{webapp_url}/small/2-res/5")
    assert page.evaluate(background) == dark
    page.keyboard.press("d")
    assert page.evaluate(background) == light


def test_the_page_is_usable_by_keyboard_alone(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/small/2-res/5")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    # every focused element has a visible outline (the jump box and the tabs draw it around the field)
    seen = []
    while page.evaluate("document.activeElement !== document.body"):
        seen.append(page.evaluate("document.activeElement.id"))
        outlined = (
            "(e => getComputedStyle(e).outlineStyle !== 'none' || e.closest('.jump, .tabs') !== null)"
            "(document.activeElement)"
        )
        assert page.evaluate(outlined), page.evaluate("document.activeElement.outerHTML")
        page.keyboard.press("Tab")
    assert {"jump", "steer-with-it", "test-text", "next", "previous"} <= set(seen)


def test_the_api_page_documents_every_route(page: Page, webapp_url: str) -> None:
    page.goto(f"{webapp_url}/api-doc")
    document = page.request.get(f"{webapp_url}/api/openapi.json").json()
    routes_shown = [
        (operation.locator(".method").inner_text(), operation.locator("h3").inner_text())
        for operation in page.locator("details").all()
    ]
    assert sorted(routes_shown) == sorted(
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    )
    details = page.locator("#generate_explanation")
    details.locator("summary").click()
    expect(details.get_by_text("explanationModelName", exact=True)).to_be_visible()


def luminance(colour: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in colour[:3])]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


CONTRASTS = """() => {
  const rgba = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim()) continue;
    if (!element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (element.closest("svg, script, [aria-hidden=true], .sr, .skip, :disabled")) continue;
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
    const background = layers.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
    const style = getComputedStyle(element);
    let opacity = 1;
    for (let e = element; e; e = e.parentElement) opacity *= Number(getComputedStyle(e).opacity);
    const ink = rgba(style.color);
    ink[3] *= opacity;
    found.push([element.className || element.tagName, over(ink, background), background, parseFloat(style.fontSize)]);
  }
  return found;
}"""
"""[class, text colour, background, size] of every visible text; colours after blending."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_every_text_is_aa(
    watched: Watched, webapp_url: str, inference: FakeInferenceServer, scheme: str
) -> None:
    page = watched(color_scheme=scheme)
    for path in PAGES:
        open_page(page, webapp_url + path)
        violations = page.evaluate(CONTRASTS)
        assert len(violations) > 5
        for name, ink, paper, size in violations:
            light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
            needed = 3 if size >= 24 else 4.5
            assert (light + 0.05) / (dark + 0.05) >= needed, (scheme, path, name, ink, paper)


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation(watched: Watched, webapp_url: str, inference: FakeInferenceServer, width: int) -> None:
    page = watched(viewport={"width": width, "height": 900})
    for path in PAGES:
        open_page(page, webapp_url + path)
        page.evaluate(AXE)
        # the other theme changes only colours
        themes: tuple[tuple[Literal["light", "dark"], list[str]], ...] = (("light", RULES), ("dark", COLOUR_RULES))
        for scheme, rules in themes:
            page.emulate_media(color_scheme=scheme)
            result = page.evaluate("options => axe.run(options)", {"runOnly": rules, "resultTypes": ["violations"]})
            violations = [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in result["violations"]]
            assert violations == [], (path, scheme, violations)
            assert "color-contrast" in {rule["id"] for rule in result["passes"]}, (path, scheme)


CONTROLS = """() => {
  const rgba = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const paper = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
    return layers.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const fields = "input:not([type=hidden], [type=checkbox], [type=radio], [type=range]), select, textarea";
  return [...document.querySelectorAll(fields)].filter((e) => e.checkVisibility() && e.offsetWidth > 1).map((field) => {
    // the border of the jump box is around the field
    const framed = field.closest(".jump") || field;
    const style = getComputedStyle(framed);
    const placeholder = getComputedStyle(field, "::placeholder");
    return {
      name: field.name || field.id, border: over(rgba(style.borderTopColor), paper(framed.parentElement)),
      width: parseFloat(style.borderTopWidth), around: paper(framed.parentElement), inside: paper(field),
      placeholder: field.placeholder ? over(rgba(placeholder.color), paper(field)) : null,
      opacity: Number(placeholder.opacity),
    };
  });
}"""
"""Colours of every field: border, surroundings, background and placeholder."""


def contrast(operation: list[float], other: list[float]) -> float:
    light, dark = sorted((luminance(operation), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_borders_of_fields_and_placeholders_have_the_contrast_of_aa(
    watched: Watched, webapp_url: str, inference: FakeInferenceServer, scheme: str
) -> None:
    page = watched(color_scheme=scheme)
    for path in PAGES:
        open_page(page, webapp_url + path)
        fields = page.evaluate(CONTROLS)
        assert fields or "embed" in path
        for field in fields:
            assert field["width"] >= 1 and contrast(field["border"], field["around"]) >= 3, (scheme, path, field)
            if field["placeholder"]:
                assert field["opacity"] == 1
                assert contrast(field["placeholder"], field["inside"]) >= 4.5, (scheme, path, field)
