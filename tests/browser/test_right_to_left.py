"""Examples in scripts that are written from right to left: order of the text, and values beside their tokens."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from memicos_webapp.token_shading import Piece, active_token, markup
from playwright.sync_api import Page

BEFORE: list[Piece] = [Piece(0, "", "Arabic ("), Piece(4, "12.6, 3.10", "إ"), Piece(3, "4.00", "ي")]
PEAK = (9, "24.1", "ث")
AFTER: list[Piece] = [Piece(5, "9.20, 0.00", "ا"), Piece(6, "15.0", "ر"), Piece(0, "", ") altruism")]


@pytest.fixture
def example(page: Page, webapp_url: str) -> Iterator[Page]:
    """A dashboard whose first example is an Arabic word between English ones."""
    page.goto(f"{webapp_url}/small/2-res/5")
    html = (
        f'<span class="before">{markup(BEFORE)}</span>{active_token(*PEAK, is_max=True)}'
        f'<span class="after">{markup(AFTER)}</span>'
    )
    page.locator(".example .text").first.evaluate("(node, html) => { node.innerHTML = html; }", html)
    yield page


def boxes(page: Page) -> list[list[dict[str, Any]]]:
    """The boxes of each active token with its value, in the order of the text."""
    return page.locator(".example .text").first.evaluate(
        """text => [...text.querySelectorAll('i')].map(token => [...token.getClientRects()]
             .filter(box => box.width > 0).map(box => ({left: box.left, right: box.right})))"""
    )


def assert_from_right_to_left(tokens: list[list[dict[str, Any]]]) -> None:
    assert [len(rects) for rects in tokens] == [1] * 5, "a value is not beside its token"
    for (first,), (second,) in itertools.pairwise(tokens):
        assert second["right"] <= first["left"] + 1


@pytest.mark.parametrize("view", ["Stacked", "Snippet", "Full"])
def test_a_word_is_read_from_right_to_left_in_each_view(example: Page, view: str) -> None:
    example.locator("#examples").evaluate(
        "node => node.closest('.card').querySelector('#v-full').removeAttribute('hx-get')"
    )
    example.evaluate("name => { document.getElementById('v-' + name).checked = true; }", view.lower())
    assert_from_right_to_left(boxes(example))


def test_values_stay_beside_their_tokens(example: Page) -> None:
    without = boxes(example)
    example.get_by_text("Values", exact=True).click()
    with_values = boxes(example)
    assert_from_right_to_left(with_values)
    for (before,), (after,) in zip(without, with_values, strict=True):
        assert after["right"] - after["left"] > before["right"] - before["left"] + 10
    # several tokens of a character: their values, without the title's words
    content = example.locator(".example .text i").first.evaluate("node => getComputedStyle(node, '::after').content")
    assert content == '"12.6, 3.10"'


def test_text_after_a_label_stays_after_it(page: Page, webapp_url: str) -> None:
    """A label that ends in Arabic does not move the number that follows it."""
    page.goto(f"{webapp_url}/small/steer?source=2-res&index=5&strength=1")
    label, link = page.locator(".feature-control .name bdi"), page.locator(".feature-control .name a")
    label.evaluate("node => { node.textContent = \"words such as 'اف'\"; }")
    link.evaluate("node => { node.textContent = '5 (2-res)'; }")
    rects = link.evaluate("node => node.getClientRects().length")
    label_box, link_box = label.bounding_box(), link.bounding_box()
    assert label_box and link_box and rects == 1
    assert link_box["x"] >= label_box["x"] + label_box["width"]
