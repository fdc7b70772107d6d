"""Reconstruction metrics of a source on a known text: they show whether weights, hook and recipe belong together."""

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import torch

from memicos_engine.atomic_write import write_text_atomically
from memicos_engine.capture.capture import capture
from memicos_engine.capture.positions import included_positions, recipe_has_bos
from memicos_engine.errors import InvalidRequestError
from memicos_engine.model import hook_points
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source

T = TypeVar("T")

FILE_NAME = "probe.json"
"""File name of a record beside a source's weights."""


@dataclass(frozen=True)
class ReconstructionRecord:
    """Metrics over the `tokens` positions that count.

    `l0`: mean number of features that fire at a position; `explained_variance`: 1 - |h - reconstruction|^2 /
    |h - mean|^2, where h are the activations at the source's output hook; `largest_norm` and `median_norm`: norms of
    the activations at its input hook; `silent`: share of features that fire at no position. `left_out` positions do not
    count by the recipe; `largest_left_out` is their largest norm, 0 if there are none.
    """

    l0: float
    explained_variance: float
    largest_norm: float
    median_norm: float
    silent: float
    tokens: int
    left_out: int
    largest_left_out: float


def record_path(folder: Path, model: str, source_id: str) -> Path:
    """Path of the record of a source in `model`, in a folder of records."""
    return folder / f"{quote(model, safe='')}@{quote(source_id, safe='')}.json"


def read_record(path: Path, model: str) -> ReconstructionRecord | None:
    """Read the record at `path`; None if there is none, or it is of another model or of another version of the text.

    Raises:
        ValueError: the file is not a record.
    """
    if not path.is_file():
        return None
    try:
        content = dict(json.loads(path.read_text(encoding="utf-8")))
        recorded_for = (content.pop("model"), content.pop("text"))
        record = ReconstructionRecord(**{name: float(value) for name, value in content.items()})  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path.name} of {path.parent.name} is not a reconstruction record: {error}") from error
    return record if recorded_for == (model, _text_id()) else None


def write_record(path: Path, model: str, record: ReconstructionRecord) -> None:
    """Write a record. Raises OSError if the file cannot be written."""
    write_text_atomically(path, json.dumps({"model": model, "text": _text_id(), **asdict(record)}, indent=1) + "\n")


@cache
def probe_texts() -> tuple[str, ...]:
    """The texts of probe.txt: public domain prose, law, code, several languages."""
    text = files("memicos_engine.selftest").joinpath("probe.txt").read_text(encoding="utf-8")
    return tuple(text.strip().split("\n\n"))


def _text_id() -> str:
    """Identifies the version of probe.txt."""
    return hashlib.sha256("\n\n".join(probe_texts()).encode()).hexdigest()[:12]


def measure_reconstruction(model: LanguageModel, source: Source, texts: Sequence[str] = ()) -> ReconstructionRecord:
    """Run `texts` (default: `probe_texts`) one by one, each cut to the recipe's context size, and compute the metrics.

    Raises:
        InvalidRequestError: the model lacks the source's hook point or its width differs, or the recipe ignores every
            token.
    """
    return run_to_end(reconstruction_steps(model, source, texts))


@torch.inference_mode()
def reconstruction_steps(
    model: LanguageModel, source: Source, texts: Sequence[str] = ()
) -> Generator[None, None, ReconstructionRecord]:
    """`measure_reconstruction` as a generator, which yields after each text so that other work can run in between."""
    hook_points.check_capturable(model, source.hook_name)
    size = min(source.recipe.context_size, model.max_context)
    has_bos = recipe_has_bos(source.recipe, model.bos_token_id)
    inputs: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    left_out: list[torch.Tensor] = []
    for text in texts or probe_texts():
        ids = model.token_ids(text, source.recipe.prepend_bos)[:size]
        tokens = torch.tensor([ids], device=model.device)
        captured = capture(model, tokens, None, [source.hook_name, source.steer_hook])
        counted = included_positions(captured[source.hook_name][0], source.recipe, has_bos)
        inputs.append(captured[source.hook_name][0][counted])
        left_out.append(captured[source.hook_name][0][~counted])
        targets.append(captured[source.steer_hook][0][counted])
        yield
    hidden = torch.cat(inputs)
    hook_points.check_width(source.hook_name, f"Source {source.id}", source.d_in, hidden.shape[-1])
    if not len(hidden):
        raise InvalidRequestError(
            f"Source {source.id}: its recipe ignores every token of the probe text (ignored_positions, norm_cut)."
        )
    fires = source.encode(hidden) > 0
    norms = _norms(hidden)
    # MPS has no float64
    reconstruction = source.reconstruct(hidden).cpu().double()
    target = torch.cat(targets).cpu().double()
    error = (target - reconstruction).square().sum()
    spread = (target - target.mean(0)).square().sum()
    return ReconstructionRecord(
        l0=fires.sum(-1).float().mean().item(),
        explained_variance=(1 - error / spread).item(),
        largest_norm=norms.max().item(),
        median_norm=norms.median().item(),
        silent=(~fires.any(0)).float().mean().item(),
        tokens=len(target),
        left_out=sum(map(len, left_out)),
        largest_left_out=max(
            (_norms(activations).max().item() for activations in left_out if len(activations)), default=0.0
        ),
    )


def run_to_end(steps: Generator[None, None, T]) -> T:
    """The result of a generator whose yields only let other work run."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _norms(hidden: torch.Tensor) -> torch.Tensor:
    """Norms (T,) of `hidden` (T, D), computed on the CPU because MPS has no float64."""
    return hidden.cpu().double().norm(dim=-1)
