"""What the probe's figures say of a source: each beside what is expected, and which show that it does not belong."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memicos_engine.selftest.reconstruction_record import ReconstructionRecord
from memicos_engine.sources.source import NEURON_ARCHITECTURE, SourceInfo

LITTLE = 0.3
"""A share of the variance below this is named."""
MANY = 10
"""Norms so many times the middle one are named: such tokens drown the others in a feature's largest values."""
OFTEN = 0.1
"""A recipe that leaves out more of the positions is named: it is meant for few."""


@dataclass(frozen=True)
class MetricCheck:
    """`expected` says what, and why. `problem` says what is wrong where the figure shows that weights and hook do not
    belong together, `remark` what is unusual and no proof.
    """

    name: str
    value: str
    expected: str
    problem: str | None = None
    remark: str | None = None


def check_metrics(facts: SourceInfo, probe: ReconstructionRecord) -> list[MetricCheck]:
    """A model's neurons reconstruct themselves, and have nothing to be expected of."""
    if facts.architecture == NEURON_ARCHITECTURE:
        return []
    found = [_explained(facts, probe), _l0(facts, probe), _norms(facts, probe)]
    if probe.left_out:
        found.append(_left_out(probe))
    expected = f"any: {probe.tokens} tokens are too few to tell which features are dead"
    return [*found, MetricCheck("silent features", f"{probe.silent:.1%}", expected)]


def _explained(facts: SourceInfo, probe: ReconstructionRecord) -> MetricCheck:
    value = probe.explained_variance
    said = "0.5 to 1 is usual" if facts.explained_variance is None else f"{facts.explained_variance:.3g} is recorded"
    problem = remark = None
    if not math.isfinite(value):
        problem = f"explained variance is {value}: what it reconstructs is not finite"
    elif value <= 0:
        problem = (
            f"explained variance is {value:.3g}, and the mean of the activations alone explains 0: these weights were "
            f"not trained on {facts.steer_hook} of this model as it is"
        )
        if probe.largest_norm > MANY * probe.median_norm:
            problem += (
                f", or a few tokens decide (norms up to {probe.largest_norm:.4g}, the middle one is "
                f"{probe.median_norm:.4g}) that ignored_positions and norm_cut of memicos.json should leave out"
            )
    elif value < LITTLE:
        remark = "little is explained: are model, hook_name and prepend_bos those that it was trained with?"
    expected = f"well above 0, which the mean alone explains; {said}"
    return MetricCheck("explained variance", f"{value:.3f}", expected, problem, remark)


def _l0(facts: SourceInfo, probe: ReconstructionRecord) -> MetricCheck:
    value, most = probe.l0, facts.d_sae / 2
    if facts.k is not None:
        expected = f"at most k = {facts.k} of {facts.d_sae:,} features"
    elif facts.l0 is not None:
        expected = f"{facts.l0:.4g} is recorded, on other text"
    else:
        expected = f"at least 1, far below {facts.d_sae:,} features; tens to hundreds are usual"
    problem = remark = None
    if not math.isfinite(value):
        problem = f"L0 is {value}"
    elif value == 0:
        problem = f"L0 is 0: no feature fires at any of {probe.tokens} tokens"
    elif value > most:
        problem = f"L0 is {value:.4g}: more than half of the {facts.d_sae:,} features fire at a token"
    elif value < 1:
        remark = "fewer than one feature fires at a token"
    return MetricCheck("L0", f"{value:.4g}", expected, problem, remark)


def _norms(facts: SourceInfo, probe: ReconstructionRecord) -> MetricCheck:
    cut, value = facts.recipe.norm_cut, probe.largest_norm
    expected = f"within {MANY} times the middle one, {probe.median_norm:.4g}"
    if cut is not None:
        expected = f"up to {cut:.6g}, its norm cut; the middle one is {probe.median_norm:.4g}"
    problem = remark = None
    if not math.isfinite(value):
        problem = f"the largest norm is {value}"
    elif value > MANY * probe.median_norm:
        remark = "a few tokens are far out: a norm_cut in memicos.json leaves them out"
    return MetricCheck("largest norm", f"{value:.6g}", expected, problem, remark)


def _left_out(probe: ReconstructionRecord) -> MetricCheck:
    positions = probe.tokens + probe.left_out
    expected = f"few of {positions} positions, by the recipe; their norms are up to {probe.largest_left_out:.6g}"
    remark = "many are left out: is the norm cut that of this hook?" if probe.left_out > OFTEN * positions else None
    return MetricCheck("left out", f"{probe.left_out}", expected, None, remark)
