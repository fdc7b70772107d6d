"""Contexts in the work folder, from which every worker reads them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from memicos_pipeline.corpus.contexts import Contexts, DocumentName

_TOKEN_IDS, _DOCUMENTS, _NAMES = "context-token-ids.npy", "context-documents.npy", "context-names.json"


def store_contexts(folder: Path, contexts: Contexts) -> None:
    """Write `contexts` into `folder`, in place of those of an earlier run."""
    names = {number: [name.title, name.collection] for number, name in contexts.names.items()}
    _write(folder / _TOKEN_IDS, lambda file: np.save(file, contexts.token_ids))
    _write(folder / _DOCUMENTS, lambda file: np.save(file, contexts.documents))
    _write(folder / _NAMES, lambda file: file.write(json.dumps(names).encode()))


def read_contexts(folder: Path) -> Contexts:
    """The contexts that `store_contexts` wrote; token ids stay in the file."""
    names = json.loads((folder / _NAMES).read_bytes())
    return Contexts(
        np.load(folder / _TOKEN_IDS, mmap_mode="r"),
        np.load(folder / _DOCUMENTS),
        {int(number): DocumentName(*name) for number, name in names.items()},
    )


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        write(file)
    partial.replace(path)
