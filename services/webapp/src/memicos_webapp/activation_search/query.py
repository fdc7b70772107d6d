"""What an address of the search pages asks for, and addresses that ask for something else.

`/search?modelId=…&sourceSet=…&q=…&selectedLayers=…&sortIndexes=[…]&ignoreBos=…`: the names that links of this kind
have. Lists are JSON, or the parameter is repeated, as forms do.
"""

import json
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.datastructures import QueryParams


@dataclass(frozen=True)
class PageQuery:
    """`source_set` and `model` are empty where the address names none. `problems`: what it says wrong, in words."""

    model: str
    source_set: str
    text: str
    sources: tuple[str, ...]
    sort_indexes: tuple[int, ...]
    ignore_bos: bool
    hide_dense: bool
    problems: tuple[str, ...] = ()

    def params(self) -> str:
        """Itself as a query."""
        pairs: list[tuple[str, str]] = [("modelId", self.model), ("sourceSet", self.source_set), ("q", self.text)]
        pairs += [("selectedLayers", source) for source in self.sources]
        if self.sort_indexes:
            pairs.append(("sortIndexes", json.dumps(self.sort_indexes)))
        if not self.ignore_bos:
            pairs.append(("ignoreBos", "false"))
        if not self.hide_dense:
            pairs.append(("hideDense", "false"))
        return urlencode(pairs)

    def sorted_by(self, position: int) -> "PageQuery":
        """With `position` added to those that results are ranked by, or taken away where it is one."""
        have = self.sort_indexes
        changed = [i for i in have if i != position] if position in have else [*have, position]
        return replace(self, sort_indexes=tuple(sorted(changed)))


def read(query: QueryParams) -> PageQuery:
    problems: list[str] = []
    model, _, source_set = query.get("set", "").partition("/")
    indexes = []
    for item in _list(query, "sortIndexes"):
        if item.isdecimal() and len(item) < 7:
            indexes.append(int(item))
        else:
            problems.append(f"sortIndexes: “{item}” is no position of a token.")
    return PageQuery(
        model=query.get("modelId") or model,
        source_set=query.get("sourceSet") or source_set,
        text=query.get("q") or query.get("text", ""),
        sources=tuple(_list(query, "selectedLayers") + _list(query, "source")),
        sort_indexes=tuple(sorted(set(indexes))),
        ignore_bos=query.get("ignoreBos", "true") != "false",
        hide_dense=query.get("hideDense", "true") != "false",
        problems=tuple(problems),
    )


def _list(query: QueryParams, name: str) -> list[str]:
    """All values of a parameter; each is a JSON list or one item."""
    items: list[str] = []
    for value in query.getlist(name):
        try:
            found = json.loads(value)
        except ValueError:
            found = value
        items += [str(item) for item in found] if isinstance(found, list) else [value]
    return [item for item in items if item]
