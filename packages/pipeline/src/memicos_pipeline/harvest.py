"""Sparse activations of every source on the contexts, written to files that a later run can continue.

Each source has a folder in the work folder, with flat arrays in corpus order: `counts.u32` (number of active features
of each token), `indices.i32` and `values.f32` (these features and their activations), `counted.u8` (1 where the token
counts). Activations of tokens that do not count are not stored.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from memicos_engine.capture.capture import capture
from memicos_engine.capture.positions import included_positions, recipe_has_bos
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source
from scipy import sparse

from memicos_pipeline.corpus import PADDING

FORMAT_VERSION = 2
"""Version of the files' format; it is part of the work folder's name, so that no run continues files of another."""
FILES = {"counts.u32": np.uint32, "indices.i32": np.int32, "values.f32": np.float32, "counted.u8": np.uint8}


@dataclass(frozen=True)
class Activations:
    """`matrix` (tokens, F) float32 CSR over all positions of all contexts; `counted` (tokens,) bool."""

    matrix: sparse.csr_matrix
    counted: np.ndarray


def _read_progress(work: Path) -> dict[str, int]:
    """The number of contexts that are stored, and the length of each file in bytes up to them."""
    path = work / "progress.json"
    return json.loads(path.read_text()) if path.exists() else {"contexts": 0}


def harvest(
    model: LanguageModel,
    sources: Sequence[Source],
    token_ids: np.ndarray,
    work: Path,
    report: Callable[[str], None],
    batch: int = 8,
) -> None:
    """Run all contexts (N, T) through the model once and store each source's activations.

    PADDING does not count.
    Progress is recorded after each batch; after an interruption the next run continues after the last recorded one.
    """
    progress = _read_progress(work)
    start, started_at = progress["contexts"], time.monotonic()
    for source in sources:
        _truncate(work / source.id, progress)
    for first in range(start, len(token_ids), batch):
        ids, real = padded_batch(token_ids[first : first + batch], model.device)
        mask = None if real.all() else real.long()
        hidden = capture(model, ids, mask, [source.hook_name for source in sources])
        for source in sources:
            has_bos = recipe_has_bos(source.recipe, model.bos_token_id)
            counted = included_positions(hidden[source.hook_name], source.recipe, has_bos) & real
            _append(work / source.id, source, hidden[source.hook_name], counted.flatten(), progress)
        progress["contexts"] = min(first + batch, len(token_ids))
        (work / "progress.json.new").write_text(json.dumps(progress))
        (work / "progress.json.new").rename(work / "progress.json")
        if (first // batch) % 20 == 0:
            speed = (progress["contexts"] - start) * token_ids.shape[1] / (time.monotonic() - started_at)
            report(f"{progress['contexts']} of {len(token_ids)} contexts, {speed:.0f} tokens/s")


def padded_batch(token_ids: np.ndarray, device: str | torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T) that the model can run, and whether each is a token of the context rather than PADDING (B, T)."""
    ids = torch.from_numpy(token_ids.astype(np.int64)).to(device)
    return ids.clamp(min=0), ids != PADDING


def _truncate(folder: Path, progress: dict[str, int]) -> None:
    """Cut a source's files back to their recorded lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        path = folder / name
        path.touch()
        with path.open("r+b") as file:
            file.truncate(progress.get(f"{folder.name}/{name}", 0))


@torch.inference_mode()
def _append(
    folder: Path, source: Source, hidden: torch.Tensor, counted: torch.Tensor, progress: dict[str, int]
) -> None:
    features = source.encode(hidden.flatten(0, 1)) * counted[:, None]
    tokens, indices = features.nonzero(as_tuple=True)
    arrays = {
        "counts.u32": torch.bincount(tokens, minlength=len(features)),
        "indices.i32": indices,
        "values.f32": features[tokens, indices],
        "counted.u8": counted,
    }
    for name, dtype in FILES.items():
        with (folder / name).open("ab") as file:
            file.write(arrays[name].cpu().numpy().astype(dtype).tobytes())
            progress[f"{folder.name}/{name}"] = file.tell()


def read_activations(folder: Path, features: int) -> Activations:
    """The stored activations of one source with `features` features."""
    counts, indices, values, counted = (np.fromfile(folder / name, dtype=dtype) for name, dtype in FILES.items())
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    matrix = sparse.csr_matrix((values, indices, offsets), shape=(len(counts), features))
    return Activations(matrix, counted.astype(bool))
