"""Statistics of scores, each with a bootstrap interval.

Intervals are percentile bootstraps (Efron 1979, "Bootstrap methods: another look at the jackknife"). A resample of n
items is the number of times that each item is drawn, shape (resamples, n). The two classes are resampled separately, so
that every resample has both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

AUC, BALANCED_ACCURACY, CORRELATION = "area under the ROC curve", "balanced accuracy", "correlation"
"""What a score is, in words."""

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def auc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Area under the ROC curve: the share of pairs in which the positive is larger; equal pairs count half.

    This is the Mann-Whitney statistic (Hanley & McNeil 1982).
    """
    return float(_wins(positives, negatives).mean())


def auc_estimate(
    positives: Sequence[float], negatives: Sequence[float], seed: Sequence[int], resamples: int = RESAMPLES
) -> Estimate:
    """`auc` with its interval. Both classes need a value."""
    wins = _wins(positives, negatives)
    generator = np.random.default_rng(seed)
    rows, columns = (resample_counts(generator, size, resamples) for size in wins.shape)
    resampled = ((rows @ wins) * columns).sum(1) / wins.size
    return _estimate(float(wins.mean()), resampled)


def _wins(positives: Sequence[float], negatives: Sequence[float]) -> Numbers:
    """1 where the positive (row) is above the negative (column), 0.5 where they are equal, otherwise 0."""
    high, low = np.asarray(positives, np.float64)[:, None], np.asarray(negatives, np.float64)[None, :]
    return (high > low) + 0.5 * (high == low)


def balanced_accuracy(truths: Sequence[bool], predictions: Sequence[bool]) -> float:
    """Mean of the shares of positives and of negatives that are predicted rightly."""
    positive_hits, negative_hits = _hits(truths, predictions)
    return float((positive_hits.mean() + negative_hits.mean()) / 2)


def balanced_accuracy_estimate(
    truths: Sequence[bool], predictions: Sequence[bool], seed: Sequence[int], resamples: int = RESAMPLES
) -> Estimate:
    """`balanced_accuracy` with its interval. Both classes need a value."""
    hits = _hits(truths, predictions)
    generator = np.random.default_rng(seed)
    rates = [resample_counts(generator, len(part), resamples) @ part / len(part) for part in hits]
    return _estimate(float((hits[0].mean() + hits[1].mean()) / 2), (rates[0] + rates[1]) / 2)


def _hits(truths: Sequence[bool], predictions: Sequence[bool]) -> tuple[Numbers, Numbers]:
    """1 for each right prediction, otherwise 0: of the positives, and of the negatives."""
    truth, right = np.asarray(truths, bool), np.asarray(truths, bool) == np.asarray(predictions, bool)
    return right[truth].astype(np.float64), right[~truth].astype(np.float64)


def correlation(expected: Sequence[Sequence[float]], actual: Sequence[Sequence[float]]) -> float:
    """Pearson correlation over the tokens of all texts; 0 where one side is constant.

    Args:
        expected, actual: values of each token, shape (texts, tokens); texts may differ in length.
    """
    sums = _moments(expected, actual).sum(0)
    return float(_pearson(sums[None, :])[0])


def correlation_estimate(
    expected: Sequence[Sequence[float]],
    actual: Sequence[Sequence[float]],
    seed: Sequence[int],
    resamples: int = RESAMPLES,
) -> Estimate:
    """`correlation` with its interval. Whole texts are resampled, as tokens of one text depend on each other."""
    moments = _moments(expected, actual)
    counts = resample_counts(np.random.default_rng(seed), len(moments), resamples)
    return _estimate(float(_pearson(moments.sum(0)[None, :])[0]), _pearson(counts @ moments))


def _moments(expected: Sequence[Sequence[float]], actual: Sequence[Sequence[float]]) -> Numbers:
    """Per text: n, sum x, sum y, sum xx, sum yy, sum xy, with both sides centred on their means over all tokens."""
    x_mean, y_mean = (
        float(np.concatenate([np.asarray(text, np.float64) for text in side]).mean()) for side in (expected, actual)
    )
    rows = []
    for text_x, text_y in zip(expected, actual, strict=True):
        x, y = np.asarray(text_x, np.float64) - x_mean, np.asarray(text_y, np.float64) - y_mean
        if x.shape != y.shape:
            raise ValueError(f"a text has {len(x)} expected and {len(y)} actual values")
        rows.append((len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y))
    return np.asarray(rows, np.float64)


def _pearson(sums: Numbers) -> Numbers:
    n, x, y, xx, yy, xy = sums.T
    variances = np.clip(xx - x * x / n, 0, None) * np.clip(yy - y * y / n, 0, None)
    covariance = xy - x * y / n
    return np.divide(covariance, np.sqrt(variances), out=np.zeros_like(covariance), where=variances > 0)


def resample_counts(generator: np.random.Generator, size: int, resamples: int) -> Numbers:
    """How often each of `size` items is drawn, with replacement, in each resample; shape (resamples, size)."""
    return generator.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64)


def _estimate(value: float, resampled: Numbers) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))
