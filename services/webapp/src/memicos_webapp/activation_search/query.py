"""The query in the addresses of the search pages, and messages about invalid parts of it.

`/search?modelId=…&sourceSet=…&q=…&selectedLayers=…&sortIndexes=[…]&ignoreBos=…&rank=…`: the parameter names of
Neuronpedia's links, and `rank`. A conversation in place of `q` is as in `inference/prompt_form.py`. Lists are JSON, or
the parameter is repeated, as forms do.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import get_args
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from memicos_webapp.activation_search.service import Rank
from memicos_webapp.errors import BadInput
from memicos_webapp.inference.prompt_form import PromptForm, read_form

DEFAULT_RANK: Rank = "share"
NO_SOURCE = "No source is chosen: choose at least one to search in."


@dataclass(frozen=True)
class PageQuery:
    """`source_set` and `model` are empty where the address names none.

    `problems`: messages about invalid parts of the address.
    """

    model: str
    source_set: str
    prompt: PromptForm
    sources: tuple[str, ...]
    sort_indexes: tuple[int, ...]
    ignore_bos: bool
    hide_dense: bool
    rank: Rank = DEFAULT_RANK
    problems: tuple[str, ...] = ()

    def params(self) -> str:
        """The address's query string."""
        pairs: list[tuple[str, str]] = [
            ("modelId", self.model),
            ("sourceSet", self.source_set),
            *self.prompt.pairs("q"),
        ]
        pairs += [("selectedLayers", source) for source in self.sources]
        if self.sort_indexes:
            pairs.append(("sortIndexes", json.dumps(self.sort_indexes)))
        if not self.ignore_bos:
            pairs.append(("ignoreBos", "false"))
        if not self.hide_dense:
            pairs.append(("hideDense", "false"))
        if self.rank != DEFAULT_RANK:
            pairs.append(("rank", self.rank))
        return urlencode(pairs)

    def sorted_by(self, group: range) -> "PageQuery":
        """With the positions `group`, of one token or character, added to those to rank by, or removed if one is."""
        others = [position for position in self.sort_indexes if position not in group]
        chosen = others if len(others) < len(self.sort_indexes) else [*others, *group]
        return replace(self, sort_indexes=tuple(sorted(chosen)))


def read(params: QueryParams) -> PageQuery:
    """The query of an address. A form with no source ticked sends one empty `selectedLayers`.

    Raises:
        BadInput: a parameter begins as a JSON list and is none.
    """
    problems: list[str] = []
    model, _, source_set = params.get("set", "").partition("/")
    positions = []
    for item in _list(params, "sortIndexes"):
        if re.fullmatch(r"[0-9]{1,6}", item):
            positions.append(int(item))
        else:
            problems.append(f"sortIndexes: “{item}” is not the position of a token.")
    rank = params.get("rank") or DEFAULT_RANK
    if rank not in get_args(Rank):
        problems.append(f"rank: “{rank}” is not a ranking; choose one of {', '.join(get_args(Rank))}.")
    sources = _list(params, "selectedLayers") + _list(params, "source")
    if not sources and "" in params.getlist("selectedLayers"):
        problems.append(NO_SOURCE)
    prompt = read_form(
        params.get("q") or params.get("text", ""),
        params.get("input", ""),
        params.getlist("role"),
        params.getlist("content"),
    )
    if prompt.problem:
        problems.append(prompt.problem)
    return PageQuery(
        model=params.get("modelId") or model,
        source_set=params.get("sourceSet") or source_set,
        prompt=prompt,
        sources=tuple(sources),
        sort_indexes=tuple(sorted(set(positions))),
        ignore_bos=params.get("ignoreBos", "true") != "false",
        hide_dense=params.get("hideDense", "true") != "false",
        rank="raw" if rank == "raw" else "share",
        problems=tuple(problems),
    )


def _list(params: QueryParams, name: str) -> list[str]:
    """All values of a parameter; each is a JSON list or one item.

    Raises:
        BadInput: a value begins as a list and is none.
    """
    items: list[str] = []
    for value in params.getlist(name):
        if not value.lstrip().startswith("["):
            items.append(value)
            continue
        try:
            items += [str(item) for item in json.loads(value)]
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
            raise BadInput(f"{name}: “{value}” is not a JSON list.") from error
    return [item for item in items if item]
