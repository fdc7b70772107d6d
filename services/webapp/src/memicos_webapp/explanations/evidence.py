"""What a language model is shown of a feature: its strongest texts, its logits, and texts of similar features."""

from collections.abc import Iterator
from dataclasses import dataclass

from memicos_autointerp_client.models import Activation
from memicos_dataset.schema import TOP_GROUP
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.features import repository
from memicos_webapp.features.rows import ContextRow, FeatureRow
from memicos_webapp.features.service import FeatureDetail


@dataclass(frozen=True)
class Evidence:
    """`texts`: strongest first; `top_logits`: tokens, the largest effect first; `negatives`: texts of similar features
    in which this one has no example."""

    texts: list[Activation]
    top_logits: list[str]
    negatives: list[Activation]


def _strongest_windows(
    source: SourceInfo, row: FeatureRow, contexts: dict[int, ContextRow], around: int
) -> Iterator[Activation]:
    """Windows of the feature's top examples that are in `contexts`, the strongest first.

    A window has `around` tokens on both sides of the strongest token, and no prepended BOS; it has the direct feature
    attributions of its tokens where the example has them, to a token of the window.
    """
    first = 1 if source.recipe["prepend_bos"] else 0
    examples = zip(
        row.example_groups,
        row.example_contexts,
        row.example_positions,
        row.example_values(),
        row.example_attributions(),
        strict=True,
    )
    for group, context, position, values, attribution in examples:
        if group != TOP_GROUP:
            continue
        if context not in contexts:
            continue
        tokens = contexts[context].tokens
        start, end = max(first, position - around), min(len(tokens), position + around + 1)
        text = Activation(tokens=tokens[start:end], values=[values.get(i, 0.0) for i in range(start, end)])
        if attribution and attribution.target is not None and start <= attribution.target < end:
            text.dfa_values, text.dfa_target_index = attribution.values[start:end], attribution.target - start
        yield text


def strongest_texts(
    source: SourceInfo, row: FeatureRow, contexts: dict[int, ContextRow], limit: int, around: int
) -> list[Activation]:
    """The first `limit` distinct texts of the feature's top examples, the strongest first; see `_strongest_windows`."""
    texts: dict[tuple[str, ...], Activation] = {}
    for text in _strongest_windows(source, row, contexts, around):
        texts.setdefault(tuple(text.tokens), text)
    return list(texts.values())[:limit]


def top_texts(detail: FeatureDetail, limit: int, around: int) -> list[Activation]:
    """`strongest_texts` of a feature's dashboard."""
    return strongest_texts(detail.source, detail.row, detail.contexts, limit, around)


async def similar_texts(
    session: AsyncSession, viewer: Viewer, source: SourceInfo, row: FeatureRow, limit: int, around: int
) -> list[Activation]:
    """The strongest text of each of the `limit` nearest features by decoder cosine, nearest first.

    Texts come from contexts in which the feature itself has no example. Its values there are 0: a feature's examples
    are its strongest, so it may be weakly active in another context.
    """
    own = set(row.example_contexts)
    texts: list[Activation] = []
    for index in row.neighbour_indices:
        if len(texts) == limit:
            break
        found = await repository.feature(session, viewer, source.model_id, source.name, index)
        if found is None:
            continue
        other = found[1]
        contexts = await repository.contexts(session, source, set(other.example_contexts) - own)
        text = next(_strongest_windows(source, other, contexts, around), None)
        if text is not None:
            texts.append(Activation(tokens=text.tokens, values=[0.0] * len(text.tokens)))
    return texts
