"""The self-test: all checks of a loaded model and its sources, in full or with the limits of a server's start."""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import torch

from memicos_engine.errors import is_out_of_memory
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest import checks, length_check
from memicos_engine.selftest.checks import ALL_CAPABILITIES, Capability, CheckLimits, CheckResult, tolerance_for
from memicos_engine.selftest.float32_reference import CheckNotPossible
from memicos_engine.selftest.reconstruction_record import ReconstructionRecord, run_to_end
from memicos_engine.sources.source import Source

log = logging.getLogger(__name__)

FULL_LIMITS = CheckLimits()
OVER_TIME = "skipped: the time limit"
"""Beginning of the detail of a check that the time limit left out."""


def short_limits(seconds: float, memory: int, longest_text: int | None = None) -> CheckLimits:
    """Limits of the short self-test at the start of a server that serves texts of at most `longest_text` tokens."""
    return CheckLimits(
        positions=24,
        blocks=4,
        vocabulary=4096,
        generated_tokens=3,
        seconds=seconds,
        memory=memory,
        longest_text=longest_text,
    )


def check_model(
    model: LanguageModel,
    hook_names: Sequence[str],
    limits: CheckLimits = FULL_LIMITS,
    remembered: Mapping[str, CheckResult] = MappingProxyType({}),
) -> Iterator[CheckResult]:
    """Run the checks of the model one by one. `hook_names` are the hook points of its sources.

    A check that raises counts as failed. A check counts as not compared if the time is over, memory is short or the
    architecture is not supported. Checks of lengths (`length_check`) are run however long they take.

    Args:
        remembered: Results of an earlier start, by the name of the check, which is not run again.
    """
    end = math.inf if limits.seconds is None else time.monotonic() + limits.seconds
    for unknown, check in _planned(model, hook_names, limits, end):
        if unknown.name in remembered:
            yield remembered[unknown.name]
        elif time.monotonic() > end and unknown.boundary is None:
            yield replace(unknown, detail=f"{OVER_TIME} of {limits.seconds:g} s is reached")
        else:
            yield _guarded(unknown, check)


def is_over_time(check: CheckResult) -> bool:
    """Whether the time limit left the check out."""
    return check.measured is None and check.detail.startswith(OVER_TIME)


def check_again(model: LanguageModel, hook_names: Sequence[str], limits: CheckLimits, name: str) -> CheckResult:
    """Run the check `name` of `check_model`, however long it takes."""
    planned = {unknown.name: (unknown, check) for unknown, check in _planned(model, hook_names, limits, math.inf)}
    return _guarded(*planned[name])


def _planned(
    model: LanguageModel, hook_names: Sequence[str], limits: CheckLimits, end: float
) -> list[tuple[CheckResult, Callable[[], CheckResult]]]:
    """The checks of the model in their order, each with its result where nothing is compared."""
    planned: list[tuple[str, tuple[Capability, ...], Callable[[], CheckResult]]] = [
        ("embedding", ALL_CAPABILITIES, partial(checks.check_embedding, model, limits)),
        ("blocks", ALL_CAPABILITIES, partial(checks.check_blocks, model, limits, end)),
        ("unembedding", ("generation",), partial(checks.check_unembedding, model, limits)),
        ("batch", ("activation",), partial(checks.check_batch, model, hook_names, limits)),
        ("cache", ("generation",), partial(checks.check_cache, model, limits)),
        ("weights", ALL_CAPABILITIES, partial(checks.check_weights, model, limits)),
    ]
    tolerance = tolerance_for(model.dtype)
    lengths = [
        (
            length_check.unknown_result(model, boundary),
            partial(length_check.check_length, model, boundary, kinds, limits),
        )
        for boundary, kinds in length_check.checked_boundaries(model, limits.longest_text).items()
    ]
    return [*((CheckResult(name, None, tolerance, "", affects), check) for name, affects, check in planned), *lengths]


def unverified_beyond(model: LanguageModel, longest_text: int | None, results: Iterable[CheckResult]) -> int | None:
    """Number of tokens of the longest text that `results` verify; None if they verify every text that is served."""
    passed = {result.boundary for result in results if result.passed}
    boundaries = length_check.checked_boundaries(model, longest_text)
    return next((boundary for boundary in boundaries if boundary not in passed), None)


def check_model_quickly(model: LanguageModel, limits: CheckLimits) -> Iterator[CheckResult]:
    """The cheap part of the checks, which runs at every start: the embedding, and the weights and output of a block."""
    one_block = replace(limits, blocks=1)
    cheap = (("embedding", checks.check_embedding), ("blocks", checks.check_blocks), ("weights", checks.check_weights))
    for name, check in cheap:
        unknown = CheckResult(name, None, tolerance_for(model.dtype), "")
        yield _guarded(unknown, partial(check, model, one_block))


def check_source(
    model: LanguageModel,
    source_id: str,
    load: Callable[[], Source],
    recorded: Callable[[], ReconstructionRecord | None],
) -> CheckResult:
    """Compare the reconstruction metrics of the source that `load` returns with the recorded ones."""
    return run_to_end(source_check_steps(model, source_id, load, recorded))


def source_check_steps(
    model: LanguageModel,
    source_id: str,
    load: Callable[[], Source],
    recorded: Callable[[], ReconstructionRecord | None],
) -> Generator[None, None, CheckResult]:
    """`check_source` as a generator, which yields between texts so that other work can run in between."""
    unknown = CheckResult(f"reconstruction {source_id}", None, tolerance_for(model.dtype), "", source=source_id)
    try:
        expected = recorded()
        if expected is None:
            return replace(unknown, detail="not recorded")
        return (yield from checks.reconstruction_check_steps(model, load(), expected))
    except Exception as error:  # noqa: BLE001  # a check that raises is a failed check, with the reason
        return _failed_check(unknown, error)


def _guarded(unknown: CheckResult, check: Callable[[], CheckResult]) -> CheckResult:
    """The result of `check`, or of `_failed_check` if it raises."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # a check that raises is a failed check, with the reason
        return _failed_check(unknown, error)


def _failed_check(unknown: CheckResult, error: Exception) -> CheckResult:
    """The result of a check that raised `error`: not compared where that was not possible, else failed.

    Raises `error` if it is the accelerator's: results computed after it are invalid.
    """
    if isinstance(error, CheckNotPossible):
        return replace(unknown, detail=f"skipped: {error}")
    if isinstance(error, torch.AcceleratorError):
        raise error
    if is_out_of_memory(error):
        return replace(unknown, detail="skipped: not enough memory")
    log.error("the check of %s raised an error", unknown.name, exc_info=error)
    return replace(unknown, measured=math.inf, detail=f"could not be compared: {type(error).__name__}: {error}")
