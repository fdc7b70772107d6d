"""The engine's steered logits, compared with plain transformers and PyTorch hooks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from memicos_engine.generation.decoder import new_decoder
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.generation.steering import Method, apply_steering, steering_plan
from memicos_engine.model.language_model import LanguageModel

from memicos_testing.models import plain_model

ANY_BYTES = 10**10
TOLERANCE = 1e-3
INDEPENDENT: dict[Method, Callable[[torch.Tensor, float], plain_model.Change]] = {
    "SIMPLE_ADDITIVE": plain_model.added,
    "ORTHOGONAL_DECOMP": plain_model.scaled,
    "PROJECTION_CAP": plain_model.capped,
}


def logits_of(model: LanguageModel, rows: list[Row], steps: int) -> tuple[torch.Tensor, torch.Tensor, list[list[int]]]:
    """Logits of the prompts' positions (B, T, V), of the tokens written after them (B, steps, V), and those tokens.

    The last prompt position and all later positions come from a generation, prefilled and then cached.
    """
    with apply_steering([steering_plan(model, row.steers) for row in rows]), torch.inference_mode():
        prompts = model.hf(torch.tensor([list(row.ids) for row in rows])).logits
    writing = Generation(model, rows, steps, Sampling(), ANY_BYTES)
    step_logits = []
    decoder = new_decoder(model, writing)
    while not writing.done:
        decoder.advance()
        step_logits.append(logits_now(writing))
    return prompts, torch.stack(step_logits, dim=1), writing.ids


def logits_now(writing: Generation) -> torch.Tensor:
    """Logits (B, V) of each row's last step."""
    assert all(logits is not None for logits in writing.logits)
    return torch.stack([logits for logits in writing.logits if logits is not None])


def check(
    model: LanguageModel,
    hf: Any,
    rows: list[Row],
    changes: Sequence[Mapping[int, plain_model.Change] | Mapping[plain_model.HookSite, plain_model.Change]],
    steps: int,
) -> None:
    prompts, generated, ids = logits_of(model, rows, steps)
    for i, (row, change) in enumerate(zip(rows, changes, strict=True)):
        expected = plain_model.logits(hf, [*row.ids, *ids[i][:-1]], change)
        length = len(row.ids)
        assert (prompts[i] - expected[:length]).abs().max() <= TOLERANCE
        row_logits = generated[i, : len(ids[i])]
        assert (row_logits - expected[length - 1 :]).abs().max() <= TOLERANCE
