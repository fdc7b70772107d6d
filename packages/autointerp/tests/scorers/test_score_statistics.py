"""Statistics of scores against independent computations: scipy, scikit-learn, numpy and loops in plain Python."""

import itertools

import numpy as np
import pytest
from memicos_autointerp_core.scorers import statistics
from scipy import stats
from sklearn import metrics

SEED = 7
EXACT = 1e-9


def _classes() -> tuple[list[float], list[float]]:
    generator = np.random.default_rng(SEED)
    # few different values, so that many pairs are equal
    return generator.integers(2, 9, 13).tolist(), generator.integers(0, 7, 17).tolist()


def test_auc_is_the_mann_whitney_statistic() -> None:
    positives, negatives = _classes()
    expected = stats.mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert statistics.auc(positives, negatives) == pytest.approx(expected, abs=EXACT)
    assert statistics.auc([1, 1], [1, 1]) == 0.5
    assert statistics.auc([2], [1]) == 1
    assert statistics.auc([1], [2]) == 0


def _interval(resampled: list[float]) -> tuple[float, float]:
    """Percentiles with linear interpolation, computed by hand."""
    ordered = sorted(resampled)
    ends = []
    for share in (0.025, 0.975):
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        ends.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return ends[0], ends[1]


def _drawn(counts: np.ndarray) -> list[int]:
    """Numbers of the items of one resample, each as often as it was drawn."""
    return list(itertools.chain.from_iterable([item] * int(count) for item, count in enumerate(counts)))


def test_interval_of_auc_is_that_of_the_resamples_one_by_one() -> None:
    positives, negatives = _classes()
    estimate = statistics.auc_estimate(positives, negatives, [SEED], resamples=200)
    generator = np.random.default_rng([SEED])
    rows = statistics.resample_counts(generator, len(positives), 200)
    columns = statistics.resample_counts(generator, len(negatives), 200)
    resampled = []
    for row, column in zip(rows, columns, strict=True):
        wins = [
            1.0 if positives[i] > negatives[j] else 0.5 if positives[i] == negatives[j] else 0.0
            for i in _drawn(row)
            for j in _drawn(column)
        ]
        resampled.append(sum(wins) / len(wins))
    assert (estimate.low, estimate.high) == pytest.approx(_interval(resampled), abs=EXACT)
    assert estimate.value == pytest.approx(statistics.auc(positives, negatives), abs=EXACT)


def test_balanced_accuracy_counts_both_classes_alike() -> None:
    truths = [True] * 4 + [False] * 6
    predictions = [True, True, True, False, False, False, True, True, True, True]
    assert statistics.balanced_accuracy(truths, predictions) == pytest.approx((3 / 4 + 2 / 6) / 2, abs=EXACT)
    estimate = statistics.balanced_accuracy_estimate(truths, predictions, [SEED], resamples=200)
    generator = np.random.default_rng([SEED])
    first = statistics.resample_counts(generator, 4, 200)
    second = statistics.resample_counts(generator, 6, 200)
    resampled = [
        (sum(predictions[i] for i in _drawn(a)) / 4 + sum(not predictions[4 + i] for i in _drawn(b)) / 6) / 2
        for a, b in zip(first, second, strict=True)
    ]
    assert (estimate.low, estimate.high) == pytest.approx(_interval(resampled), abs=EXACT)


def test_correlation_is_over_the_tokens_of_all_texts() -> None:
    generator = np.random.default_rng(SEED)
    actual = [generator.random(size).tolist() for size in (5, 9, 3, 12, 7, 8)]
    expected = [[2 * value + generator.normal() for value in text] for text in actual]
    whole = np.corrcoef(np.concatenate(expected), np.concatenate(actual))[0, 1]
    assert statistics.correlation(expected, actual) == pytest.approx(whole, abs=EXACT)
    estimate = statistics.correlation_estimate(expected, actual, [SEED], resamples=200)
    counts = statistics.resample_counts(np.random.default_rng([SEED]), len(actual), 200)
    resampled = [
        float(
            np.corrcoef(
                np.concatenate([expected[i] for i in _drawn(row)]), np.concatenate([actual[i] for i in _drawn(row)])
            )[0, 1]
        )
        for row in counts
    ]
    assert (estimate.low, estimate.high) == pytest.approx(_interval(resampled), abs=EXACT)
    assert statistics.correlation([[1, 1, 1]], [[0, 1, 2]]) == 0


def test_intervals_are_the_same_for_the_same_seed_and_hold_the_truth() -> None:
    """Of 200 samples with a true AUC of 0.5, about 95% of the intervals contain it."""
    generator = np.random.default_rng(SEED)
    contained = 0
    for number in range(200):
        positives, negatives = generator.normal(size=30).tolist(), generator.normal(size=30).tolist()
        estimate = statistics.auc_estimate(positives, negatives, [number])
        assert estimate == statistics.auc_estimate(positives, negatives, [number])
        contained += estimate.low <= 0.5 <= estimate.high
    assert 180 <= contained <= 198


def test_auc_and_balanced_accuracy_are_those_of_scikit_learn_and_so_is_the_bootstrap() -> None:
    """Each resample is a weighting of the texts, which scikit-learn takes as `sample_weight`."""
    positives, negatives = _classes()
    truths, answers = [True] * 13 + [False] * 17, positives + negatives
    predictions = [answer >= 5 for answer in answers]
    generator = np.random.default_rng([SEED])
    weights = np.hstack([statistics.resample_counts(generator, size, 200) for size in (13, 17)])
    cases = [
        (statistics.auc_estimate(positives, negatives, [SEED], 200), metrics.roc_auc_score, answers),
        (
            statistics.balanced_accuracy_estimate(truths, predictions, [SEED], 200),
            metrics.balanced_accuracy_score,
            predictions,
        ),
    ]
    for estimate, metric, values in cases:
        assert estimate.value == pytest.approx(metric(truths, values), abs=EXACT)
        resampled = [float(metric(truths, values, sample_weight=row)) for row in weights]
        assert (estimate.low, estimate.high) == pytest.approx(_interval(resampled), abs=EXACT)
