"""Chooses the texts that an explanation is scored on. The same feature, seed and options give the same texts.

Texts on which the feature is active are its examples. Whether it is inactive on another text is decided by running the
model on its whole context: stored examples are the strongest only, so a context without one may well be active.
"""

import random
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from memicos_dataset.schema import TOP_GROUP

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.errors import Unavailable
from memicos_webapp.features.rows import ContextRow, FeatureRow
from memicos_webapp.features.service import FeatureDetail
from memicos_webapp.inference.prompts import Prompt
from memicos_webapp.inference.service import Inference, all_or_none
from memicos_webapp.scores.rows import NEAR_MISS, NOT_ACTIVE

CONCURRENT_CONTEXTS = 4
"""Contexts that the model is run on at the same time."""


@dataclass(frozen=True)
class ChosenText:
    """Tokens of a context around a position, with the feature's activations on them; `distance` as in `ScoredText`."""

    context: int
    position: int
    tokens: list[str]
    values: list[float]
    distance: int


@dataclass(frozen=True)
class Place:
    """A text that may be chosen; the feature may be active on it."""

    context: int
    position: int
    distance: int


def first_token(source: SourceInfo) -> int:
    """Position of the first token of a context that is part of its text."""
    return 1 if source.recipe["prepend_bos"] else 0


def _window(source: SourceInfo, context: ContextRow, position: int, around: int) -> range:
    return range(max(first_token(source), position - around), min(len(context.tokens), position + around + 1))


def in_rounds(groups: Sequence[Sequence[Place]], chooser: random.Random) -> Iterator[Place]:
    """Each round gives one place of each group, in random order within a group."""
    queues = [chooser.sample(list(group), len(group)) for group in groups]
    for number in range(max((len(queue) for queue in queues), default=0)):
        yield from (queue[number] for queue in queues if number < len(queue))


def active_texts(detail: FeatureDetail, count: int, around: int, seed: int) -> list[ChosenText]:
    """At most `count` distinct texts on which the feature is active, evenly over the strongest examples and the
    intervals of its activations."""
    intervals = len(detail.row.quantile_shares)
    by_distance: dict[int, list[Place]] = {}
    texts: dict[Place, ChosenText] = {}
    seen: set[tuple[str, ...]] = set()
    for example in detail.examples():
        window = _window(detail.source, example.context, example.position, around)
        tokens = [example.context.tokens[i] for i in window]
        values = [example.values.get(i, 0.0) for i in window]
        if tuple(tokens) in seen or max(values, default=0.0) <= 0:
            continue
        seen.add(tuple(tokens))
        distance = 1 if example.group == TOP_GROUP else 2 + intervals - example.group
        place = Place(example.context.number, example.position, distance)
        by_distance.setdefault(distance, []).append(place)
        texts[place] = ChosenText(place.context, place.position, tokens, values, distance)
    groups = [by_distance[distance] for distance in sorted(by_distance)]
    return [texts[place] for place in in_rounds(groups, random.Random(f"active {seed}"))][:count]


def random_contexts(detail: FeatureDetail, count: int, seed: int) -> list[int]:
    """At most `count` contexts of the corpus in which the feature has no example."""
    own = set(detail.row.example_contexts)
    drawn = random.Random(f"inactive {seed}").sample(
        range(detail.source.corpus_contexts), min(count + len(own), detail.source.corpus_contexts)
    )
    return [number for number in drawn if number not in own][:count]


def random_places(source: SourceInfo, contexts: Iterable[ContextRow], around: int, seed: int) -> list[Place]:
    """One place in each context, such that its window is as long as it can be."""
    chooser = random.Random(f"places {seed}")
    places = []
    for context in contexts:
        low, high = first_token(source) + around, len(context.tokens) - around - 1
        position = chooser.randint(low, high) if low <= high else len(context.tokens) // 2
        places.append(Place(context.number, position, NOT_ACTIVE))
    return places


def near_places(neighbours: Sequence[FeatureRow], own_contexts: set[int], seed: int) -> list[Place]:
    """Examples of neighbours, the nearest first, in contexts without an example of the feature: in each round one of
    each neighbour and group of examples, the strongest groups first."""
    groups: dict[tuple[int, int], list[Place]] = {}
    for rank, row in enumerate(neighbours):
        intervals = len(row.quantile_shares)
        for group, context, position in zip(
            row.example_groups, row.example_contexts, row.example_positions, strict=True
        ):
            if context not in own_contexts:
                step = 1 if group == TOP_GROUP else 2 + intervals - group
                groups.setdefault((step, rank), []).append(Place(context, position, NEAR_MISS))
    return list(in_rounds([groups[key] for key in sorted(groups)], random.Random(f"near {seed}")))


@dataclass(frozen=True)
class InactiveSearch:
    """Finds texts on which a feature is not active by running the model on their contexts."""

    inference: Inference
    detail: FeatureDetail
    contexts: dict[int, ContextRow]
    around: int

    async def find(self, places: Sequence[Place], count: int) -> AsyncGenerator[list[ChosenText]]:
        """The first `count` of `places` on which the feature is not active, without two of the same tokens: those that
        were found so far, after each run of the model; the last list has all.

        A context that the inference server splits into other tokens than the corpus is left out.

        Raises:
            Fault: no inference server has the source, or it failed.
        """
        found: dict[tuple[str, ...], ChosenText] = {}
        for start in range(0, len(places), CONCURRENT_CONTEXTS):
            if len(found) >= count:
                return
            part = places[start : start + CONCURRENT_CONTEXTS]
            for text in await all_or_none([self._check(place) for place in part]):
                if text is not None:
                    found.setdefault(tuple(text.tokens), text)
            yield list(found.values())[:count]

    async def _check(self, place: Place) -> ChosenText | None:
        """The text at a place; None where the feature is active on it, or its context is not known."""
        context, source = self.contexts.get(place.context), self.detail.source
        if context is None or place.position >= len(context.tokens):
            return None
        first = first_token(source)
        text = "".join(context.tokens[first:])
        if not text:
            return None
        response = await self.inference.single(source.model_id, source.name, self.detail.row.index, Prompt(text), False)
        bos = len(response.tokens) - (len(context.tokens) - first)
        if bos < 0 or response.tokens[bos:] != context.tokens[first:]:
            return None
        values = response.activation.values[bos:]
        window = _window(source, context, place.position, self.around)
        own = [values[i - first] for i in window]
        if not own or max(own) > 0:
            return None
        tokens = [context.tokens[i] for i in window]
        return ChosenText(place.context, place.position, tokens, [0.0] * len(tokens), place.distance)


def too_few(active: int, inactive: int, needed: int) -> Unavailable | None:
    """Why texts do not suffice for a score; None where they do."""
    if min(active, inactive) >= needed:
        return None
    return Unavailable(
        f"A score needs {needed} texts on which the feature is active and {needed} on which it is not: there are "
        f"{active} distinct examples, and {inactive} texts of other contexts on which the model showed that it is "
        "inactive. A feature that is active on most texts cannot be scored."
    )
