"""Functions over activations as generators, so that several callers share forward passes and encodes.

Such a function yields what it needs: a `CaptureRequest` first, then operations on a source. It holds `SourceInfo` only:
weights are needed while an operation is run, one source at a time.
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
"""Memory of the feature values that are encoded at a time; the values of a single prompt may take more."""


@dataclass(frozen=True)
class EncodeOperation:
    """Encode activations (T, D) of several prompts. Result: values (T, F) of each, or (T, n) of features `indices`."""

    source: SourceInfo
    hidden: Sequence[torch.Tensor]
    indices: Sequence[int] | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the result."""
        width = self.source.d_sae if self.indices is None else len(self.indices)
        return sum(_value_bytes(hidden, width) for hidden in self.hidden)


@dataclass(frozen=True)
class EncoderColumnsOperation:
    """Read the encoder columns of features `indices`. Result: one column (D,) for each."""

    source: SourceInfo
    indices: Sequence[int]

    @property
    def nbytes(self) -> int:
        """Memory of the result."""
        return len(self.indices) * self.source.d_in * 4


SourceOperation = EncodeOperation | EncoderColumnsOperation
"""Work that needs the weights of a source."""

CaptureSteps = Generator[CaptureRequest | SourceOperation | None, Any, T]
"""Yields a request and is sent its result: `CapturedActivations`, or the tensors of an operation. A yielded None lets
the caller do other work in between."""


class Batchable(Generic[P, T]):
    """A function over activations. `steps` makes its generator; a call runs the generator to its end.

    A call needs sources with their weights (`Source`), `steps` only their `SourceInfo`.
    """

    def __init__(self, steps: Callable[Concatenate[LanguageModel, P], CaptureSteps[T]]) -> None:
        self.steps: Callable[Concatenate[LanguageModel, P], CaptureSteps[T]] = torch.inference_mode()(steps)
        wraps(steps)(self)

    def __call__(self, model: LanguageModel, *args: P.args, **kwargs: P.kwargs) -> T:
        steps = self.steps(model, *args, **kwargs)
        step = next(steps)
        while True:
            result: CapturedActivations | list[torch.Tensor] | None = None
            if isinstance(step, CaptureRequest):
                (result,) = capture_together(model, [step])
            elif step is not None:
                assert isinstance(step.source, Source)
                (result,) = run_operations(step.source, [step])
            try:
                step = steps.send(result)
            except StopIteration as end:
                return end.value


def batchable(steps: Callable[Concatenate[LanguageModel, P], CaptureSteps[T]]) -> Batchable[P, T]:
    return Batchable(steps)


@torch.inference_mode()
def run_operations(source: Source, operations: Sequence[SourceOperation]) -> list[list[torch.Tensor]]:
    """Results of several operations on one source, in their order. Encodes of all features share one call of it."""
    rows = [
        hidden
        for operation in operations
        if isinstance(operation, EncodeOperation) and operation.indices is None
        for hidden in operation.hidden
    ]
    encoded = iter(_encode_together(source, rows) if rows else [])
    results = []
    for operation in operations:
        if isinstance(operation, EncoderColumnsOperation):
            results.append([source.encoder_column(index) for index in operation.indices])
        elif operation.indices is None:
            results.append([next(encoded) for _ in operation.hidden])
        else:
            results.append([encode_features(source, hidden, operation.indices) for hidden in operation.hidden])
    return results


def _encode_together(source: Source, rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Values (T, F) for each of `rows` (T, D)."""
    encoded = source.encode(rows[0] if len(rows) == 1 else torch.cat(list(rows)))
    return encoded.split([len(hidden) for hidden in rows])


def encode_groups(source: SourceInfo, rows: Sequence[torch.Tensor]) -> Iterator[list[int]]:
    """Indices into `rows` (T, D), in order, in groups whose values take MAX_ENCODED_BYTES; at least one in each."""
    group: list[int] = []
    room = MAX_ENCODED_BYTES
    for index, hidden in enumerate(rows):
        nbytes = _value_bytes(hidden, source.d_sae)
        if group and nbytes > room:
            yield group
            group, room = [], MAX_ENCODED_BYTES
        room -= nbytes
        group.append(index)
    if group:
        yield group


def _value_bytes(hidden: torch.Tensor, width: int) -> int:
    return len(hidden) * width * 4
