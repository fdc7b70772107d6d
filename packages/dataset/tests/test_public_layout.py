"""The public layout and SAEDashboard's output are read in full, and bad rows are named."""

import gzip
import json
import random
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from memicos_dataset import read
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.inspect import faults
from memicos_dataset.conversion.native import to_native
from memicos_dataset.errors import DatasetError, LineError
from memicos_dataset.folder import Folder
from memicos_dataset.hash_numbers import HashNumbers
from memicos_dataset.manifest import Manifest
from memicos_dataset.public_layout import saedashboard
from memicos_dataset.public_layout.files import source_folders
from memicos_dataset.public_layout.lines import LINE_BYTES, lines, parse

Row = dict[str, Any]
SOURCE = "3-res__v2"
TOKENS = ["<bos>", "The", " whale", "<0xE2>", "\0"]


def quiet(line: str) -> None:
    pass


def write_lines(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def feature(index: int | str, **fields: Any) -> Row:
    return {
        "modelId": "m",
        "layer": SOURCE,
        "index": index,
        "frac_nonzero": 0.25,
        "maxActApprox": 4.0,
        "freq_hist_data_bar_heights": [1, 2.0],
        "freq_hist_data_bar_values": [1.0, 3.0],
        "pos_str": [" whale", "new"],
        "pos_values": [0.5, 0.25],
        **fields,
    }


def activation(index: int | str, values: list[float], tokens: list[str] = TOKENS, **fields: Any) -> Row:
    return {"modelId": "m", "layer": SOURCE, "index": index, "tokens": tokens, "values": values, **fields}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Features and activations whose batches do not cover the same features, in files of numeric order."""
    folder = tmp_path / "v1" / "m" / SOURCE
    (folder / "activations" / "old").mkdir(parents=True)
    write_lines(folder / "source.jsonl", [{"num_prompts": 10, "num_tokens_in_prompt": 4, "dataset": "owner/texts"}])
    # text order, as exports from a database have it
    write_lines(folder / "features" / "batch-0.jsonl.gz", [feature("0"), feature("10", novel={"a": 1})])
    write_lines(
        folder / "features" / "batch-2.jsonl.gz", [feature(2, vector=[1, 2.5], hookName="blocks.3.hook_mlp_out")]
    )
    write_lines(
        folder / "features" / "batch-10.jsonl", [feature(3, topkCosSimIndices=[3, 700], topkCosSimValues=[1, 0.5])]
    )
    top = {"binMin": -1, "binMax": 4.0, "binContains": -1}
    write_lines(
        folder / "activations" / "batch-2.jsonl.gz",
        [
            activation("10", [0, 0, 4, 0, 1.5], dataSource="book", dfaValues=[1, 2, 3, 4, 5], dfaTargetIndex=2, **top),
            activation(2, [0, 0, 1, 0, 0], ["other"] * 5, binMin=0, binMax=2, binContains=0.75),
        ],
    )
    write_lines(
        folder / "activations" / "batch-10.jsonl.gz",
        [
            activation(2, [0, 0, 3, 0, 0], binMin=2, binMax=4, binContains=0.25, qualifyingTokenIndex=1),
            activation(2, [0, 0, 4, 0, 0]),
        ],
    )
    write_lines(folder / "activations" / "batch-1.jsonl.gz", [activation(0, [0, 2, 0], ["a", "b", "c"])])
    embedding = [i / 256 for i in range(256)]
    write_lines(
        folder / "explanations" / "batch-0.jsonl.gz",
        [
            {
                "index": "2",
                "description": "whales",
                "embedding": json.dumps(embedding),
                "typeName": "oai_token-act-pair",
            },
            {"index": 10, "description": "ships", "embedding": embedding, "explanationModelName": "gpt", "umap_x": 1.0},
            {"index": 10, "description": "boats"},
        ],
    )
    return folder


def converted(source: Path, **options: Any) -> tuple[Path, Manifest]:
    out = source.parents[2] / "native"
    return out, to_native(source, out, Options(**options), quiet)


def test_a_source_is_read_in_full(source: Path) -> None:
    out, manifest = converted(source)
    assert list(faults(Folder.of(out), Options())) == []
    (entry,) = manifest.source_set.sources
    assert (entry.id, entry.layer, manifest.source_set.id, manifest.model.id) == (SOURCE, 3, "res", "m")
    assert (entry.counted_tokens, entry.d_sae, entry.d_in) == (40, 701, 2)
    assert manifest.corpus.collections[0].url == "https://huggingface.co/datasets/owner/texts"
    assert manifest.corpus.token_ids == "dataset"
    rows = {row["index"]: row for batch in read.features(out, entry) for row in batch.to_pylist()}
    assert list(rows) == [0, 2, 3, 10]
    strings = {row["token_id"]: row["token"] for batch in read.vocabulary(out, manifest) for row in batch.to_pylist()}
    contexts = [row["token_ids"] for batch in read.contexts(out, manifest) for row in batch.to_pylist()]
    # the same tokens are one context, whatever feature and file they are of
    assert [[strings[i] for i in row] for row in contexts] == [["a", "b", "c"], TOKENS, ["other"] * 5]

    two = rows[2]
    assert two["example_groups"] == [0, 1, 2] and two["quantile_shares"] == [0.75, 0.25]
    assert two["quantile_minima"] == two["quantile_maxima"] == []  # they divide (0, 4] equally
    assert two["example_contexts"] == [1, 2, 1] and two["example_positions"] == [2, 2, 1]
    assert two["value_positions"] == [[2], [2], [2]] and two["values"] == [[4], [1], [3]]
    assert two["decoder_vector"] == [1, 2.5] and two["steering_hook"] == "blocks.3.hook_mlp_out"
    ten = rows[10]
    assert ten["active_tokens"] == 10 and ten["activation_histogram"] == [1, 2]
    assert ten["values"] == [[4, 1.5]] and ten["value_positions"] == [[2, 4]]
    assert ten["example_dfa_values"] == [[1, 2, 3, 4, 5]] and ten["example_dfa_positions"] == [2]
    # fields that no column has are kept
    assert json.loads(ten["extra"]) == {"novel": {"a": 1}}
    assert json.loads(ten["example_extra"][0]) == {"dataSource": "book"}
    assert [strings[i] for i in ten["positive_token_ids"]] == [" whale", "new"]
    # a feature is no neighbour of itself
    assert rows[3]["neighbour_indices"] == [700] and rows[3]["example_groups"] == []

    explanations = [row for batch in read.explanations(out, entry) for row in batch.to_pylist()]
    assert [row["description"] for row in explanations] == ["whales", "ships", "boats"]
    assert explanations[0]["embedding"] == explanations[1]["embedding"] and len(explanations[0]["embedding"]) == 256
    assert [row["method"] for row in explanations] == ["oai_token-act-pair", "unknown", "unknown"]
    assert json.loads(explanations[1]["extra"]) == {"umap_x": 1.0}


def test_batches_come_in_the_order_of_their_numbers(source: Path) -> None:
    (folder,) = source_folders(Folder.of(source.parent))
    assert [batch.path for batch in folder.batches if batch.kind == "features"] == [
        "features/batch-0.jsonl.gz",
        "features/batch-2.jsonl.gz",
        "features/batch-10.jsonl",
    ]
    (source / "features" / "batch-2.jsonl").touch()
    with pytest.raises(DatasetError, match=r"batch-2.jsonl.*keep one"):
        source_folders(Folder.of(source))


def test_missing_batches_are_a_fault(source: Path) -> None:
    messages = [str(fault) for fault in faults(Folder.of(source), Options())]
    assert len(messages) == 2 and "features: lacks 8 files below the last one: batch-1, batch-3" in messages[0]
    assert "activations: lacks 8 files" in messages[1]


BAD_ROWS: list[tuple[str, Row | str, str]] = [
    ("features", feature("x"), "column index: 'x' is no index"),
    ("features", feature(-1), "column index: -1 is no index"),
    ("features", feature(True), "column index: True is no index"),
    ("features", feature(5, layer="4-res"), "column layer: '4-res' is another source"),
    ("features", feature(5, frac_nonzero=2), "column frac_nonzero: 2.0 is no share"),
    ("features", feature(5, pos_values=[1]), "column pos_values: has 1 entries, and pos_str has 2"),
    ("features", feature(5, pos_str=["a", 1]), "column pos_str: .* is no list of strings"),
    ("features", feature(5, vector=[1, None]), "column vector: has an entry that is no number"),
    ("features", feature(5, neg_values=[float("nan")], neg_str=["a"]), "column neg_values: .* no finite number"),
    ("features", feature(5, topkCosSimIndices=[1.5], topkCosSimValues=[1]), "column topkCosSimIndices: .*whole number"),
    ("features", feature(5, novel=[1e999, 2**64]), "has a field that cannot be stored .*64-bit"),
    ("features", feature(2), "column index: feature 2 occurs again"),
    ("features", "{", "is not a JSON object"),
    ("features", "[]", "is not a JSON object"),
    ("activations", activation(2, [1.0]), "column values: has 1 entries, and tokens has 5"),
    ("activations", activation(2, [0, 0, float("nan"), 0, 0]), "column values: .*no finite number"),
    ("activations", activation(2, [0, 0, 1e39, 0, 0]), "column values: .*no finite number"),
    ("activations", activation(2, [0, 0, "1", 0, 0]), "column values: has an entry that is no number"),  # pyright: ignore
    ("activations", activation(2, [], []), r"column tokens: \[\] is no list"),
    ("activations", activation(2, [1, 2], ["a", None]), "column tokens: .*no list of strings"),  # pyright: ignore
    ("activations", activation(2, [1], ["\ud800"]), "column tokens: has half of a surrogate pair"),
    ("activations", activation(2, [1] * 5, qualifyingTokenIndex=5), "column qualifyingTokenIndex: 5 is no position"),
    ("activations", activation(2, [1] * 5, binMin=3, binMax=1), "column binMax: 1.0 is below"),
    ("activations", activation(2, [1] * 5, dfaValues=[1]), "column dfaValues: has 1 entries"),
    ("activations", activation(2, [1] * 5, dfaValues=[1] * 5, dfaTargetIndex=5), "dfaTargetIndex: 5 is no position"),
    ("activations", activation(2, [1] * 5, dataSource="\ud800"), "has a field that cannot be stored .*surrogates"),
    ("activations", activation(2, [1] * 5, tokenIds=[1] * 5), "column tokenIds: some rows of the set have"),
    ("activations", activation(9, [1] * 5), "column index: feature 9 is not among the features"),
    ("explanations", {"index": 2, "description": " "}, "column description: is empty"),
    ("explanations", {"index": 2, "description": "d", "embedding": "x"}, "column embedding: .*no list of numbers"),
    ("explanations", {"index": 9, "description": "d"}, "column index: feature 9 is not in the files"),
]


@pytest.mark.parametrize("kind", ["features", "activations", "explanations"])
def test_every_bad_row_is_named_with_its_line(source: Path, kind: str) -> None:
    path = source / kind / "batch-90.jsonl.gz"
    bad = [(row, message) for own, row, message in BAD_ROWS if own == kind]
    content = [row if isinstance(row, str) else json.dumps(row) for row, _ in bad]
    path.write_bytes(gzip.compress("\n\n".join(content).encode()))
    messages = [str(fault) for fault in faults(Folder.of(source), Options()) if str(path) in str(fault)]
    assert len(messages) == len(bad)
    for number, (_, message) in enumerate(bad):
        (own,) = [text for text in messages if re.search(rf": line {2 * number + 1}[,:]", text)]
        assert re.search(message, own), own


@pytest.mark.parametrize("kind", ["features", "activations", "explanations"])
def test_a_bad_row_is_refused_or_left_out(source: Path, kind: str) -> None:
    path = source / kind / "batch-90.jsonl.gz"
    _, row, message = next(bad for bad in BAD_ROWS if bad[0] == kind)
    good = {
        "features": feature(90),
        "activations": activation(3, [1] * 5),
        "explanations": {"index": 2, "description": "g"},
    }
    path.write_bytes(gzip.compress(f"{json.dumps(good[kind])}\n\n{json.dumps(row)}\n".encode()))
    with pytest.raises(LineError, match=message) as refused:
        converted(source)
    assert refused.value.path == path and refused.value.line == 3
    out, manifest = converted(source, skip_rows=1)
    (entry,) = manifest.source_set.sources
    assert entry.features[0].rows == (5 if kind == "features" else 4)
    assert entry.explanations is not None and entry.explanations.rows == (4 if kind == "explanations" else 3)
    assert list(faults(Folder.of(out), Options())) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-20], r"batch-2.jsonl.gz: cannot be read after line"),
        (lambda content: content[:40] + b"\0" * 9 + content[49:], r"batch-2.jsonl.gz: cannot be read after line"),
        (lambda content: b"no gzip at all", r"batch-2.jsonl.gz: cannot be read after line 0"),
    ],
)
def test_a_damaged_file_is_named(source: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    path = source / "activations" / "batch-2.jsonl.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=message):
        converted(source)


def test_a_line_has_a_largest_length(tmp_path: Path) -> None:
    path = tmp_path / "batch-0.jsonl.gz"
    # a thousand times smaller when it is compressed
    path.write_bytes(gzip.compress(b"{}\n" + b" " * (20 << 20)))
    read_lines = lines(Folder.of(tmp_path), path.name, longest=1 << 20)
    assert next(read_lines) == (1, b"{}")
    with pytest.raises(DatasetError, match="line 2 is longer than 1048576 bytes"):
        next(read_lines)


def test_the_longest_line_needs_bounded_memory() -> None:
    # the costliest JSON is of empty lists: two characters and a comma for an object of 56 bytes and its place in a list
    line = b'{"a":[' + b"[]," * 50_000 + b"[]]}"
    tracemalloc.start()
    try:
        assert len(parse(line)["a"]) == 50_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / len(line) * LINE_BYTES < 300 << 20


def test_files_of_several_gzip_members_are_read_to_their_end(tmp_path: Path) -> None:
    (tmp_path / "batch-0.jsonl.gz").write_bytes(gzip.compress(b'{"a":1}\n{"b"') + gzip.compress(b":2}"))
    assert list(lines(Folder.of(tmp_path), "batch-0.jsonl.gz")) == [(1, b'{"a":1}'), (2, b'{"b":2}')]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "nonsense"}, "'nonsense' is no id of a source"),
        ({"id": "4-mlp", "setName": "res"}, "does not belong to set 'res'"),
    ],
)
def test_metadata_that_says_too_little_is_refused(source: Path, row: Row, message: str) -> None:
    write_lines(source / "source.jsonl", [row])
    with pytest.raises(DatasetError, match=message):
        converted(source)


def test_texts_without_an_address_have_none(source: Path) -> None:
    write_lines(source / "source.jsonl", [{"dataset": "texts"}])
    (collection,) = converted(source)[1].corpus.collections
    assert (collection.name, collection.url) == ("texts", None)


def test_tokens_that_densities_are_shares_of_are_found_in_a_histogram(source: Path) -> None:
    write_lines(source / "source.jsonl", [{"dataset": "owner/texts"}])
    assert converted(source)[1].source_set.sources[0].counted_tokens == 12
    for path in (source / "features").iterdir():
        path.unlink()
    write_lines(
        source / "features" / "batch-0.jsonl.gz", [feature(i, freq_hist_data_bar_heights=None) for i in (0, 2, 10)]
    )
    with pytest.raises(DatasetError, match="--counted-tokens N"):
        converted(source, replace=True)


def dashboard_file(numbers: list[int]) -> Row:
    example = {"bin_min": 0.5, "bin_max": 2.0, "bin_contains": 0.5, "tokens": ["a", "b"], "values": [0, 2.0]}
    features = [
        {
            "feature_index": index,
            "frac_nonzero": 0.5,
            "freq_hist_data_bar_heights": [3],
            "freq_hist_data_bar_values": [1.0],
            "n_prompts_total": 4,
            "n_tokens_in_prompt": 5,
            "dataset": "owner/texts",
            "activations": [
                {**example, "bin_min": -1, "bin_contains": -1, "qualifying_token_index": 1, "loss_values": [0.5, 0.25]},
                {**example, "dfa_values": [1, 2], "dfa_targetIndex": 1},
            ],
        }
        for index in numbers
    ]
    return {"model_id": "m", "layer": 7, "sae_set": "res", "sae_id_suffix": "big", "features": features}


def test_the_output_of_saedashboard_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "anything"
    folder.mkdir()
    for number, indices in ((0, [0, 1]), (10, [10]), (2, [4])):
        (folder / f"batch-{number}.json").write_text(json.dumps(dashboard_file(indices)))
    (folder / "run_settings.json").write_text("{}")
    manifest = to_native(folder, tmp_path / "native", Options(), quiet)
    (source,) = manifest.source_set.sources
    assert (manifest.model.id, source.id, source.counted_tokens) == ("m", "7-res__big", 20)
    rows = [row for batch in read.features(tmp_path / "native", source) for row in batch.to_pylist()]
    assert [row["index"] for row in rows] == [0, 1, 4, 10]
    for row in rows:
        assert row["example_groups"] == [0, 1] and row["quantile_shares"] == [0.5]
        assert (row["quantile_minima"], row["quantile_maxima"]) == ([0.5], [2])
        assert row["active_tokens"] == 10 and row["max_activation"] == 2
        assert row["example_dfa_positions"] == [-1, 1]
        assert json.loads(row["example_extra"][0]) == {"lossValues": [0.5, 0.25]}
    assert manifest.corpus.contexts == 1
    assert list(faults(Folder.of(tmp_path / "native"), Options())) == []


def test_features_without_an_example_of_an_interval_are_read(tmp_path: Path) -> None:
    content = dashboard_file([3, 5])
    for feature in content["features"]:
        feature["activations"] = feature["activations"][:1]
    (tmp_path / "batch-0.json").write_text(json.dumps(content))
    manifest = to_native(tmp_path, tmp_path / "native", Options(), quiet)
    (source,) = manifest.source_set.sources
    rows = [row for batch in read.features(tmp_path / "native", source) for row in batch.to_pylist()]
    assert [(row["index"], row["example_groups"], row["quantile_shares"]) for row in rows] == [
        (3, [0], []),
        (5, [0], []),
    ]


def test_a_bad_activation_of_saedashboard_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = dashboard_file([0, 1])
    content["features"][1]["activations"][0]["values"] = [1]
    (tmp_path / "batch-0.json").write_text(json.dumps(content))
    with pytest.raises(LineError, match=r"feature 2, column activations.0.values: has 1 entries"):
        to_native(tmp_path, tmp_path / "native", Options(), quiet)
    monkeypatch.setattr(saedashboard, "FILE_BYTES", 100)
    with pytest.raises(DatasetError, match="is larger than 100 bytes"):
        to_native(tmp_path, tmp_path / "native", Options(), quiet)


def test_numbers_of_contexts_are_those_of_a_dictionary() -> None:
    rng = random.Random(0)
    numbers, expected = HashNumbers(), dict[bytes, int]()
    for _ in range(200):
        # hashes that end with zero bytes, which arrays of bytes cut off
        digests = [rng.randrange(2000).to_bytes(4, "big") + bytes(12) for _ in range(rng.randrange(1, 40))]
        new = []
        for place, digest in enumerate(digests):
            if digest not in expected:
                expected[digest] = len(expected)
                new.append(place)
        result, added = numbers.find_or_add(digests)
        assert result.tolist() == [expected[digest] for digest in digests] and added == new
    assert numbers.count == len(expected) > 1000
