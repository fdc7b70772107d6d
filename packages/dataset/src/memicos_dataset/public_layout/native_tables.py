"""Steps to the files of a dataset: features joined with their examples, a range of indices at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from memicos_dataset import schema
from memicos_dataset.checks.rows import ROUNDING
from memicos_dataset.public_layout.activations import EXAMPLES
from memicos_dataset.public_layout.features import (
    EXPLANATIONS,
    FEATURES,
    HISTOGRAMS,
    INTEGER_LISTS,
    NUMBER_LISTS,
    TEXTS,
    TOKEN_LISTS,
)
from memicos_dataset.public_layout.lines import Rejects
from memicos_dataset.public_layout.steps import Step, read_range

RANGE = 1024
"""Indices whose features and examples are in memory at once."""
EVEN = 1e-3
"""Edges and centres of bins are taken as equal divisions if they are this near, relative to the range: published
values are rounded."""
MOST_INTERVALS = 127

FEATURE_SCHEMA = schema.FEATURE_TABLE.known
EXPLANATION_SCHEMA = schema.EXPLANATION_TABLE.with_optional(("embedding", "extra"))


@dataclass
class SourceFigures:
    """What is is_listed of a source once its features are assembled."""

    dead_features: int = 0
    features: int = 0
    vector_length: int = 0
    hook_name: str | None = None
    indices: list[int] = field(default_factory=list)


def feature_tables(
    steps: Sequence[Step], low: int, high: int, counted_tokens: int, rejects: Rejects, figures: SourceFigures
) -> Iterator[pa.Table]:
    """Features from index `low` to below `high`, ascending, in tables of FEATURE_SCHEMA.

    Examples of features that are not in the files are rejected, and so are features that occur again.
    """
    for first in range(low, high, RANGE):
        last = min(first + RANGE, high)
        features = _unique(steps, read_range(steps, "features", first, last, FEATURES), rejects)
        examples = _of_features(steps, features, read_range(steps, "examples", first, last, EXAMPLES), rejects)
        if len(features):
            table = _join(features, examples, counted_tokens)
            _note(table, figures)
            yield table


def explanation_tables(steps: Sequence[Step], indices: np.ndarray, rejects: Rejects) -> Iterator[pa.Table]:
    """Explanations of the features `indices` (N,), ascending; others are rejected."""
    largest = max((step.ranges["explanations"][1] for step in steps if "explanations" in step.ranges), default=-1)
    for first in range(0, largest + 1, RANGE):
        rows = read_range(steps, "explanations", first, first + RANGE, EXPLANATIONS).sort_by("index")
        is_listed = np.isin(rows["index"].to_numpy(), indices)
        for number in np.flatnonzero(~is_listed).tolist():
            row = rows.slice(number, 1).to_pylist()[0]
            rejects.add(steps[row["step"]].error(row["line"], "index", f"feature {row['index']} is not in the files"))
        rows = rows.filter(pa.array(is_listed))
        if len(rows):
            yield rows.select(EXPLANATION_SCHEMA.names).cast(EXPLANATION_SCHEMA)


def _unique(steps: Sequence[Step], features: pa.Table, rejects: Rejects) -> pa.Table:
    features = features.sort_by([("index", "ascending"), ("step", "ascending"), ("line", "ascending")])
    indices = features["index"].to_numpy()
    again = np.concatenate([[False], indices[1:] == indices[:-1]]) if len(indices) else np.zeros(0, bool)
    for number in np.flatnonzero(again).tolist():
        row = features.slice(number, 1).select(["index", "step", "line"]).to_pylist()[0]
        rejects.add(steps[row["step"]].error(row["line"], "index", f"feature {row['index']} occurs again"))
    return features.filter(pa.array(~again)) if again.any() else features


def _of_features(steps: Sequence[Step], features: pa.Table, examples: pa.Table, rejects: Rejects) -> pa.Table:
    owners = examples["index"].to_numpy()
    is_listed = np.isin(owners, features["index"].to_numpy())
    if is_listed.all():
        return examples
    unlisted, first_rows = np.unique(np.where(is_listed, -1, owners), return_index=True)
    for index, number in zip(unlisted.tolist(), first_rows.tolist(), strict=True):
        if index >= 0:
            row = examples.slice(number, 1).select(["step", "line"]).to_pylist()[0]
            rejects.add(steps[row["step"]].error(row["line"], "index", f"feature {index} is not among the features"))
    return examples.filter(pa.array(is_listed))


def _join(features: pa.Table, examples: pa.Table, counted_tokens: int) -> pa.Table:
    count = len(features)
    features, examples = features.combine_chunks(), examples.combine_chunks()
    owners = np.searchsorted(features["index"].to_numpy(), examples["index"].to_numpy())
    maxima = _maxima(features, examples, owners)
    groups, intervals = _groups(examples, owners, maxima)
    order = np.lexsort((np.arange(len(owners)), groups, owners))
    examples, groups = examples.take(pa.array(order)), groups[order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))]).astype(np.int32)
    columns: dict[str, Any] = {name: features[name] for name in (*TEXTS, *INTEGER_LISTS, *TOKEN_LISTS)}
    columns |= {name: features[name] for name in ("index", "extra", "steering_strength")}
    columns |= {name: features[name] for name in NUMBER_LISTS if not name.endswith("_bin_values")}
    columns |= {
        "density": pa.array(features["density"].to_numpy().astype(np.float32)),
        "max_activation": pa.array(maxima),
    }
    columns |= _histograms(features, maxima, counted_tokens)
    columns |= {
        name: pa.array([getattr(feature, name) for feature in intervals], pa.list_(pa.float32()))
        for name in ("quantile_shares", "quantile_minima", "quantile_maxima")
    }
    per_example: dict[str, Any] = {
        "example_groups": pa.array(groups.astype(np.int8)),
        "example_contexts": examples["context"],
        "example_positions": examples["position"],
        "value_positions": examples["value_positions"],
        "values": examples["values"],
        "example_dfa_values": examples["dfa_values"],
        "example_dfa_positions": examples["dfa_position"],
        "example_extra": examples["extra"],
    }
    columns |= {
        name: pa.ListArray.from_arrays(pa.array(offsets), _array(values)) for name, values in per_example.items()
    }
    return pa.Table.from_arrays(
        [_array(columns[name]) for name in FEATURE_SCHEMA.names], names=FEATURE_SCHEMA.names
    ).cast(FEATURE_SCHEMA)


def _array(values: Any) -> pa.Array:
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks or [pa.array([], values.type)])


def _maxima(features: pa.Table, examples: pa.Table, owners: np.ndarray) -> np.ndarray:
    """Largest activation of each feature (float32): that of its row, or of an example beyond rounding above it."""
    stated = np.maximum(features["max_activation"].fill_null(0).to_numpy(), 0).astype(np.float32)
    maxima = stated.copy()
    values = _array(examples["values"])
    np.maximum.at(maxima, np.repeat(owners, np.diff(values.offsets.to_numpy())), values.flatten().to_numpy())
    return np.where(maxima > stated * (1 + ROUNDING), maxima, stated)


@dataclass(frozen=True)
class _Intervals:
    """Intervals of a feature. The ends are empty where the intervals divide (0, maximum] equally."""

    quantile_shares: list[float]
    quantile_minima: list[float]
    quantile_maxima: list[float]


_NO_INTERVALS = _Intervals([], [], [])


def _groups(examples: pa.Table, owners: np.ndarray, maxima: np.ndarray) -> tuple[np.ndarray, list[_Intervals]]:
    """Group of each example, and the intervals of each feature."""
    low, high, share = (examples[name].to_numpy() for name in ("bin_min", "bin_max", "share"))
    groups = np.full(len(owners), schema.TOP_GROUP, dtype=np.int64)
    intervals = [_NO_INTERVALS] * len(maxima)
    binned = np.flatnonzero(~np.isnan(low))
    order = binned[np.lexsort((high[binned], low[binned], owners[binned]))]
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    # no starts, and no ends, where no example belongs to an interval
    ends = np.append(starts, len(order))[1:]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        own = order[start:end]
        owner = int(owners[own[0]])
        new = (np.diff(low[own], prepend=np.nan) != 0) | (np.diff(high[own], prepend=np.nan) != 0)
        first = own[new]
        minima, tops, shares = low[first], high[first], share[first]
        numbers, intervals[owner] = _numbered(minima, tops, shares, float(maxima[owner]))
        groups[own] = numbers[np.cumsum(new) - 1]
    return groups, intervals


def _numbered(low: np.ndarray, high: np.ndarray, shares: np.ndarray, top: float) -> tuple[np.ndarray, _Intervals]:
    """Numbers of a feature's intervals, from 1. Equal divisions include those without an example, whose share is 0."""
    width = float((high - low).mean())
    count = round(top / width) if width > 0 else 0
    if 1 <= count <= MOST_INTERVALS:
        numbers = np.rint(high * (count / top)).astype(np.int64)
        near = EVEN * top
        even = (np.abs(high - numbers * top / count) <= near) & (np.abs(low - (numbers - 1) * top / count) <= near)
        if even.all() and len(set(numbers.tolist())) == len(numbers) and numbers.min() >= 1 and numbers.max() <= count:
            all_shares = np.zeros(count, dtype=np.float32)
            all_shares[numbers - 1] = shares
            return numbers, _Intervals(all_shares.tolist(), [], [])
    return np.arange(1, len(low) + 1), _Intervals(shares.tolist(), low.tolist(), high.tolist())


