"""Which features of a dataset are to be explained or scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memicos_autointerp_core.bulk.indices import parse_indices
from memicos_dataset import manifest as m
from memicos_dataset import read

from memicos_pipeline.config import ConfigError

TOKEN_STATISTICS = "token-statistics"
"""Method of explanations that no language model wrote; a feature without others counts as unexplained."""
DEFAULT_SCORE = "eleuther_embedding"


@dataclass(frozen=True)
class Selection:
    """Live features that meet every condition.

    Attributes:
        sources: ids; empty: all.
        min_density, max_density: share of tokens on which the feature is active.
        unexplained: only features without an explanation other than token statistics.
        score_below: only features whose label has a score below this by `score_method`.
        indices: only these; None: all.
    """

    sources: tuple[str, ...] = ()
    min_density: float = 0.0
    max_density: float = 1.0
    unexplained: bool = False
    score_below: float | None = None
    score_method: str = DEFAULT_SCORE
    indices: tuple[int, ...] | None = None


@dataclass(frozen=True)
class StoredExplanation:
    """`number`: that of the row in the source's file."""

    number: int
    index: int
    description: str
    method: str
    model: str | None


def explanations(folder: Path, source: m.Source) -> list[StoredExplanation]:
    """The explanations of a source in the order of its file."""
    found: list[StoredExplanation] = []
    for batch in read.explanations(folder, source):
        columns = (batch.column(name).to_pylist() for name in ("index", "description", "method", "model"))
        found += [StoredExplanation(len(found) + i, *row) for i, row in enumerate(zip(*columns, strict=True))]
    return found


def labels(rows: Sequence[StoredExplanation]) -> dict[int, StoredExplanation]:
    """The label of each feature as the webapp chooses it: the last explanation that is not token statistics, or the
    last one."""
    chosen: dict[int, StoredExplanation] = {}
    for row in rows:
        former = chosen.get(row.index)
        if former is None or row.method != TOKEN_STATISTICS or former.method == TOKEN_STATISTICS:
            chosen[row.index] = row
    return chosen


def chosen_sources(manifest: m.Manifest, selection: Selection) -> list[m.Source]:
    """
    Raises:
        ConfigError: the dataset has no such source.
    """
    by_id = {source.id: source for source in manifest.source_set.sources}
    if unknown := [name for name in selection.sources if name not in by_id]:
        raise ConfigError(f"the dataset has no source {', '.join(unknown)}, only {', '.join(by_id)}")
    return [by_id[name] for name in dict.fromkeys(selection.sources)] or list(by_id.values())


def select(folder: Path, source: m.Source, selection: Selection) -> list[int]:
    """Indices of the source's features that are selected, in the order of its files.

    Raises:
        ConfigError: the source has no feature of a listed index.
        DatasetError: a file cannot be read.
    """
    if outside := [index for index in selection.indices or () if not 0 <= index < source.d_sae]:
        raise ConfigError(f"{source.id} has features 0 to {source.d_sae - 1}, not {outside[0]}")
    wanted = None if selection.indices is None else set(selection.indices)
    rows = explanations(folder, source)
    explained = {row.index for row in rows if row.method != TOKEN_STATISTICS}
    low = _low_scores(folder, source, rows, selection)
    chosen: list[int] = []
    for batch in read.feature_columns(folder, source, ("index", "density", "max_activation"), size=65536):
        columns = (batch.column(name).to_pylist() for name in ("index", "density", "max_activation"))
        chosen += [
            index
            for index, density, largest in zip(*columns, strict=True)
            if largest > 0
            and selection.min_density <= density <= selection.max_density
            and (wanted is None or index in wanted)
            and not (selection.unexplained and index in explained)
            and (low is None or index in low)
        ]
    return chosen


def _low_scores(
    folder: Path, source: m.Source, rows: Sequence[StoredExplanation], selection: Selection
) -> set[int] | None:
    """Features whose label has a low score; None where scores are no condition."""
    if selection.score_below is None:
        return None
    label_of = {row.number: row.index for row in labels(rows).values()}
    low: set[int] = set()
    for batch in read.score_batches(folder, source):
        columns = (batch.rows.column(name).to_pylist() for name in ("explanation", "method", "score"))
        low |= {
            label_of[number]
            for number, method, score in zip(*columns, strict=True)
            if method == selection.score_method
            and number in label_of
            and score is not None
            and score < selection.score_below
        }
    return low


def read_indices(text: str) -> tuple[int, ...]:
    """Indices from `3,7,10-20`, or from a file with one such entry a line, named as `@file`.

    Raises:
        ConfigError: it is neither.
    """
    try:
        return tuple(parse_indices(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--indices: {error}") from error
