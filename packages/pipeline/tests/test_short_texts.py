"""Texts shorter than a context: dropped, padded or packed; numbers of the datasets are recomputed independently."""

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_dataset import read
from memicos_dataset.checks import rows as checks
from memicos_dataset.manifest import Manifest
from memicos_dataset.read import read_manifest, verify
from memicos_pipeline.config import ConfigError
from memicos_pipeline.corpus.contexts import PADDING, cut_contexts
from memicos_pipeline.corpus.texts import CorpusError, Document
from memicos_pipeline.generate import generate
from memicos_testing.models.short_texts import (
    BOS,
    EOS,
    SIZE,
    contexts_by_collection,
    encoded_texts,
    expected_contexts,
    short_texts_config,
)  # fmt: skip
from memicos_testing.models.small_model import small_model, small_sae, without_eos, write_extras
from memicos_testing.models.tiny_generate import tiny_config
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

SOURCE, WIDTH = "1-res", 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    small_model(folder / "model")
    write_extras(small_sae(folder / "saes" / SOURCE, 1, WIDTH, seed=1), [0], None)
    return folder


def check_dataset(folder: Path, manifest: Manifest) -> np.ndarray:
    """The importer's rules hold; returns the lengths of the contexts."""
    verify(folder, manifest)
    checks.check_manifest(folder, manifest)
    documents, vocabulary = checks.DocumentCheck(manifest), checks.VocabularyCheck()
    for batch in read.document_batches(folder, manifest):
        documents.check(batch)
    for batch in read.vocabulary_batches(folder, manifest):
        vocabulary.check(batch)
    contexts = checks.ContextCheck(manifest, documents.numbers, vocabulary.token_ids)
    for batch in read.context_batches(folder, manifest):
        contexts.check(batch)
    (source,) = manifest.source_set.sources
    for batch in read.feature_batches(folder, source):
        checks.FeatureCheck(source, contexts.lengths, vocabulary.token_ids).check(batch)
    return contexts.lengths


@pytest.mark.parametrize("short_texts", ["pad", "pack"])
def test_a_dataset_of_short_texts(folder: Path, short_texts: str) -> None:
    expected = expected_contexts(encoded_texts(folder), short_texts)
    config = short_texts_config(folder, SOURCE, short_texts, contexts_by_collection(expected))
    generate(config, lambda line: None)
    manifest = read_manifest(config.out)
    lengths = check_dataset(config.out, manifest)
    rows = [row for batch in read.contexts(config.out, manifest) for row in batch.to_pylist()]
    assert [(row["document"], row["token_ids"]) for row in rows] == [(n, [BOS, *ids]) for n, ids in expected]
    assert (lengths.min() < SIZE) == (short_texts == "pad")
    assert manifest.corpus.tokens == sum(len(ids) for _, ids in expected)
    assert any(EOS in ids for _, ids in expected) == (short_texts == "pack")

    # every context by itself, so that nothing after its end takes part
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    sae = {k: v.numpy() for k, v in load_file(folder / "saes" / SOURCE / "sae_weights.safetensors").items()}
    values, norms = [], []
    for _, ids in expected:
        with torch.inference_mode():
            state = model(torch.tensor([[BOS, *ids]]), output_hidden_states=True).hidden_states[2][0, 1:].numpy()
        before = state @ sae["W_enc"] + sae["b_enc"]
        values.append(np.maximum(before, 0) * (before > sae["threshold"]))
        norms.append(np.linalg.norm(state.astype(np.float64), axis=1))
    counted = sum(len(ids) for _, ids in expected)
    (source,) = manifest.source_set.sources
    assert source.counted_tokens == counted
    assert source.residual_norm == pytest.approx(np.sort(np.concatenate(norms))[(counted - 1) // 2], rel=1e-4)
    flat = np.concatenate(values)
    features = [row for batch in read.features(config.out, source) for row in batch.to_pylist()]
    assert sum(row["active_tokens"] for row in features) > 100
    for row in features:
        own = flat[:, row["index"]]
        assert row["active_tokens"] == (own > 0).sum()
        assert row["density"] == pytest.approx((own > 0).mean(), rel=1e-3)
        assert row["max_activation"] == pytest.approx(own.max(), rel=1e-3)
        examples = zip(row["example_contexts"], row["value_positions"], row["values"], strict=True)
        for context, positions, example_values in examples:
            dense = np.zeros(lengths[context])
            dense[positions] = example_values
            assert np.allclose(dense[1:], values[context][:, row["index"]], rtol=1e-3, atol=1e-3)


def test_short_texts_are_dropped_by_default(folder: Path) -> None:
    texts = encoded_texts(folder)
    whole = [sum(len(ids) // (SIZE - 1) for ids in texts[collection::2]) for collection in (0, 1)]
    assert tiny_config(folder, [SOURCE], SIZE, 1).corpus.short_texts == "drop"
    config = short_texts_config(folder, SOURCE, "drop", (whole[0] + 1, whole[1]))
    message = f'book: has {whole[0]} windows of 15 tokens, fewer than contexts = {whole[0] + 1}; `short_texts = "pad"`'
    with pytest.raises(CorpusError, match=message):
        generate(config, lambda line: None)


def test_packing_needs_an_end_of_text_token(folder: Path, tmp_path: Path) -> None:
    config = short_texts_config(folder, SOURCE, "pack", (1, 1))
    config.model.folder = str(without_eos(folder / "model", tmp_path))
    with pytest.raises(ConfigError, match='"pack" needs an end-of-text token'):
        generate(config, lambda line: None)


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """16 MiB of text, of which 1,000 windows are drawn, take less than 4 MiB."""
    generator = random.Random(0)

    def documents() -> Iterator[Document]:
        for number in range(256):
            yield Document(f"{number}", "c", generator.randbytes(1 << 16).decode("latin-1"))

    tracemalloc.start()
    try:
        cut = cut_contexts(documents(), lambda text: list(text.encode("latin-1")), 1, 128, {"c": 1000}, folder=tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert cut.token_ids.shape == (1000, 128) and len({row.tobytes() for row in cut.token_ids}) == 1000
    assert set(cut.names) == set(cut.documents.tolist()) and np.all(np.diff(cut.documents) >= 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bos", [None, 1])
def test_windows(bos: int | None) -> None:
    documents = [Document("t", "c", text) for text in ("abc", "d", "abc", "efghi", "")]

    def rows(short_texts: Any, count: int, separator: int | None = 0) -> list[tuple[int, list[int]]]:
        cut = cut_contexts(
            documents, lambda text: [ord(letter) for letter in text], bos, 2 + (bos is not None), {"c": count}, 0,
            short_texts, separator,
        )  # fmt: skip
        return list(zip(cut.documents.tolist(), cut.token_ids[:, int(bos is not None) :].tolist(), strict=True))

    a, b, c, d, e, f, g, h, i = range(ord("a"), ord("j"))
    assert rows("drop", 3) == [(0, [a, b]), (3, [e, f]), (3, [g, h])]
    # a repeated window is left out, a short one too
    assert rows("pad", 6) == [
        (0, [a, b]), (0, [c, PADDING]), (1, [d, PADDING]), (3, [e, f]), (3, [g, h]), (3, [i, PADDING]),
    ]  # fmt: skip
    # the empty text adds no separator, and what does not fill the last window is left out
    assert rows("pack", 5) == [(0, [a, b]), (0, [c, 0]), (1, [d, 0]), (3, [e, f]), (3, [g, h])]
    assert rows("pack", 5, None) == [(0, [a, b]), (0, [c, d]), (2, [c, e]), (3, [f, g]), (3, [h, i])]
