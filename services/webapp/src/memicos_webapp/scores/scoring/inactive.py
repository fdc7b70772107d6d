"""Texts on which a feature is not active, by running the model on their contexts."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from memicos_autointerp_core.scorers.interface import ScoredText
from memicos_autointerp_core.scorers.sampling import Place, first_inactive

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.features.rows import ContextRow
from memicos_webapp.inference.prompts import Prompt
from memicos_webapp.inference.service import Inference, all_or_none
from memicos_webapp.scores.scoring.sampling import first_token, window

CONCURRENT_CONTEXTS = 4
"""Contexts that the model is run on at the same time."""


@dataclass(frozen=True)
class InactiveSearch:
    """Finds texts on which a feature is not active.

    Attributes:
        contexts: by number, those that places may name.
        around: tokens of a text on both sides of its place.
    """

    inference: Inference
    source: SourceInfo
    index: int
    contexts: dict[int, ContextRow]
    around: int

    async def find(
        self, places: Sequence[Place], count: int, taken: Sequence[ScoredText] = ()
    ) -> AsyncGenerator[list[ScoredText]]:
        """The first `count` of `places` on which the feature is not active, without two of the same tokens, and none
        with those of `taken`: what was found so far, after each run of the model; the last list has all.

        A context that the inference server splits into other tokens than the corpus is left out.

        Raises:
            Fault: no inference server has the source, or it failed.
        """
        checked: list[ScoredText] = []
        found: list[ScoredText] = []
        for start in range(0, len(places), CONCURRENT_CONTEXTS):
            if len(found) >= count:
                return
            part = places[start : start + CONCURRENT_CONTEXTS]
            texts = await all_or_none([self._read(place) for place in part])
            checked += [text for text in texts if text is not None]
            found = first_inactive(checked, count, taken)
            yield found

    async def _read(self, place: Place) -> ScoredText | None:
        """The text at a place with the feature's values; None where it is active on it, or its context is not known."""
        context = self.contexts.get(place.context)
        if context is None or place.position >= len(context.tokens):
            return None
        first = first_token(self.source)
        text = "".join(context.tokens[first:])
        if not text:
            return None
        source = self.source
        response = await self.inference.single(source.model_id, source.name, self.index, Prompt(text), False)
        bos = aligned(response.tokens, context.tokens[first:])
        positions = window(source, context, place, self.around)
        if bos is None or not positions:
            return None
        values = response.activation.values[bos:]
        own = [values[i - first] for i in positions]
        if max(own) > 0:
            return None
        tokens = [context.tokens[i] for i in positions]
        return ScoredText(tokens, [0.0] * len(tokens), place.distance, place.context, place.position)


def aligned(tokens: Sequence[str], text: Sequence[str]) -> int | None:
    """Number of tokens that inference put before those of a text; None where it splits the text otherwise."""
    bos = len(tokens) - len(text)
    return bos if bos >= 0 and list(tokens[bos:]) == list(text) else None
