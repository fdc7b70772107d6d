"""Token strings of the demo's dataset, against the tokenizer's own decoding of whole contexts."""

import re
from pathlib import Path

import pyarrow.parquet as pq
from memicos_dataset.token_text import context_strings
from memicos_engine.model.language_model import LanguageModel

DATASET = Path(__file__).parents[4] / "demo" / "dataset"


def test_contexts_of_the_demo_read_as_the_tokenizer_decodes_them(demo: LanguageModel) -> None:
    rows = pq.read_table(DATASET / "corpus" / "vocabulary.parquet").to_pylist()
    vocabulary = {row["token_id"]: row["token"] for row in rows}
    assert [row["token"] for row in rows] == demo.single_token_strings([row["token_id"] for row in rows])
    assert not any("\ufffd" in token for token in vocabulary.values())
    parts = {token for token, string in vocabulary.items() if re.search("<0x[89A-F]", string)}
    contexts = pq.read_table(DATASET / "corpus" / "contexts-00000.parquet").column("token_ids").to_pylist()
    with_parts = [ids for ids in contexts if parts & set(ids)]
    assert len(with_parts) > 50
    for ids in [*with_parts, *contexts[:50]]:
        strings, decoded = context_strings([vocabulary[token] for token in ids]), demo.decode(ids)
        if "\ufffd" not in decoded:  # no character is cut by the end of the window
            assert "".join(strings) == decoded and strings == demo.token_strings(ids)


def test_labels_of_the_demo_have_no_replacement_characters() -> None:
    for source in ("7-res-4k", "15-res-4k", "23-res-4k"):
        texts = pq.read_table(DATASET / source / "explanations.parquet").column("description").to_pylist()
        assert len(texts) > 4000 and not any("\ufffd" in text for text in texts)