def _histograms(features: pa.Table, maxima: np.ndarray, counted_tokens: int) -> dict[str, pa.Array]:
    heights = {name: features[name].to_pylist() for name in HISTOGRAMS}
    centres = {name: features[name].to_pylist() for name in ("activation_bin_values", "logit_bin_values")}
    logits = zip(features["positive_logits"].to_pylist(), features["negative_logits"].to_pylist(), strict=True)
    ranges = [
        _logit_range(values, [*positive, *negative])
        for values, (positive, negative) in zip(centres["logit_bin_values"], logits, strict=True)
    ]
    density = features["density"].to_numpy()
    active = np.rint(density * counted_tokens).astype(np.int64)
    for name in HISTOGRAMS:
        bins = centres[name.replace("histogram", "bin_values")]
        heights[name] = [own if own else [0] * len(values) for own, values in zip(heights[name], bins, strict=True)]
    return {
        "active_tokens": pa.array(active),
        "activation_histogram": pa.array(heights["activation_histogram"], pa.list_(pa.int32())),
        "logit_histogram": pa.array(heights["logit_histogram"], pa.list_(pa.int32())),
        "logit_min": pa.array(np.array([low for low, _ in ranges], dtype=np.float32)),
        "logit_max": pa.array(np.array([high for _, high in ranges], dtype=np.float32)),
        "activation_bin_values": pa.array(
            [
                [] if _even(values, 0.0, float(top)) else values
                for values, top in zip(centres["activation_bin_values"], maxima, strict=True)
            ],
            pa.list_(pa.float32()),
        ),
        "logit_bin_values": pa.array(
            [
                [] if _even(values, *bounds) else values
                for values, bounds in zip(centres["logit_bin_values"], ranges, strict=True)
            ],
            pa.list_(pa.float32()),
        ),
    }


