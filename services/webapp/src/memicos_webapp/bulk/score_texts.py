"""What a job scores: the labels of features, with texts on which the feature is active and others.

Inactive texts of all features of a source come from one pool: windows of random contexts, on each of which the model is
run once. Near misses are looked for with a run of the model for each feature and context.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from memicos_autointerp_core.scorers.interface import ScoredText
from memicos_autointerp_core.scorers.sampling import NEIGHBOURS, Place, draw_others, near_miss_count

from memicos_webapp.accounts.identity import LOCAL_OWNER
from memicos_webapp.bulk.options import ScoreOptions
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import NotFound, TooManyRequests, Unavailable, UpstreamFault
from memicos_webapp.explanations import repository as explanations
from memicos_webapp.features import repository as features
from memicos_webapp.features.rows import ContextRow, FeatureRow
from memicos_webapp.inference.prompts import Prompt
from memicos_webapp.inference.service import Inference, all_or_none
from memicos_webapp.scores.scoring.inactive import CONCURRENT_CONTEXTS, InactiveSearch, aligned
from memicos_webapp.scores.scoring.sampling import (
    INACTIVE,
    active_texts,
    first_token,
    generator,
    near_places,
    random_contexts,
    random_places,
    window,
)
from memicos_webapp.settings import Settings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

WAIT_SECONDS = 2
"""Before a call of inference is repeated."""


@dataclass(frozen=True)
class LabelKey:
    """The label of a feature."""

    source: str
    index: int
    explanation: int


@dataclass(frozen=True)
class LabelToScore:
    """A label; `texts` is empty for methods that look at the output."""

    source: SourceInfo
    row: FeatureRow
    explanation: int
    description: str
    texts: list[ScoredText]

    @property
    def key(self) -> LabelKey:
        return LabelKey(self.source.name, self.row.index, self.explanation)


@dataclass(frozen=True)
class PoolText:
    """A text of a random context, and the features that are active on it."""

    tokens: list[str]
    place: Place
    active: frozenset[int]


@dataclass(frozen=True)
class TextReader:
    """Reads labels with their texts. The same job reads the same texts again."""

    database: Database
    inference: Inference
    settings: Settings
    options: ScoreOptions
    of_output: bool
    pools: dict[str, list[PoolText]]
    """By source, once it is read."""
    logged: set[str] = field(default_factory=set[str])
    """Faults of inference that were logged: each once, as many calls meet it."""

    async def read(self, sources: Sequence[SourceInfo], keys: Sequence[LabelKey]) -> AsyncIterator[LabelToScore]:
        """The labels of `keys` that were not deleted meanwhile.

        Raises:
            NotFound: a source was deleted meanwhile, or an import replaced its texts.
            Fault: no inference server has the source, or it failed.
        """
        by_name = {source.name: source for source in sources}
        for key in keys:
            source = by_name[key.source]
            if not self.of_output and key.source not in self.pools:
                self.pools[key.source] = await self._pool(source)
            label = await self._label(source, key)
            if label is not None:
                yield label

    async def _label(self, source: SourceInfo, key: LabelKey) -> LabelToScore | None:
        async with self.database.snapshot() as session:
            explained = await explanations.explanation(session, LOCAL_OWNER, key.explanation)
            found = await features.feature(session, LOCAL_OWNER, source.model_id, source.name, key.index)
            if found is None:
                raise NotFound(f"{source.path[1:]} was deleted meanwhile.")
            if explained is None:
                return None
            row = found[1]
            if row.load_id != source.load_id:
                raise NotFound(f"An import replaced the texts of {source.path[1:]} meanwhile: resume the job.")
            neighbours: list[FeatureRow] = []
            contexts: dict[int, ContextRow] = {}
            if not self.of_output:
                for index in row.neighbour_indices[:NEIGHBOURS] if self.options.near_misses else []:
                    other = await features.feature(session, LOCAL_OWNER, source.model_id, source.name, index)
                    if other is not None:
                        neighbours.append(other[1])
                numbers = {number for own in (row, *neighbours) for number in own.example_contexts}
                contexts = await features.contexts(session, source, numbers)
        texts = [] if self.of_output else await self._texts(source, row, neighbours, contexts)
        return LabelToScore(source, row, key.explanation, explained[0].description, texts)

    async def _texts(
        self, source: SourceInfo, row: FeatureRow, neighbours: Sequence[FeatureRow], contexts: dict[int, ContextRow]
    ) -> list[ScoredText]:
        count, around, seed = self.settings.score_texts, self.settings.score_tokens, self.options.seed
        active = active_texts(source, row, contexts, count, around, seed)
        near: list[ScoredText] = []
        if neighbours:
            wanted = near_miss_count(count)
            search = InactiveSearch(self.inference, source, row.index, contexts, around)
            places = near_places(neighbours, row, wanted, seed)

            async def find() -> list[ScoredText]:
                async with aclosing(search.find(places, wanted)) as parts:
                    return ([found async for found in parts] or [[]])[-1]

            near = await self.while_unavailable(find)
        random = generator(seed, INACTIVE, row.index)
        return [*active, *near, *draw_others(_inactive(self.pools[source.name], row.index), near, count, random)]

    async def while_unavailable(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a call of inference, which is repeated while the servers are down, loading or busy, or one
        fails, for `score_wait_seconds`: labels whose scores are being paid depend on it.

        Raises:
            Fault: another one; or the time is over.
        """
        wait_seconds = self.settings.score_wait_seconds
        end = time.monotonic() + wait_seconds
        while True:
            try:
                return await call()
            except (Unavailable, UpstreamFault, TooManyRequests) as error:
                if time.monotonic() >= end:
                    raise
                if str(error) not in self.logged:
                    self.logged.add(str(error))
                    logger.warning("repeating calls of inference for up to %g s: %s", wait_seconds, error)
            await asyncio.sleep(WAIT_SECONDS)

    async def _pool(self, source: SourceInfo) -> list[PoolText]:
        """Texts of random contexts, and the features that are active on each; contexts that the inference server splits
        into other tokens than the corpus are left out."""
        around, seed = self.settings.score_tokens, self.options.seed
        numbers = random_contexts(source, self.settings.score_contexts, seed)
        async with self.database.snapshot() as session:
            contexts = await features.contexts(session, source, set(numbers))
        places = random_places(source, [contexts[n] for n in numbers if n in contexts], around, seed)
        pool: list[PoolText] = []
        for start in range(0, len(places), CONCURRENT_CONTEXTS):
            part = places[start : start + CONCURRENT_CONTEXTS]
            found = await all_or_none([self._pool_text(source, contexts[place.context], place) for place in part])
            pool += [text for text in found if text is not None]
        return pool

    async def _pool_text(self, source: SourceInfo, context: ContextRow, place: Place) -> PoolText | None:
        first = first_token(source)
        text = "".join(context.tokens[first:])
        positions = window(source, context, place, self.settings.score_tokens)
        if not text or not positions:
            return None
        (response,) = await self.while_unavailable(
            lambda: self.inference.active_features(source.model_id, [source.name], Prompt(text))
        )
        result = response.results[0]
        bos = aligned(result.tokens, context.tokens[first:])
        if bos is None:
            return None
        shown = {position - first + bos for position in positions}
        active = frozenset(
            int(index)
            for index, pairs in result.active_features.additional_properties.items()
            if any(int(position) in shown and value > 0 for position, value in pairs)
        )
        return PoolText([context.tokens[i] for i in positions], place, active)


def _inactive(pool: Sequence[PoolText], index: int) -> Iterator[ScoredText]:
    for text in pool:
        if index not in text.active:
            place = text.place
            yield ScoredText(text.tokens, [0.0] * len(text.tokens), place.distance, place.context, place.position)
