"""Scores of methods that answer yes or no for each text: balanced accuracy, 0.5 is chance."""

from collections.abc import Sequence

import numpy as np

from memicos_autointerp_core.scorers.interface import BreakdownRow, Score, missing_class
from memicos_autointerp_core.scorers.statistics import balanced_accuracy_estimate


def shuffled(rows: Sequence[BreakdownRow], generator: np.random.Generator) -> list[BreakdownRow]:
    """The rows in random order: the order must not tell the class."""
    return [rows[number] for number in generator.permutation(len(rows))]


def binary_score(method: str, model: str, seed: int, breakdown: list[BreakdownRow]) -> Score:
    """The score of answered texts; those that failed do not count."""
    if reason := missing_class(breakdown):
        return Score(method, model, None, reason, seed, breakdown)
    pairs = [(row.truth, row.prediction) for row in breakdown if row.prediction is not None]
    truths, predictions = [truth for truth, _ in pairs], [prediction for _, prediction in pairs]
    return Score(method, model, balanced_accuracy_estimate(truths, predictions, [seed]), None, seed, breakdown)
