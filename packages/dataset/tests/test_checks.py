"""Rules for rows: each broken rule is refused with file, row, column and reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from memicos_dataset import manifest as m
from memicos_dataset import read, schema
from memicos_dataset.checks import rows as checks
from memicos_dataset.errors import DatasetError, RowError
from memicos_dataset.source_ids import check_source_id
from memicos_dataset.write import write_table

Rows = dict[str, list[dict[str, Any]]]

FILES = {
    "documents": ("corpus/documents.parquet", schema.DOCUMENTS),
    "vocabulary": ("corpus/vocabulary.parquet", schema.VOCABULARY),
    "contexts": ("corpus/contexts-00000.parquet", schema.CONTEXTS),
    "more contexts": ("corpus/contexts-00001.parquet", schema.CONTEXTS),
    "features": ("1-res/features-00000.parquet", schema.FEATURES),
    "more features": ("1-res/features-00001.parquet", schema.FEATURES),
    "explanations": ("1-res/explanations.parquet", schema.EXPLANATION_TABLE.with_optional(schema.REQUEST_COLUMNS)),
    "scores": ("1-res/scores.parquet", schema.SCORE_TABLE.known),
}


def feature(index: int) -> dict[str, Any]:
    return {
        "index": index,
        "density": 0.5,
        "active_tokens": 3,
        "max_activation": 4.0,
        "activation_histogram": [1, 2],
        "logit_histogram": [1, 1],
        "logit_min": -1.0,
        "logit_max": 1.0,
        "positive_token_ids": [1],
        "positive_logits": [0.5],
        "negative_token_ids": [2],
        "negative_logits": [-0.5],
        "neighbour_indices": [3 - index],
        "neighbour_cosines": [0.1],
        "correlated_indices": [],
        "correlated_pearson": [],
        "quantile_shares": [0.5, 0.5],
        "example_groups": [0, 2],
        "example_contexts": [1, 0],
        "example_positions": [1, 2],
        "value_positions": [[1], [1, 2]],
        "values": [[4.0], [3.0, 3.5]],
    }


def valid_rows() -> Rows:
    return {
        "documents": [{"document": 0, "title": "t", "collection": "book"}],
        "vocabulary": [{"token_id": i, "token": "abc"[i]} for i in range(3)],
        "contexts": [{"context": 0, "document": 0, "token_ids": [0, 1, 2]}],
        # shorter than the corpus's context size
        "more contexts": [{"context": 1, "document": 0, "token_ids": [0, 1]}],
        "features": [feature(0), feature(1)],
        "more features": [feature(2), feature(3)],
        "explanations": [{"index": 3, "description": "d", "method": "human", "model": None, **request()}],
        "scores": [score()],
    }


def score() -> dict[str, Any]:
    """A score on three texts: BOS left out, two tokens of the first context and one of the second; one has no
    answer."""
    return {
        "explanation": 0,
        "method": "simulation",
        "model": "m",
        "score": 0.5,
        "score_low": -0.5,
        "score_high": 1.0,
        "reason": None,
        "seed": 0,
        "around": 1,
        "text_contexts": [0, 1, 0],
        "text_positions": [1, 1, 2],
        "text_distances": [1, -1, -2],
        "text_answers": [0.5, None, 0.25],
        "text_marked": [[0, 1], [], [1]],
        "text_expected": [[4.5, 0.0], [], [0.25, 0.0]],
        "text_failures": ["", "timeout", ""],
        **request(),
    }


def request() -> dict[str, Any]:
    return {
        "template_version": 1,
        "profile": "openai",
        "parameters": '{"texts": 10, "share": 1e-7, "text": "\\\\u0000", "none": null, "deep": ' + nested(49) + "}",
        "prompt_tokens": 0,
        "completion_tokens": 3,
        "cost": 0.25,
    }


def nested(levels: int) -> str:
    """A value of `parameters` with this number of levels of objects and arrays."""
    return '{"x": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def write(folder: Path, rows: Rows) -> m.Manifest:
    entry = {
        name: write_table(folder, path, pa.Table.from_pylist(rows[name], schema=columns))
        for name, (path, columns) in FILES.items()
    }
    return m.Manifest(
        release=m.Release(id="r", name="R", description="d", creator="c"),
        model=m.Model(id="m", name="M", layers=2, d_model=4, vocabulary_size=3, chat=False, origin="o", license="MIT"),
        source_set=m.SourceSet(id="res", name="Res", description="d", sources=[source(entry)]),
        corpus=m.Corpus(
            id="c",
            description="d",
            contexts=2,
            context_size=3,
            tokens=4,
            collections=[m.Collection(name="book", license="CC0-1.0", url="https://example.org", attribution="a")],
            documents=entry["documents"],
            vocabulary=entry["vocabulary"],
            context_files=[entry["contexts"], entry["more contexts"]],
        ),
    )


def source(entry: dict[str, m.FileEntry]) -> m.Source:
    return m.Source(
        id="1-res",
        layer=1,
        recipe=m.Recipe(
            hook_name="blocks.1.hook_resid_post",
            prepend_bos=True,
            context_size=3,
            ignored_positions=[0],
            norm_cut=None,
            dtype="float32",
            weight_processing="none",
        ),
        architecture="jumprelu",
        d_in=4,
        d_sae=4,
        sae_config={},
        counted_tokens=3,
        dead_features=0,
        logit_effect="none",
        features=[entry["features"], entry["more features"]],
        explanations=entry["explanations"],
        scores=entry["scores"],
    )


def check(folder: Path, manifest: m.Manifest) -> None:
    """Run all checks with one row per batch, so that row numbers are counted over batches."""
    checks.check_manifest(folder, manifest)
    documents, vocabulary = checks.DocumentCheck(manifest), checks.VocabularyCheck()
    for batch in read.document_batches(folder, manifest, 1):
        documents.check(batch)
    for batch in read.vocabulary_batches(folder, manifest, 1):
        vocabulary.check(batch)
    contexts = checks.ContextCheck(manifest, documents.numbers, vocabulary.token_ids)
    for batch in read.context_batches(folder, manifest, 1):
        contexts.check(batch)
    assert contexts.lengths.tolist() == [3, 2]
    (source_entry,) = manifest.source_set.sources
    features = checks.FeatureCheck(source_entry, contexts.lengths, vocabulary.token_ids)
    for batch in read.feature_batches(folder, source_entry, 1):
        features.check(batch)
    for batch in read.explanation_batches(folder, source_entry, 1):
        checks.check_explanations(batch, features.indices)
    for batch in read.score_batches(folder, source_entry, 1):
        checks.check_scores(batch, source_entry, contexts.lengths)


def test_a_whole_dataset_passes(tmp_path: Path) -> None:
    check(tmp_path, write(tmp_path, valid_rows()))


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "row", "changes", "column", "problem"),
    [
        ("documents", 0, {"collection": "film"}, "collection", "'film' is not a collection of the manifest's corpus"),
        ("vocabulary", 2, {"token_id": 1}, "token_id", "1 occurs twice"),
        ("contexts", 0, {"context": 1}, "context", "1 occurs twice, so another number is missing"),
        ("contexts", 0, {"context": 2}, "context", "2 is not a number from 0 to 1"),
        ("contexts", 0, {"context": -1}, "context", "-1 is not a number"),
        ("contexts", 0, {"document": 7}, "document", "7 is not among the documents"),
        ("contexts", 0, {"token_ids": []}, "token_ids", "has 0 tokens, not 1 to 3"),
        ("contexts", 0, {"token_ids": [0, 1, 2, 0]}, "token_ids", "has 4 tokens"),
        ("contexts", 0, {"token_ids": [0, 9]}, "token_ids", "9 is not in the vocabulary"),
        ("contexts", 0, {"token_ids": [0, None]}, "token_ids", "has a null"),
        ("more features", 1, {"index": 4}, "index", "4 is not from 0 to 3"),
        ("more features", 1, {"index": 0}, "index", "0 occurs twice"),
        ("more features", 1, {"density": 1.5}, "density", "1.5 is not a share"),
        ("more features", 1, {"density": NAN}, "density", "nan is not a finite number"),
        ("more features", 0, {"max_activation": INFINITE}, "max_activation", "inf is not a finite number"),
        ("more features", 0, {"max_activation": -1.0}, "max_activation", "-1.0 is negative"),
        ("more features", 0, {"active_tokens": -1}, "active_tokens", "-1 is negative"),
        ("more features", 0, {"logit_max": -2.0}, "logit_max", "-2.0 is below logit_min"),
        ("more features", 0, {"activation_histogram": [1, -2]}, "activation_histogram", "-2 is negative"),
        ("more features", 0, {"logit_histogram": [-9]}, "logit_histogram", "-9 is negative"),
        ("more features", 0, {"positive_logits": [1.0, 2.0]}, "positive_logits", "has 2 entries, and positive_token"),
        ("more features", 0, {"negative_logits": [NAN]}, "negative_logits", "nan is not a finite number"),
        ("more features", 0, {"negative_token_ids": [3]}, "negative_token_ids", "3 is not in the vocabulary"),
        ("more features", 0, {"neighbour_indices": [4]}, "neighbour_indices", "4 is not an index"),
        ("more features", 0, {"neighbour_cosines": []}, "neighbour_cosines", "has 0 entries"),
        ("more features", 0, {"correlated_indices": [1]}, "correlated_pearson", "has 0 entries"),
        ("more features", 0, {"quantile_shares": [0.5, 2.0]}, "quantile_shares", "2.0 is not a share"),
        ("more features", 0, {"quantile_shares": []}, "example_groups", "2 is neither 0 nor the number of one"),
        ("more features", 1, {"example_groups": [0, 3]}, "example_groups", "3 is neither 0"),
        ("more features", 1, {"example_groups": [0, -1]}, "example_groups", "-1 is neither 0"),
        ("more features", 1, {"example_groups": [0]}, "example_contexts", "has 2 entries, and example_groups has 1"),
        ("more features", 1, {"example_contexts": [1, 2]}, "example_contexts", "2 is not a context of the corpus"),
        ("more features", 1, {"example_contexts": [-1, 0]}, "example_contexts", "-1 is not a context"),
        # the context has two tokens
        ("more features", 1, {"example_positions": [2, 2]}, "example_positions", "2 is not a position of the example"),
        ("more features", 1, {"value_positions": [[2], [1, 2]]}, "value_positions", "2 is not a position of the ex"),
        ("more features", 1, {"value_positions": [[1], [2, 1]]}, "value_positions", "1 does not come after"),
        ("more features", 1, {"value_positions": [[1], [1, 1]]}, "value_positions", "1 does not come after"),
        ("more features", 1, {"values": [[4.0], [3.0]]}, "values", "2 value positions belong to an example with an"),
        ("more features", 1, {"values": [[4.0], [3.0, 4.1]]}, "values", "4.0999\\d* is above the feature's max"),
        ("more features", 1, {"values": [[4.0], [3.0, NAN]]}, "values", "nan is not a finite number"),
        ("more features", 1, {"values": [[4.0], [3.0, None]]}, "values", "has a null"),
        ("explanations", 0, {"index": 5}, "index", "5 is not the index of a feature of this source"),
        ("explanations", 0, {"description": " "}, "description", "is empty"),
        ("explanations", 0, {"method": ""}, "method", "is empty"),
        ("explanations", 0, {"template_version": -1}, "template_version", "-1 is negative"),
        ("explanations", 0, {"completion_tokens": -2}, "completion_tokens", "-2 is negative"),
        ("explanations", 0, {"cost": float("inf")}, "cost", "inf is not a finite number"),
        ("explanations", 0, {"parameters": "{"}, "parameters", "is not JSON"),
        ("explanations", 0, {"parameters": "[" * 10**5}, "parameters", "is not JSON"),
        ("explanations", 0, {"prompt_tokens": None}, "prompt_tokens", "is missing, and completion_tokens is 3"),
        ("explanations", 0, {"completion_tokens": None}, "completion_tokens", "is missing, and prompt_tokens is 0"),
        ("explanations", 0, {"parameters": nested(51)}, "parameters", "has more than 50 levels of objects and arrays"),
        ("explanations", 0, {"parameters": "[1]"}, "parameters", "is not a JSON object"),
        ("explanations", 0, {"parameters": '{"x": NaN}'}, "parameters", "NaN is not a number of JSON"),
        ("explanations", 0, {"parameters": '{"x": 1e999}'}, "parameters", "cannot be stored"),
        ("explanations", 0, {"parameters": '{"x": "\\ud800"}'}, "parameters", "cannot be stored"),
        ("explanations", 0, {"parameters": '{"x": "a\\u0000"}'}, "parameters", "has a text with a NUL"),
        ("scores", 0, {"prompt_tokens": -1}, "prompt_tokens", "-1 is negative"),
        ("scores", 0, {"completion_tokens": None}, "completion_tokens", "is missing"),
        ("scores", 0, {"cost": -0.5}, "cost", "-0.5 is negative"),
        ("scores", 0, {"parameters": '"x"'}, "parameters", "is not a JSON object"),
        ("scores", 0, {"explanation": 1}, "explanation", "1 is not the number of a row"),
        ("scores", 0, {"score": 1.5}, "score", "1.5 with the interval"),
        ("scores", 0, {"score": None}, "reason", "is missing"),
        ("scores", 0, {"text_contexts": [0, 2, 0]}, "text_contexts", "2 is not a context"),
        ("scores", 0, {"text_positions": [1, None, 2]}, "text_positions", "has a null"),
        ("scores", 0, {"text_answers": None}, "text_answers", "has 0 entries, and text_contexts has 3"),
        ("scores", 0, {"text_answers": [0.5, None]}, "text_answers", "has 2 entries"),
        ("scores", 0, {"text_answers": [0.5, NAN, 0.25]}, "text_answers", "nan is not a finite number"),
        ("scores", 0, {"text_marked": [[0], []]}, "text_marked", "has 2 entries"),
        ("scores", 0, {"text_marked": [[0], [], [2]]}, "text_marked", "2 is not a position of the text"),
        ("scores", 0, {"text_marked": [[-1], [], []]}, "text_marked", "-1 is not a position of the text"),
        ("scores", 0, {"text_expected": [[1.0], [], []]}, "text_expected", "has 1 entries, and the text 2 tokens"),
        ("scores", 0, {"text_expected": [[1.0, NAN], [], []]}, "text_expected", "nan is not a finite number"),
        ("scores", 0, {"text_failures": ["", None, ""]}, "text_failures", "has a null"),
    ],
)
def test_a_broken_row_is_named(
    tmp_path: Path, name: str, row: int, changes: dict[str, Any], column: str, problem: str
) -> None:
    rows = valid_rows()
    rows[name][row] |= changes
    manifest = write(tmp_path, rows)
    if (name, changes.get("context")) == ("contexts", 1):
        # the second file has the number that occurs twice
        name = "more contexts"
    with pytest.raises(RowError, match=problem) as refused:
        check(tmp_path, manifest)
    error = refused.value
    assert (error.path, error.row, error.column) == (tmp_path / FILES[name][0], row, column)
    assert str(error).startswith(f"{tmp_path / FILES[name][0]}: row {row}, column {column}: ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c.source_set.sources.clear(), "source_set.sources: is empty"),
        (lambda c: c.source_set.sources.append(c.source_set.sources[0]), "'1-res' is listed twice"),
        (lambda c: setattr(c.model, "layers", 1), "is at layer 1; the model has 1 layers"),
        (lambda c: setattr(c.source_set, "id", "att"), "'1-res' does not belong to set 'att'"),
        (lambda c: setattr(c.corpus, "contexts", 3), "is 3, and the context files have 2 rows"),
        (lambda c: setattr(c.model, "name", "a\0b"), "NUL"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, change: Callable[[m.Manifest], object], problem: str
) -> None:
    manifest = write(tmp_path, valid_rows())
    change(manifest)
    with pytest.raises(DatasetError, match=problem):
        checks.check_manifest(tmp_path, manifest)


@pytest.mark.parametrize(
    ("source_id", "set_id", "layer", "fits"),
    [
        ("15-res-4k", "res-4k", 15, True),
        ("15-res-4k__fine", "res-4k", 15, True),
        ("15-res-4k__fine", "res-4k__fine", 15, True),
        ("e-res", "res", 0, True),
        ("7", "neurons", 7, True),
        ("7-neurons", "neurons", 7, False),
        ("7", "res", 7, False),
        ("15-res-4k", "res", 15, False),
        ("15-res", "res", 14, False),
        ("res", "res", 0, False),
        ("٣-res", "res", 3, False),
    ],
)
def test_ids_of_sources(source_id: str, set_id: str, layer: int, fits: bool) -> None:
    assert (check_source_id(source_id, set_id, layer) is None) is fits
