"""The texts of a score, cut from the contexts of its corpus."""

from dataclasses import dataclass

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.features.rows import ContextRow, FeatureRow
from memicos_webapp.scores.rows import OUTSIDE_CORPUS, Detail, ScoreRow


@dataclass(frozen=True)
class ScoredText:
    """A text of a score: tokens of the context from `start` to `end`, and the feature's values on them.

    `values` is None where they are not known: examples of the feature's current load have them, and texts on which it
    is not active have none but 0. `detail`: what the method says beside the answer.
    """

    tokens: list[str]
    values: list[float] | None
    distance: int
    answer: float | None
    detail: Detail
    corpus_position: tuple[int, int] | str
    """Number of the context and position in it; of a text that is not cut from the corpus, the text."""

    @property
    def active(self) -> bool:
        return self.distance > 0

    @property
    def marked(self) -> frozenset[int]:
        """Positions of the tokens that the language model saw marked."""
        return frozenset(self.detail.get("marked", ()))


def scored_texts(
    score: ScoreRow, source: SourceInfo, contexts: dict[int, ContextRow], feature: FeatureRow | None
) -> list[ScoredText]:
    """The texts of a score, in its order; without those of another corpus than the source shows, and those whose
    context is not among `contexts`."""
    if score.corpus_id != source.corpus_id:
        contexts = {}
    known: dict[tuple[int, int], dict[int, float]] = {}
    if feature:
        places = zip(feature.example_contexts, feature.example_positions, strict=True)
        known = dict(zip(places, feature.example_values(), strict=True))
    first = 1 if source.recipe["prepend_bos"] else 0
    texts = []
    columns = zip(score.text_contexts, score.text_positions, score.text_distances, score.text_answers, strict=True)
    for number, (context, position, distance, answer) in enumerate(columns):
        detail = score.detail(number)
        if context == OUTSIDE_CORPUS:
            text = detail.get("text", "")
            texts.append(ScoredText([text], None, distance, answer, detail, text))
            continue
        row = contexts.get(context)
        if row is None:
            continue
        start, end = max(first, position - score.around), min(len(row.tokens), position + score.around + 1)
        values = None if distance > 0 else [0.0] * (end - start)
        if distance > 0 and (context, position) in known:
            values = [known[context, position].get(place, 0.0) for place in range(start, end)]
        texts.append(ScoredText(row.tokens[start:end], values, distance, answer, detail, (context, position)))
    return texts
