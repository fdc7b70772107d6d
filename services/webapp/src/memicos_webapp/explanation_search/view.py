"""Results of search of explanations as the page shows them."""

from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from markupsafe import Markup

from memicos_webapp.explanation_search.repository import MARK_END, MARK_START
from memicos_webapp.explanation_search.schemas import PageQuery
from memicos_webapp.explanation_search.service import Choices, SearchHit
from memicos_webapp.explanations.methods import short_description
from memicos_webapp.features.rows import CardExample
from memicos_webapp.formatting import lone_token_text, url_segment
from memicos_webapp.token_shading import markup, pieces

TOKENS_EACH_SIDE = 10
"""Tokens on each side of the strongest one that a snippet shows."""

SUGGESTIONS = ("numbers and dates", "names of countries", "Python code", "negation", "whales and the sea", "the law")


def marked(text: str) -> Markup:
    """A text with the words that match the query as <mark>."""
    return Markup(escape(text).replace(MARK_START, "<mark>").replace(MARK_END, "</mark>"))


@dataclass(frozen=True)
class Snippet:
    """Part of an example. `before` and `after`: whether there is more text on that side."""

    before: bool
    text: Markup
    after: bool


@dataclass(frozen=True)
class Result:
    path: str
    description: Markup
    method: str
    model: str
    source: str
    index: int
    density: float
    top_token: str | None
    max_activation: float
    snippets: list[Snippet]
    cosine: float | None
    matched: str
    """What matched: "meaning", "words", or both."""


def _snippet(hit: SearchHit, example: CardExample) -> Snippet:
    tokens = hit.contexts[example.context].tokens
    # a prepended BOS is not shown
    first = 1 if hit.source.recipe["prepend_bos"] else 0
    start, end = (
        max(first, example.position - TOKENS_EACH_SIDE),
        min(len(tokens), example.position + TOKENS_EACH_SIDE + 1),
    )
    run = pieces(tokens, example.values, hit.card.max_activation, start, end)
    if run:
        run[0] = run[0]._replace(text=run[0].text.removeprefix(" ") or run[0].text)
    return Snippet(start > first, markup(run), end < len(tokens))


def _top_token(hit: SearchHit) -> str | None:
    if not hit.card.examples:
        return None
    example = hit.card.examples[0]
    tokens = hit.contexts[example.context].tokens
    text = next((token for token in tokens[example.position :] if token), None)
    return None if text is None else lone_token_text(text)


def result(hit: SearchHit) -> Result:
    ranked, explanation = hit.ranked, hit.explanation
    method = short_description(explanation.method)
    return Result(
        path=f"/{url_segment(hit.source.model_id)}/{url_segment(hit.source.name)}/{ranked.index}",
        description=marked(explanation.marked),
        method=f"{method}, {explanation.model}" if explanation.model else method,
        model=hit.source.model_id,
        source=hit.source.name,
        index=ranked.index,
        density=hit.card.density,
        top_token=_top_token(hit),
        max_activation=hit.card.max_activation,
        snippets=[_snippet(hit, example) for example in hit.card.examples],
        cosine=ranked.cosine,
        matched=" and ".join(name for name, by in (("meaning", ranked.by_meaning), ("words", ranked.by_words)) if by),
    )


@dataclass(frozen=True)
class Tab:
    name: str
    href: str
    current: bool


def tabs(query: PageQuery, choices: Choices) -> list[Tab]:
    """Links to search everywhere, in a release, in a model, or in sources; each with its first choice."""
    model = query.model_id or (choices.models[0] if choices.models else "")
    release = query.release_name or (choices.releases[0][0] if choices.releases else "")
    scopes = [
        ("All", "all", {}),
        ("Release", "release", {"releaseName": release}),
        ("Model", "model", {"modelId": model}),
        ("Sources", "sources", {"modelId": model, "sources": "[]"}),
    ]
    parameters = {"q": query.q, "maxDensity": query.max_density}
    return [
        Tab(name, link({**parameters, **extra}), query.scope == scope)
        for name, scope, extra in scopes
        if not extra or all(extra.values())
    ]


def link(query: dict[str, object]) -> str:
    """An address of the page; parameters at their default are left out."""
    parameters = {name: text for name, text in query.items() if text not in (None, "", 1)}
    return "/search-explanations" + (f"?{urlencode(parameters)}" if parameters else "")
