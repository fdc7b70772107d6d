"""A strict HTML parser for tests: tags are closed in order, ids are unique."""

from html.parser import HTMLParser
from typing import ClassVar

Attributes = dict[str, str | None]


class Page(HTMLParser):
    """A flat list of (tag, attributes, text up to the next tag), and which tags are still open.

    Raises:
        AssertionError: a closing tag does not match the last open tag.
    """

    VOID: ClassVar = {"meta", "link", "input", "circle", "path", "line", "br", "img"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Attributes, list[str]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.elements.append((tag, dict(attrs), []))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"
        self.elements.append(("", {}, []))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1][2].append(data)

    def find(self, tag: str, **attributes: str) -> list[tuple[Attributes, str]]:
        """Elements with these words in their attributes (`class_` for class), with their text up to the next tag."""
        expected = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            (own, "".join(text))
            for name, own, text in self.elements
            if name == tag and all(value in (own.get(key) or "").split() for key, value in expected.items())
        ]

    def text(self) -> str:
        return " ".join(" ".join("".join(text) for _, _, text in self.elements).split())


def inline_code(page: Page) -> list[str]:
    """Elements that a policy without inline scripts and styles blocks, or that need `eval`."""
    violations = []
    for tag, attributes, text in page.elements:
        for name, value in attributes.items():
            value = (value or "").strip().lower()
            inline = name == "style" or name.startswith(("on", "hx-on", "hx-vars"))
            address = name in ("href", "action", "src") and value.startswith("javascript:")
            # htmx evaluates these
            evaluated = name in ("hx-vals", "hx-headers") and value.startswith("js:")
            if inline or address or evaluated:
                violations.append(f"<{tag} {name}={value}>")
        if tag == "style" or (tag == "script" and (not attributes.get("src") or "".join(text).strip())):
            violations.append(f"<{tag}>")
    return violations
