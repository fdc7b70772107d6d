"""The kinds of work that the model's thread runs for a request.

Every function of a job is called in the model's thread, with the loaded model.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

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
