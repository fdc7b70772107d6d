"""Readings in steps, so that several share the runs of the model and the encodes.

What a reading needs it yields: first what is to be captured, then what is to be encoded, a part at a time so that the
values of a large source need not all be there at once.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import torch

from memicos_engine.capture import Captured, Wanted, in_one_run
from memicos_engine.model import LanguageModel
from memicos_engine.sources import Source

P = ParamSpec("P")
T = TypeVar("T")

ENCODED_BYTES = 64 * 1024**2
"""Memory of the values that are encoded at a time; those of one prompt may have more."""


@dataclass(frozen=True)
class Encoding:
    """What a source is to encode: activations (T, D) of any number of prompts. The answer is values (T, F) of each."""

    source: Source
    hidden: Sequence[torch.Tensor]

    @property
    def nbytes(self) -> int:
        return sum(_nbytes(self.source, one) for one in self.hidden)


Steps = Generator[Wanted | Encoding | None, Any, T]
"""Is sent Captured for Wanted, for Encoding what `encoded` gives; None where it only lets others have their turn."""


class Reader(Generic[P, T]):
    """A reading: called, it reads at once; `steps` are its steps."""

    def __init__(self, steps: Callable[Concatenate[LanguageModel, P], Steps[T]]) -> None:
        self.steps: Callable[Concatenate[LanguageModel, P], Steps[T]] = torch.inference_mode()(steps)
        wraps(steps)(self)

    def __call__(self, model: LanguageModel, *args: P.args, **kwargs: P.kwargs) -> T:
        steps = self.steps(model, *args, **kwargs)
        needed = next(steps)
        while True:
            given: Captured | list[torch.Tensor] | None = None
            if isinstance(needed, Wanted):
                (given,) = in_one_run(model, [needed])
            elif needed is not None:
                (given,) = encoded([needed])
            try:
                needed = steps.send(given)
            except StopIteration as end:
                return end.value


def reading(steps: Callable[Concatenate[LanguageModel, P], Steps[T]]) -> Reader[P, T]:
    return Reader(steps)


@torch.inference_mode()
def encoded(together: Sequence[Encoding]) -> list[list[torch.Tensor]]:
    """The values of several encodings of one source, in one run of it."""
    rows = [hidden for one in together for hidden in one.hidden]
    source = together[0].source
    whole = source.encode(rows[0] if len(rows) == 1 else torch.cat(rows))
    parts = iter(whole.split([len(hidden) for hidden in rows]))
    return [[next(parts) for _ in one.hidden] for one in together]


def lumps(source: Source, hidden: Sequence[torch.Tensor]) -> Iterator[list[int]]:
    """Places in `hidden`, in order, as many at a time as are encoded together; one at least."""
    lump: list[int] = []
    room = ENCODED_BYTES
    for place, one in enumerate(hidden):
        if lump and _nbytes(source, one) > room:
            yield lump
            lump, room = [], ENCODED_BYTES
        room -= _nbytes(source, one)
        lump.append(place)
    if lump:
        yield lump


def _nbytes(source: Source, hidden: torch.Tensor) -> int:
    return len(hidden) * source.d_sae * 4
