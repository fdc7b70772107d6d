"""The self-test: every check of a loaded model and its sources, in the short form or the full one."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from memicos_engine import checks
from memicos_engine.checks import EVERYTHING, Check, Extent, Part, tolerance_of
from memicos_engine.model import LanguageModel
from memicos_engine.probe import Probe
from memicos_engine.reference import NotCovered
from memicos_engine.sources import Source, SourceFacts

log = logging.getLogger(__name__)

Recorded = Callable[[str], Probe | None]
"""What was recorded of a source, by its id, when it was added."""
FULL = Extent()


def short(seconds: float, memory: int) -> Extent:
    """What is compared as a server starts."""
    return Extent(positions=24, blocks=4, vocabulary=4096, written=3, seconds=seconds, memory=memory)


def run(
    model: LanguageModel,
    facts: Sequence[SourceFacts],
    load: Callable[[str], Source],
    recorded: Recorded,
    extent: Extent = FULL,
) -> Iterator[Check]:
    """Every check, one after the other; `facts` are the sources that are compared, each got by `load`.

    A check that fails unforeseen counts as failed; one that the time is over for, or that lacks memory or knowledge
    of the architecture, as not compared.
    """
    end = math.inf if extent.seconds is None else time.monotonic() + extent.seconds
    hook_names = [one.hook_name for one in facts]
    planned: list[tuple[str, tuple[Part, ...], str | None, Callable[[], Check]]] = [
        ("embedding", EVERYTHING, None, partial(checks.embedding, model, extent)),
        ("blocks", EVERYTHING, None, partial(checks.blocks, model, extent, end)),
        ("unembedding", ("generation",), None, partial(checks.unembedding, model, extent)),
        ("batch", ("activation",), None, partial(checks.batch, model, hook_names, extent)),
        ("cache", ("generation",), None, partial(checks.cache, model, extent)),
        ("weights", EVERYTHING, None, partial(checks.weights, model, extent)),
    ]
    for one in facts:
        planned.append(
            (f"reconstruction {one.id}", EVERYTHING, one.id, partial(_of_source, model, load, recorded, one.id))
        )
    for name, needed_by, source, check in planned:
        left_out = partial(Check, name, None, tolerance_of(model.dtype), needed_by=needed_by, source=source)
        if time.monotonic() > end:
            yield left_out(words=f"left out: {extent.seconds:g} s were over")
            continue
        try:
            yield check()
        except NotCovered as reason:
            yield left_out(words=f"left out: {reason}")
        except (torch.OutOfMemoryError, MemoryError):
            yield left_out(words="left out: too little memory")
        except Exception as error:
            # what cannot be compared is not proved
            log.exception("the check of %s broke", name)
            words = f"could not be compared: {type(error).__name__}: {error}"
            yield Check(name, math.inf, tolerance_of(model.dtype), words, needed_by, source)


def _of_source(model: LanguageModel, load: Callable[[str], Source], recorded: Recorded, source_id: str) -> Check:
    return checks.reconstruction(model, load(source_id), recorded(source_id))
