"""Direct feature attribution of the examples of sources that read attention heads."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from memicos_engine.capture.attribution import attribute, attribution_hooks
from memicos_engine.capture.capture import capture
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source

from memicos_pipeline.dashboards.feature_statistics import FeatureStatistics
from memicos_pipeline.harvest import padded_batch

ATTRIBUTION_COLUMNS = ("example_dfa_values", "example_dfa_positions")
"""The dataset's columns of attributions."""
_BYTES_OF_ATTRIBUTION = 16
"""Memory of one position of an example, in numpy and in the rows that are written."""


def with_attributions(
    model: LanguageModel,
    source: Source,
    statistics: Iterable[FeatureStatistics],
    token_ids: np.ndarray,
    max_bytes: int,
) -> Iterator[FeatureStatistics]:
    """`statistics` with the attribution of each example, where the source reads attention heads.

    It is to the largest value of the context, as for texts that are run on a page. The contexts (N, T) of as many
    features are run again at a time as have attributions of `max_bytes`.
    """
    hooks = attribution_hooks(model, source)
    if not hooks:
        yield from statistics
        return
    remaining = iter(statistics)
    while block := _next_block(remaining, max_bytes // (_BYTES_OF_ATTRIBUTION * token_ids.shape[1])):
        yield from _attributed(model, source, hooks, block, token_ids)


def _next_block(statistics: Iterator[FeatureStatistics], examples: int) -> list[FeatureStatistics]:
    """The next features that together have `examples` examples; at least one."""
    block, count = [], 0
    while count < examples or not block:
        item = next(statistics, None)
        if item is None:
            break
        block.append(item)
        # features that are never active take memory too
        count += len(item.examples) + 1
    return block


@torch.inference_mode()
def _attributed(
    model: LanguageModel,
    source: Source,
    hooks: Sequence[str],
    block: list[FeatureStatistics],
    token_ids: np.ndarray,
) -> list[FeatureStatistics]:
    by_context: dict[int, list[tuple[int, int]]] = {}
    for row, item in enumerate(block):
        for number, example in enumerate(item.examples):
            by_context.setdefault(example.context, []).append((row, number))
    examples = [list(item.examples) for item in block]
    for context in sorted(by_context):
        # one at a time, so that sums of floats do not depend on which contexts a block has
        ids, real = padded_batch(token_ids[context : context + 1], model.device)
        ids = ids[:, : int(real.sum())]
        captured = {name: hidden[0] for name, hidden in capture(model, ids, None, hooks).items()}
        for row, number in by_context[context]:
            example = examples[row][number]
            target = int(example.positions[example.values.argmax()])
            found = attribute(hooks, captured, source.encoder_column(block[row].index), target)
            values = np.array(found.values, dtype=np.float32)
            examples[row][number] = replace(example, attribution=values, target=target)
    return [replace(item, examples=of_item) for item, of_item in zip(block, examples, strict=True)]
