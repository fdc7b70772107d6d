"""The self-test: every check of a loaded model and its sources, in the short form or the full one."""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from memicos_engine.errors import is_out_of_memory
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest import checks
from memicos_engine.selftest.checks import ALL_CAPABILITIES, Capability, CheckLimits, CheckResult, tolerance_for
from memicos_engine.selftest.float32_reference import CheckNotPossible
from memicos_engine.selftest.reconstruction_record import ReconstructionRecord, run_to_end
from memicos_engine.sources.source import Source

log = logging.getLogger(__name__)

FULL_LIMITS = CheckLimits()


def short_limits(seconds: float, memory: int) -> CheckLimits:
    """What is compared as a server starts."""
    return CheckLimits(positions=24, blocks=4, vocabulary=4096, generated_tokens=3, seconds=seconds, memory=memory)


def check_model(
    model: LanguageModel, hook_names: Sequence[str], extent: CheckLimits = FULL_LIMITS
) -> Iterator[CheckResult]:
    """Checks of the model, one after the other. `hook_names` are what is captured for its sources.

    A check that breaks counts as failed; one that the time is over for, or that lacks memory or knowledge of the
    architecture, as not compared.
    """
    end = math.inf if extent.seconds is None else time.monotonic() + extent.seconds
    planned: list[tuple[str, tuple[Capability, ...], Callable[[], CheckResult]]] = [
        ("embedding", ALL_CAPABILITIES, partial(checks.check_embedding, model, extent)),
        ("blocks", ALL_CAPABILITIES, partial(checks.check_blocks, model, extent, end)),
        ("unembedding", ("generation",), partial(checks.check_unembedding, model, extent)),
        ("batch", ("activation",), partial(checks.check_batch, model, hook_names, extent)),
        ("cache", ("generation",), partial(checks.check_cache, model, extent)),
        ("weights", ALL_CAPABILITIES, partial(checks.check_weights, model, extent)),
    ]
    for name, needed_by, check in planned:
        unknown = CheckResult(name, None, tolerance_for(model.dtype), "", needed_by)
        if time.monotonic() > end:
            yield replace(unknown, detail=f"left out: {extent.seconds:g} s were over")
        else:
            yield _guarded(unknown, check)


def check_source(
    model: LanguageModel,
    source_id: str,
    load: Callable[[], Source],
    recorded: Callable[[], ReconstructionRecord | None],
) -> CheckResult:
    """Compare what the source that `load` returns reconstructs of the probe's text with what was `recorded`."""
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
    except Exception as error:  # noqa: BLE001  # a check that broke is a failed check, with the reason
        return _failed_check(unknown, error)


def _guarded(unknown: CheckResult, check: Callable[[], CheckResult]) -> CheckResult:
    """The result of `check`; where it raises, that of `_failed_check`."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # a check that broke is a failed check, with the reason
        return _failed_check(unknown, error)


def _failed_check(unknown: CheckResult, error: Exception) -> CheckResult:
    """`unknown` with the reason where nothing could be compared, failed where the check broke.

    Raises `error` where it concerns the device: nothing that is computed after it is valid.
    """
    if isinstance(error, CheckNotPossible):
        return replace(unknown, detail=f"left out: {error}")
    if isinstance(error, torch.AcceleratorError):
        raise error
    if is_out_of_memory(error):
        return replace(unknown, detail="left out: too little memory")
    # what cannot be compared is not proved
    log.error("the check of %s broke", unknown.name, exc_info=error)
    return replace(unknown, measured=math.inf, detail=f"could not be compared: {type(error).__name__}: {error}")
