"""Judge a source's reconstruction metrics: each with its expected range, and a problem if it is outside."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memicos_engine.selftest.reconstruction_record import ReconstructionRecord
from memicos_engine.sources.source import NEURON_ARCHITECTURE, VECTOR_ARCHITECTURE, SourceInfo

LOW_EXPLAINED_VARIANCE = 0.3
"""An explained variance below this gets a remark."""
HIGH_NORM_RATIO = 10
"""Norms this many times the median get a remark: such tokens dominate the features' largest values."""
HIGH_LEFT_OUT_SHARE = 0.1
"""A recipe that leaves out a larger share of the positions gets a remark: it should leave out few."""


@dataclass(frozen=True)
class MetricCheck:
    """A metric with its expected range.

    `problem` is set if the value shows that weights and hook do not belong together, `remark` if it is unusual.
    """

    name: str
    value: str
    expected: str
    problem: str | None = None
    remark: str | None = None


def check_metrics(info: SourceInfo, record: ReconstructionRecord) -> list[MetricCheck]:
    """Checks of the metrics in `record`.

    Empty for a model's neurons, which reconstruct themselves exactly, and for vectors, which reconstruct nothing.
    """
    if info.architecture in (NEURON_ARCHITECTURE, VECTOR_ARCHITECTURE):
        return []
    checks = [_explained(info, record), _l0(info, record), _norms(info, record)]
    if record.left_out:
        checks.append(_left_out(record))
    expected = f"any: {record.tokens} tokens are too few to tell which features are dead"
    return [*checks, MetricCheck("silent features", f"{record.silent:.1%}", expected)]


def _explained(info: SourceInfo, record: ReconstructionRecord) -> MetricCheck:
    value = record.explained_variance
    usual = "0.5 to 1 is usual" if info.explained_variance is None else f"{info.explained_variance:.3g} is recorded"
    problem = remark = None
    if not math.isfinite(value):
        problem = f"explained variance is {value}: what it reconstructs is not finite"
    elif value <= 0:
        problem = (
            f"explained variance is {value:.3g}, and the mean of the activations alone explains 0: these weights were "
            f"not trained on {info.steer_hook} of this model as it is"
        )
        if record.largest_norm > HIGH_NORM_RATIO * record.median_norm:
            problem += (
                f", or a few tokens decide (norms up to {record.largest_norm:.4g}, the median is "
                f"{record.median_norm:.4g}) that ignored_positions and norm_cut of memicos.json should leave out"
            )
    elif value < LOW_EXPLAINED_VARIANCE:
        remark = "little is explained: are model, hook_name and prepend_bos those of the training?"
    expected = f"well above 0, which the mean alone explains; {usual}"
    return MetricCheck("explained variance", f"{value:.3f}", expected, problem, remark)


def _l0(info: SourceInfo, record: ReconstructionRecord) -> MetricCheck:
    value, limit = record.l0, info.d_sae / 2
    if info.k is not None:
        expected = f"at most k = {info.k} of {info.d_sae:,} features"
    elif info.l0 is not None:
        expected = f"{info.l0:.4g} is recorded, on other text"
    else:
        expected = f"at least 1, far below {info.d_sae:,} features; tens to hundreds are usual"
    problem = remark = None
    if not math.isfinite(value):
        problem = f"L0 is {value}"
    elif value == 0:
        problem = f"L0 is 0: no feature fires at any of {record.tokens} tokens"
    elif value > limit:
        problem = f"L0 is {value:.4g}: more than half of the {info.d_sae:,} features fire at a token"
    elif value < 1:
        remark = "fewer than one feature fires at a token"
    return MetricCheck("L0", f"{value:.4g}", expected, problem, remark)


def _norms(info: SourceInfo, record: ReconstructionRecord) -> MetricCheck:
    cut, value = info.recipe.norm_cut, record.largest_norm
    expected = f"within {HIGH_NORM_RATIO} times the median, {record.median_norm:.4g}"
    if cut is not None:
        expected = f"up to {cut:.6g}, its norm cut; the median is {record.median_norm:.4g}"
    problem = remark = None
    if not math.isfinite(value):
        problem = f"the largest norm is {value}"
    elif value > HIGH_NORM_RATIO * record.median_norm:
        remark = "a few tokens have much larger norms: a norm_cut in memicos.json leaves them out"
    return MetricCheck("largest norm", f"{value:.6g}", expected, problem, remark)


def _left_out(record: ReconstructionRecord) -> MetricCheck:
    positions = record.tokens + record.left_out
    expected = f"few of {positions} positions, by the recipe; their norms are up to {record.largest_left_out:.6g}"
    remark = (
        "many are left out: is the norm cut that of this hook?"
        if record.left_out > HIGH_LEFT_OUT_SHARE * positions
        else None
    )
    return MetricCheck("left out", f"{record.left_out}", expected, None, remark)
