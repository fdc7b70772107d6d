"""What a source makes of a known text: figures that say whether weights, hook and recipe belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch

from memicos_engine import hooks
from memicos_engine.capture import capture
from memicos_engine.model import LanguageModel
from memicos_engine.positions import counted_positions
from memicos_engine.sources import Source


@dataclass(frozen=True)
class Probe:
    """Figures over the `tokens` positions that count.

    `l0`: features that fire at a position, on average; `explained_variance`: 1 - |h - reconstruction|^2 / |h - mean|^2
    with h where the source writes (a transcoder's output hook); `largest_norm`: of an activation where it reads.
    """

    l0: float
    explained_variance: float
    largest_norm: float
    tokens: int


@cache
def probe_texts() -> tuple[str, ...]:
    """The texts of probe.txt: public domain prose, law, code, several languages."""
    text = files("memicos_engine").joinpath("probe.txt").read_text(encoding="utf-8")
    return tuple(text.strip().split("\n\n"))


@torch.inference_mode()
def measure(model: LanguageModel, source: Source, texts: Sequence[str] = ()) -> Probe:
    """Run `texts` (the probe's own where none are given), one by one, each cut to the recipe's context size.

    Raises:
        Refused: the source's hook is not there, or has another width.
    """
    hooks.check_captured(model, source.hook_name)
    size = min(source.recipe.context_size, model.max_context)
    has_bos = model.bos_token_id is not None
    read: list[torch.Tensor] = []
    written: list[torch.Tensor] = []
    for text in texts or probe_texts():
        ids = model.token_ids(text, source.recipe.prepend_bos)[:size]
        tokens = torch.tensor([ids], device=model.device)
        found = capture(model, tokens, None, [source.hook_name, source.steer_hook])
        counted = counted_positions(found[source.hook_name][0], source.recipe, has_bos)
        read.append(found[source.hook_name][0][counted])
        written.append(found[source.steer_hook][0][counted])
    hidden = torch.cat(read)
    hooks.check_width(source.hook_name, f"Source {source.id}", source.d_in, hidden.shape[-1])
    features = source.encode(hidden)
    # MPS has no float64
    rebuilt = source.reconstruct(hidden).cpu().double()
    target = torch.cat(written).cpu().double()
    residue = (target - rebuilt).square().sum()
    spread = (target - target.mean(0)).square().sum()
    return Probe(
        l0=(features > 0).sum(-1).float().mean().item(),
        explained_variance=(1 - residue / spread).item(),
        largest_norm=hidden.cpu().double().norm(dim=-1).max().item(),
        tokens=len(target),
    )
