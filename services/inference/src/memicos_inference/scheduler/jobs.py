"""The kinds of work that a request needs.

Every function of a job is called in the model's thread, with the loaded model, except those of a `TextJob`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:  # imports torch
    from memicos_engine.capture.batched_ops import CaptureSteps
    from memicos_engine.generation.generation import Generation
    from memicos_engine.sources.source import Source

    from memicos_inference.loaded_model import LoadedModel

T = TypeVar("T")


@dataclass(frozen=True)
class SourceCall:
    """A call of `function` with the weights of a source, which are loaded where they are not in memory."""

    source_id: str
    function: Callable[[Source], Any]


SourceSteps = Generator[SourceCall, Any, T]
"""Yields calls of sources and is sent what each returns."""


@dataclass(frozen=True)
class DirectJob:
    """A body that needs neither a forward pass nor the weights of a source."""

    run: Callable[[LoadedModel], bytes]


@dataclass(frozen=True)
class SourceJob:
    """A body made from the weights of sources, without a forward pass."""

    steps: Callable[[LoadedModel], SourceSteps[bytes]]


@dataclass(frozen=True)
class CaptureJob:
    """A body made from activations. The steps yield what is to be captured first, then operations on sources."""

    steps: Callable[[LoadedModel], CaptureSteps[bytes]]


@dataclass(frozen=True)
class GenerationJob:
    """Generated text. The steps read steering directions from sources and return what is to be generated."""

    steps: Callable[[LoadedModel], SourceSteps[GenerationOutput]]


@dataclass(frozen=True)
class GenerationOutput:
    """A generation and its answer. `render` is called each time it has advanced.

    `render` returns a body, which replaces an earlier one that was not sent; `Events`, which are all sent; or None
    where nothing is sent yet.
    """

    generation: Generation
    render: Callable[[], bytes | None]


Job = DirectJob | SourceJob | CaptureJob | GenerationJob


@dataclass(frozen=True)
class TextJob(Generic[T]):
    """A job on texts, which are tokenised in the tokenizer's thread before the model's thread gets the job.

    Attributes:
        check: raises BadInput for texts that are too long in characters. Called on the event loop, before anything is
            queued.
        tokenize: yields after each text, so that other requests get their turn, and returns what `job` needs. Of the
            loaded model it may use the tokenizer, the settings and the limits.
        job: makes the job of the model's thread.
    """

    check: Callable[[LoadedModel], None]
    tokenize: Callable[[LoadedModel], Generator[None, None, T]]
    job: Callable[[T], Job]
