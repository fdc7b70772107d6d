"""What a language model is shown of a dataset's features."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from memicos_autointerp_core.explainers.interface import ActivatingText, Evidence
from memicos_autointerp_core.scorers.sampling import cut_window
from memicos_dataset import manifest as m
from memicos_dataset import read
from memicos_dataset.schema import TOP_GROUP
from memicos_dataset.token_text import context_strings

from memicos_pipeline.corpus.contexts import PADDING

COLUMNS = (
    "index", "positive_token_ids", "example_groups", "example_contexts", "example_positions", "value_positions",
    "values", "example_dfa_values", "example_dfa_positions",
)  # fmt: skip
SIMILAR_COLUMNS = ("index", "neighbour_indices", "example_groups", "example_contexts", "example_positions")


@dataclass(frozen=True)
class Feature:
    """A feature with its evidence."""

    source: str
    index: int
    evidence: Evidence

    @property
    def name(self) -> str:
        return f"{self.source}/{self.index}"


class Corpus:
    """Contexts of a dataset as token ids, of which only those that are asked for become texts."""

    def __init__(self, folder: Path, manifest: m.Manifest) -> None:
        self._vocabulary: dict[int, str] = {}
        for batch in read.vocabulary(folder, manifest):
            pairs = zip(batch.column("token_id").to_pylist(), batch.column("token").to_pylist(), strict=True)
            self._vocabulary.update(pairs)
        self._ids = np.full((manifest.corpus.contexts, manifest.corpus.context_size), PADDING, np.int32)
        for batch in read.contexts(folder, manifest):
            for number, row in zip(*(batch.column(name).to_pylist() for name in ("context", "token_ids")), strict=True):
                self._ids[number, : len(row)] = row

    def strings(self, context: int) -> list[str]:
        """The texts of a context's tokens."""
        ids = self._ids[context]
        return context_strings([self._vocabulary[i] for i in ids[ids != PADDING].tolist()])

    def tokens(self, ids: Sequence[int]) -> list[str]:
        return [self._vocabulary[i] for i in ids]


def features(
    folder: Path,
    source: m.Source,
    chosen: Collection[int],
    corpus: Corpus,
    texts: int,
    around: int,
    negatives: int = 0,
) -> Iterator[Feature]:
    """The chosen features, each with its `texts` strongest distinct texts of `around` tokens on both sides, and with
    the texts of as many as `negatives` similar features (`_Similar`).

    Raises:
        DatasetError: a file cannot be read.
    """
    first = source.recipe.first_token
    similar = _Similar(folder, source, corpus, around) if negatives else None
    for batch in read.feature_columns(folder, source, COLUMNS):
        indices = batch.column("index").to_pylist()
        for row, index in enumerate(indices):
            if index in chosen:
                values = batch.slice(row, 1).to_pylist()[0]
                evidence = _evidence(values, corpus, first, texts, around)
                if similar:
                    evidence = replace(evidence, negatives=similar.texts(index, negatives))
                yield Feature(source.id, index, evidence)


class _Similar:
    """Texts of similar features for contrastive prompts, chosen as the webapp does.

    Raises:
        DatasetError: a file cannot be read.
    """

    def __init__(self, folder: Path, source: m.Source, corpus: Corpus, around: int) -> None:
        self._corpus, self._around, self._first = corpus, around, source.recipe.first_token
        self._rows = pa.Table.from_batches(list(read.feature_columns(folder, source, SIMILAR_COLUMNS, 4096)))
        self._numbers = {index: number for number, index in enumerate(self._rows.column("index").to_pylist())}

    def texts(self, index: int, limit: int) -> list[ActivatingText]:
        """The strongest text of each of the `limit` nearest features, nearest first, from contexts in which the feature
        itself has no example. It may be weakly active there: its examples are its strongest."""
        number = self._numbers[index]
        own = set(self._values("example_contexts", number))
        found: list[ActivatingText] = []
        for neighbour in self._values("neighbour_indices", number):
            if len(found) == limit:
                break
            if neighbour in self._numbers and (text := self._strongest(self._numbers[neighbour], own)):
                found.append(text)
        return found

    def _strongest(self, number: int, but: set[int]) -> ActivatingText | None:
        columns = (self._values(name, number) for name in SIMILAR_COLUMNS[2:])
        for group, context, position in zip(*columns, strict=True):
            if group == TOP_GROUP and context not in but:
                strings = self._corpus.strings(context)
                start, end = cut_window(strings, position, self._around, self._first)
                return ActivatingText(strings[start:end], [0.0] * (end - start))
        return None

    def _values(self, name: str, number: int) -> list[int]:
        return self._rows.column(name)[number].as_py()


def _evidence(row: dict[str, Any], corpus: Corpus, first: int, texts: int, around: int) -> Evidence:
    found: dict[tuple[str, ...], ActivatingText] = {}
    for number, group in enumerate(row["example_groups"]):
        if group != TOP_GROUP or len(found) == texts:
            continue
        position = row["example_positions"][number]
        strings = corpus.strings(row["example_contexts"][number])
        start, end = cut_window(strings, position, around, first)
        sparse = dict(zip(row["value_positions"][number], row["values"][number], strict=True))
        values = [sparse.get(place, 0.0) for place in range(start, end)]
        dfa, attributed = None, None
        targets = row.get("example_dfa_positions")
        if targets and start <= (target := targets[number]) < end:
            dfa, attributed = row["example_dfa_values"][number][start:end], target - start
        text = ActivatingText(strings[start:end], values, dfa, attributed)
        found.setdefault(tuple(text.tokens), text)
    return Evidence(list(found.values()), corpus.tokens(row["positive_token_ids"]))
