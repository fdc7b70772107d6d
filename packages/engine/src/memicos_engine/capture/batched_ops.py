"""Readings in steps, so that several share the runs of the model and the encodes.

What a reading needs it yields: first what is to be captured, then what a source is to encode. It knows sources without
their weights, which need be in memory only then, one source's at a time, and so need the values of a part of the rows.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import torch

from memicos_engine.capture.capture import CapturedActivations, CaptureRequest, capture_together
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.feature_encoding import encode_features
from memicos_engine.sources.source import Source, SourceInfo

P = ParamSpec("P")
T = TypeVar("T")

MAX_ENCODED_BYTES = 64 * 1024**2
"""Memory of the values that are encoded at a time; those of one prompt may have more."""


@dataclass(frozen=True)
class EncodeOperation:
    """Activations (T, D) of any number of prompts that a source is to encode. Is answered by values (T, F) of each, or
    (T, n) of the features `indices`.
    """

    source: SourceInfo
    hidden: Sequence[torch.Tensor]
    indices: Sequence[int] | None = None

    @property
    def nbytes(self) -> int:
        width = self.source.d_sae if self.indices is None else len(self.indices)
        return sum(_value_bytes(one, width) for one in self.hidden)


@dataclass(frozen=True)
class EncoderColumnsOperation:
    """Features whose encoder columns (D,) are needed. Is answered by one for each."""

    source: SourceInfo
    indices: Sequence[int]

    @property
    def nbytes(self) -> int:
        return len(self.indices) * self.source.d_in * 4


SourceOperation = EncodeOperation | EncoderColumnsOperation
"""What the weights of a source are needed for."""

CaptureSteps = Generator[CaptureRequest | SourceOperation | None, Any, T]
"""Is sent Captured for Wanted, tensors for what is of a source; None where it only lets others have their turn."""


class Batchable(Generic[P, T]):
    """A reading: called, with sources that have their weights, it reads at once; `steps` are its steps."""

    def __init__(self, steps: Callable[Concatenate[LanguageModel, P], CaptureSteps[T]]) -> None:
        self.steps: Callable[Concatenate[LanguageModel, P], CaptureSteps[T]] = torch.inference_mode()(steps)
        wraps(steps)(self)

    def __call__(self, model: LanguageModel, *args: P.args, **kwargs: P.kwargs) -> T:
        steps = self.steps(model, *args, **kwargs)
        needed = next(steps)
        while True:
            given: CapturedActivations | list[torch.Tensor] | None = None
            if isinstance(needed, CaptureRequest):
                (given,) = capture_together(model, [needed])
            elif needed is not None:
                assert isinstance(needed.source, Source)
                (given,) = run_operations(needed.source, [needed])
            try:
                needed = steps.send(given)
            except StopIteration as end:
                return end.value


def batchable(steps: Callable[Concatenate[LanguageModel, P], CaptureSteps[T]]) -> Batchable[P, T]:
    return Batchable(steps)


@torch.inference_mode()
def run_operations(source: Source, needed: Sequence[SourceOperation]) -> list[list[torch.Tensor]]:
    """What several need of a source, the answer of each; whole encodes are one run of it."""
    rows = [
        hidden for one in needed if isinstance(one, EncodeOperation) and one.indices is None for hidden in one.hidden
    ]
    parts = iter(_encode_together(source, rows) if rows else [])
    answers = []
    for one in needed:
        if isinstance(one, EncoderColumnsOperation):
            answers.append([source.encoder_column(index) for index in one.indices])
        elif one.indices is None:
            answers.append([next(parts) for _ in one.hidden])
        else:
            answers.append([encode_features(source, hidden, one.indices) for hidden in one.hidden])
    return answers


def _encode_together(source: Source, rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    whole = source.encode(rows[0] if len(rows) == 1 else torch.cat(list(rows)))
    return whole.split([len(hidden) for hidden in rows])


def encode_groups(source: SourceInfo, hidden: Sequence[torch.Tensor]) -> Iterator[list[int]]:
    """Places in `hidden`, in order, as many at a time as are encoded together; one at least."""
    lump: list[int] = []
    room = MAX_ENCODED_BYTES
    for place, one in enumerate(hidden):
        nbytes = _value_bytes(one, source.d_sae)
        if lump and nbytes > room:
            yield lump
            lump, room = [], MAX_ENCODED_BYTES
        room -= nbytes
        lump.append(place)
    if lump:
        yield lump


def _value_bytes(hidden: torch.Tensor, width: int) -> int:
    return len(hidden) * width * 4
