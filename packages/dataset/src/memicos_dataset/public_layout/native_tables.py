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
    """What is known of a source once its features are assembled."""

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
    density = features["density"].to_numpy()
    active = np.rint(density * counted_tokens).astype(np.int64)
    low, high = _logit_ranges(features)
    return {
        "active_tokens": pa.array(active),
        "activation_histogram": _heights(features, "activation_histogram", "activation_bin_values"),
        "logit_histogram": _heights(features, "logit_histogram", "logit_bin_values"),
        "logit_min": pa.array(low.astype(np.float32)),
        "logit_max": pa.array(high.astype(np.float32)),
        "activation_bin_values": _uneven(_array(features["activation_bin_values"]), np.zeros(len(maxima)), maxima),
        "logit_bin_values": _uneven(_array(features["logit_bin_values"]), low, high),
    }


def _heights(features: pa.Table, name: str, bins: str) -> pa.Array:
    """Counts of each feature; zeros where a feature has bins only."""
    heights, centres = _array(features[name]), _array(features[bins])
    missing = (_lengths(heights) == 0) & (_lengths(centres) > 0)
    if not missing.any():
        return heights
    rows = heights.to_pylist()
    for row in np.flatnonzero(missing).tolist():
        rows[row] = [0] * len(centres[row])
    return pa.array(rows, pa.list_(pa.int32()))


def _lengths(lists: pa.Array) -> np.ndarray:
    return np.diff(lists.offsets.to_numpy())


def _uneven(centres: pa.Array, low: np.ndarray, high: np.ndarray) -> pa.Array:
    """Centres of each feature's bins; none where the bins divide `low` to `high` equally."""
    lengths, values = _lengths(centres), centres.flatten().to_numpy()
    owners = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = (high - low).astype(np.float64)
    expected = low[owners] + (places + 0.5) * (width / np.maximum(lengths, 1))[owners]
    uneven = np.bincount(owners[~(np.abs(values - expected) <= EVEN * width[owners])], minlength=len(lengths)) > 0
    offsets = np.concatenate([[0], np.cumsum(np.where(uneven, lengths, 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[uneven[owners]]))


def bin_centres(low: float, high: float, count: int) -> np.ndarray:
    """Centres (count,) of equal bins."""
    return low + (np.arange(count) + 0.5) * ((high - low) / max(count, 1))


def _logit_ranges(features: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Ends (float64) of each histogram of logit effects; without one, those of the logits."""
    centres = _array(features["logit_bin_values"])
    lengths, values = _lengths(centres), centres.flatten().to_numpy().astype(np.float64)
    low, high = np.zeros(len(lengths)), np.zeros(len(lengths))
    wide = lengths > 1
    ends = np.cumsum(lengths)[wide]
    first, last = values[ends - lengths[wide]], values[ends - 1]
    half = (last - first) / (lengths[wide] - 1) / 2
    low[wide], high[wide] = first - half, np.maximum(last + half, first - half)
    for row in np.flatnonzero(~wide).tolist():
        logits = [*features["positive_logits"][row].as_py(), *features["negative_logits"][row].as_py()]
        low[row], high[row] = min(logits, default=0.0), max(logits, default=0.0)
    return low, high


def _note(table: pa.Table, figures: SourceFigures) -> None:
    figures.features += len(table)
    figures.dead_features += int((table["density"].to_numpy() == 0).sum())
    figures.indices.extend(table["index"].to_pylist())
    lengths = np.diff(_array(table["decoder_vector"]).offsets.to_numpy())
    figures.vector_length = max(figures.vector_length, int(lengths.max(initial=0)))
    hooks = [hook for hook in table["steering_hook"].to_pylist() if hook]
    figures.hook_name = figures.hook_name or (hooks[0] if hooks else None)
