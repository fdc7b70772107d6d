"""Contexts -> sparse activations of every source, in files that a second run can continue.

Per source, in the work folder: `counts.u16` (active features of each token), `indices.i32` and `values.f32` (the
features and their activations, tokens in corpus order), `counted.u8` (1 where the token counts). Values of tokens
that do not count are not stored.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from memicos_engine.capture.capture import capture
from memicos_engine.capture.positions import counted_positions
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source
from scipy import sparse

FILES = {"counts.u16": np.uint16, "indices.i32": np.int32, "values.f32": np.float32, "counted.u8": np.uint8}


@dataclass(frozen=True)
class Activations:
    """`matrix` (tokens, F) float32 CSR over all positions of all contexts; `counted` (tokens,) bool."""

    matrix: sparse.csr_matrix
    counted: np.ndarray


def _progress(work: Path) -> dict[str, int]:
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
    """Run all contexts (N, T) through the model once and store what each source finds in them.

    Progress is recorded after each batch; a killed run goes on behind its last recorded one.
    """
    done = _progress(work)
    start, begun = done["contexts"], time.monotonic()
    for source in sources:
        _cut_back(work / source.id, done)
    for first in range(start, len(token_ids), batch):
        ids = torch.from_numpy(token_ids[first : first + batch].astype(np.int64)).to(model.device)
        hidden = capture(model, ids, None, [source.hook_name for source in sources])
        for source in sources:
            counted = counted_positions(hidden[source.hook_name], source.recipe, model.bos_token_id is not None)
            _append(work / source.id, source, hidden[source.hook_name], counted.flatten(), done)
        done["contexts"] = min(first + batch, len(token_ids))
        (work / "progress.json.new").write_text(json.dumps(done))
        (work / "progress.json.new").rename(work / "progress.json")
        if (first // batch) % 20 == 0:
            speed = (done["contexts"] - start) * token_ids.shape[1] / (time.monotonic() - begun)
            report(f"{done['contexts']} of {len(token_ids)} contexts, {speed:.0f} tokens/s")


def _cut_back(folder: Path, done: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        path = folder / name
        path.touch()
        with path.open("r+b") as file:
            file.truncate(done.get(f"{folder.name}/{name}", 0))


@torch.inference_mode()
def _append(folder: Path, source: Source, hidden: torch.Tensor, counted: torch.Tensor, done: dict[str, int]) -> None:
    features = source.encode(hidden.flatten(0, 1)) * counted[:, None]
    tokens, indices = features.nonzero(as_tuple=True)
    arrays = {
        "counts.u16": torch.bincount(tokens, minlength=len(features)),
        "indices.i32": indices,
        "values.f32": features[tokens, indices],
        "counted.u8": counted,
    }
    for name, kind in FILES.items():
        with (folder / name).open("ab") as file:
            file.write(arrays[name].cpu().numpy().astype(kind).tobytes())
            done[f"{folder.name}/{name}"] = file.tell()


def read_activations(folder: Path, features: int) -> Activations:
    """What `harvest` stored for one source of `features` features."""
    counts, indices, values, counted = (np.fromfile(folder / name, dtype=kind) for name, kind in FILES.items())
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    matrix = sparse.csr_matrix((values, indices, offsets), shape=(len(counts), features))
    return Activations(matrix, counted.astype(bool))