def _even(centres: list[float], low: float, high: float) -> bool:
    """Whether bins with these centres divide `low` to `high` equally."""
    return np.allclose(centres, bin_centres(low, high, len(centres)), rtol=0, atol=EVEN * (high - low))


def bin_centres(low: float, high: float, count: int) -> np.ndarray:
    """Centres (count,) of equal bins."""
    return low + (np.arange(count) + 0.5) * ((high - low) / max(count, 1))


def _logit_range(centres: list[float], logits: list[float]) -> tuple[float, float]:
    """Ends of the histogram of logit effects; without one, those of the logits."""
    if len(centres) > 1:
        half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
        return centres[0] - half, max(centres[-1] + half, centres[0] - half)
    return min(logits, default=0.0), max(logits, default=0.0)


def _note(table: pa.Table, figures: SourceFigures) -> None:
    figures.features += len(table)
    figures.dead_features += int((table["density"].to_numpy() == 0).sum())
    figures.indices.extend(table["index"].to_pylist())
    lengths = np.diff(_array(table["decoder_vector"]).offsets.to_numpy())
    figures.vector_length = max(figures.vector_length, int(lengths.max(initial=0)))
    hooks = [hook for hook in table["steering_hook"].to_pylist() if hook]
    figures.hook_name = figures.hook_name or (hooks[0] if hooks else None)
