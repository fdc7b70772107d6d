"""How a source does on a text that ships with the engine, and the record of it.

The text (`probe.txt`) is cut into contexts of the source's recipe, BOS in front where it says so. Over the positions
that the recipe does not ignore, with x the activation that the source should give back (a transcoder's: at its output
hook) and x' what it gives: L0 is the mean number of features that fire, explained variance
1 - sum |x - x'|^2 / sum |x - mean x|^2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import torch

from memicos_engine.capture import capture
from memicos_engine.model import LanguageModel
from memicos_engine.positions import counted_positions
from memicos_engine.sources import Source

MOST_NORMS = 5


@dataclass(frozen=True)
class Norm:
    """A token of the text and the length of its activation at the source's hook."""

    token: str
    position: int
    norm: float


@dataclass(frozen=True)
class Probe:
    """What was measured, and with what. `largest` are the largest norms, ignored positions among them; `median_norm`
    and the rest are of positions that count, of which there were `positions`.
    """

    source: str
    model: str
    model_dtype: str
    source_dtype: str
    device: str
    hook_name: str
    positions: int
    l0: float
    explained_variance: float
    median_norm: float
    largest: list[Norm]


def text() -> str:
    """The text that is measured on."""
    return files("memicos_engine").joinpath("probe.txt").read_text(encoding="utf-8")


@torch.inference_mode()
def measure(model: LanguageModel, source: Source) -> Probe:
    """Run the text through model and source.

    Raises:
        Refused: the source's hook cannot be captured.
    """
    out = source.recipe.hook_name_out or source.hook_name
    counts: list[torch.Tensor] = []
    wanted: list[torch.Tensor] = []
    given: list[torch.Tensor] = []
    norms: list[torch.Tensor] = []
    ranked: list[Norm] = []
    for ids in _contexts(model, source):
        found = capture(model, torch.tensor([ids], device=model.device), None, [source.hook_name, out])
        hidden = found[source.hook_name][0]
        counted = counted_positions(hidden, source.recipe)
        lengths = hidden.float().norm(dim=-1)
        tokens = model.token_strings(ids)
        ranked += [Norm(*one) for one in zip(tokens, range(len(ids)), lengths.tolist(), strict=True)]
        norms.append(lengths[counted])
        counts.append((source.encode(hidden[counted]) > 0).sum(-1).float())
        given.append(source.reconstruct(hidden[counted]).double())
        wanted.append(found[out][0][counted].double())
    target, missed = torch.cat(wanted), torch.cat(wanted) - torch.cat(given)
    variance = (target - target.mean(0)).square().sum()
    return Probe(
        source=source.id,
        model=model.id,
        model_dtype=str(model.dtype).removeprefix("torch."),
        source_dtype=str(given[0].dtype).removeprefix("torch."),
        device=str(model.device),
        hook_name=source.hook_name,
        positions=len(target),
        l0=torch.cat(counts).mean().item(),
        explained_variance=1 - (missed.square().sum() / variance).item(),
        median_norm=torch.cat(norms).median().item(),
        largest=sorted(ranked, key=lambda one: -one.norm)[:MOST_NORMS],
    )


def _contexts(model: LanguageModel, source: Source) -> Iterator[list[int]]:
    """Token ids of the text, in as many contexts as it takes."""
    size = min(source.recipe.context_size, model.max_context)
    front = model.token_ids("", source.recipe.prepend_bos)
    ids = model.token_ids(text(), prepend_bos=False)
    step = size - len(front)
    for start in range(0, len(ids), step):
        yield [*front, *ids[start : start + step]]


def write(folder: Path, probe: Probe) -> Path:
    """Record what was measured in `<folder>/<model>/<source>.json`, and give the file."""
    path = _path(folder, probe.model, probe.source)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(probe), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read(folder: Path, model: str, source: str) -> Probe | None:
    """What was recorded of a source of a model; None where nothing was, or by another version of this program."""
    path = _path(folder, model, source)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Probe(**{**content, "largest": [Norm(**one) for one in content["largest"]]})
    except (ValueError, TypeError, KeyError):
        return None


def _path(folder: Path, model: str, source: str) -> Path:
    return folder / model.strip("/").replace("/", "--") / f"{source}.json"
