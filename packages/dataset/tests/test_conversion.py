"""Conversions there and back, resumed after an interruption; the commands."""

import gzip
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from memicos_cli.main import app
from memicos_dataset import read
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.diff import SourceDiff, diff
from memicos_dataset.conversion.inspect import faults
from memicos_dataset.conversion.native import to_native
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.public_layout import lines as layout_lines
from memicos_dataset.write import write_table
from memicos_testing.webapp.small_dataset import write_dataset
from typer.testing import CliRunner

DEMO = Path(__file__).parents[3] / "demo" / "dataset"


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native") / "small"
    write_dataset(folder, layers=(1, 2), features=48)
    return folder


@pytest.fixture(scope="module")
def public(native: Path) -> Path:
    """The model's folder in the public layout."""
    out = native.parent / "public"
    to_public(native, out, Options(), quiet)
    return out / "v1" / "small"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_round_trip(
    native: Path, folder: Path, sources: tuple[str, ...] = (), lost: frozenset[str] = frozenset()
) -> None:
    """Native to public to native: equal, except in the columns `lost`, in at most 1% of a source's features."""
    first = to_public(native, folder / "public", Options(sources=sources), quiet)
    model = folder / "public" / "v1" / first.model.id
    assert list(faults(Folder.of(model), Options())) == []
    second = to_native(model, folder / "native", Options(), quiet)
    assert list(faults(Folder.of(folder / "native"), Options())) == []
    results = list(diff(Folder.of(native), Folder.of(folder / "native")))
    compared = [result for result in results if isinstance(result, SourceDiff)]
    assert [result.source for result in compared] == [source.id for source in second.source_set.sources]
    assert compared
    for result in compared:
        rare = {name for name in lost if result.columns[name] <= result.features / 100}
        assert not replace(result, columns=Counter({k: v for k, v in result.columns.items() if k not in rare})), result
    assert second.corpus.token_ids == "tokenizer"
    for own, other in zip(
        [source for source in first.source_set.sources if not sources or source.id in sources],
        second.source_set.sources,
        strict=True,
    ):
        assert (own.counted_tokens, own.dead_features, own.layer) == (
            other.counted_tokens,
            other.dead_features,
            other.layer,
        )


def test_native_to_public_to_native_is_equal(native: Path, tmp_path: Path) -> None:
    check_round_trip(native, tmp_path)


@pytest.mark.slow
def test_a_source_of_the_demo_to_public_to_native_is_equal(tmp_path: Path) -> None:
    # an interval whose activations are all in contexts of other examples has a share, but no example to state it
    check_round_trip(DEMO, tmp_path, ("15-res-4k",), frozenset({"quantile_shares"}))


def test_public_to_native_to_public_has_the_same_rows(public: Path, tmp_path: Path) -> None:
    to_native(public, tmp_path / "native", Options(), quiet)
    to_public(tmp_path / "native", tmp_path / "public", Options(), quiet)
    before, after = files(public), files(tmp_path / "public" / "v1" / "small")
    assert before.keys() == after.keys()
    for path in before:
        if path.endswith(("explanations/batch-0.jsonl.gz", ".jsonl")):
            assert before[path] == after[path], path
            continue
        rows = [[json.loads(line) for line in gzip.decompress(side[path]).splitlines()] for side in (before, after)]
        assert len(rows[0]) == len(rows[1])
        for first, second in zip(*rows, strict=True):
            assert first.keys() == second.keys()
            for name, value in first.items():
                # ends of histograms are computed from the centres of their bins
                expected = pytest.approx(value, rel=1e-5, abs=1e-5) if name == "logits_hist_data_bar_values" else value
                assert second[name] == expected, (path, first["index"], name)


def test_an_interrupted_conversion_continues(
    native: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_native(public, tmp_path / "whole", Options(), quiet)
    expected = files(tmp_path / "whole")
    reads: list[str] = []
    for name in ("lines", "line_groups"):
        real = getattr(layout_lines, name)
        monkeypatch.setattr(
            f"memicos_dataset.public_layout.steps.{name}",
            lambda folder, path, real=real: (reads.append(path), real(folder, path))[1],
        )
    out = tmp_path / "resumed"
    lines = 0
    for stop in range(1, 30):
        lines = 0

        def report(line: str, stop: int = stop) -> None:
            nonlocal lines
            lines += 1
            if lines == stop:
                raise KeyboardInterrupt

        try:
            to_native(public, out, Options(), report)
        except KeyboardInterrupt:
            assert not out.exists()
            continue
        break
    assert files(out) == expected
    # six files of two sources, each read once though it was interrupted after each
    assert len(reads) == 6 and lines > 6
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" not in path.name) == ["resumed", "whole"]


def test_an_interrupted_conversion_to_public_continues(native: Path, public: Path, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_public(native, tmp_path / "out", Options(), interrupt)
    assert not (tmp_path / "out").exists()
    to_public(native, tmp_path / "out", Options(), quiet)
    assert files(tmp_path / "out" / "v1" / "small") == files(public)


def test_other_options_begin_again(public: Path, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        to_native(public, out, Options(), interrupt)
    manifest = to_native(public, out, Options(sources=("2-res",)), quiet)
    assert [source.id for source in manifest.source_set.sources] == ["2-res"]
    assert sorted(path.name for path in (out).iterdir()) == ["2-res", "corpus", FILE_NAME]


def test_an_output_that_exists_is_kept_unless_it_is_to_be_replaced(native: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(DatasetError, match=r"exists; .*--replace"):
        to_public(native, out, Options(), quiet)
    assert (out / "mine").exists()
    to_public(native, out, Options(replace=True), quiet)
    assert [path.name for path in out.iterdir()] == ["v1"]


def test_two_conversions_to_one_output_exclude_each_other(native: Path, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".out.convert.lock"), pytest.raises(DatasetError, match="another conversion"):
        to_public(native, tmp_path / "out", Options(), quiet)


def change_line(path: Path, change: Callable[[dict], object]) -> None:
    first, *others = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    row = json.loads(first)
    change(row)
    path.write_bytes(gzip.compress(json.dumps(row).encode() + b"\n" + b"".join(others)))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["dataset", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_commands(native: Path, tmp_path: Path) -> None:
    status, output = run("inspect", native)
    assert status == 0 and "source: 1-res: 48 features" in output and "40 contexts" in output
    assert run("verify", native) == (0, "no faults\n")
    public = tmp_path / "public"
    status, output = run("convert", native, public, "--source", "2-res")
    assert status == 0 and output.endswith(f"{public} is complete\n")
    model = public / "v1" / "small"
    status, output = run("inspect", model)
    assert status == 0 and "format: public" in output and "features" in output and "in 1 file" in output
    assert run("verify", model) == (0, "no faults\n")
    assert run("diff", model, model) == (0, "source 2-res: 48 features equal\n")
    status, output = run("diff", native, model)
    assert status == 1 and output == "source 1-res is in the first only\nsource 2-res: 48 features equal\n"
    equal = (0, "source 2-res: 48 features equal\n")
    assert run("diff", native, model / "2-res", "--source", "2-res") == equal
    assert run("diff", native, model, "--source", "2-res") == run("diff", native, native, "--source", "2-res") == equal
    status, output = run("diff", native, native, "--source", "9-res")
    assert status == 2 and "manifest.json: has no sources 9-res" in output
    status, output = run("inspect", public)
    assert status == 1 and "neither manifest.json" in output and f"name the folder of a model: {model}" in output

    missing = native / "2-res" / "explanations.parquet"
    content = missing.read_bytes()
    missing.write_bytes(content[:-1])
    status, output = run("verify", native)
    assert status == 1 and output.splitlines()[-1] == "1 fault"
    missing.write_bytes(content)
    # explanations are not said to be of no feature because the features cannot be read
    damaged = native / "1-res" / "features-00000.parquet"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    status, output = run("verify", native)
    assert status == 1 and len(output.splitlines()) == 2 and output.endswith("\n1 fault\n")
    damaged.write_bytes(content)
    assert run("verify", tmp_path / "none") == (1, f"{tmp_path / 'none'}: is not there\n1 fault\n")

    change_line(model / "2-res/features/batch-0.jsonl.gz", lambda row: row.update(pos_values=[9.0] * 10))
    change_line(model / "2-res/explanations/batch-0.jsonl.gz", lambda row: row.update(description="other"))
    status, output = run("diff", native, model)
    assert status == 1 and "positive_logits: differs in 1 feature\n" in output
    assert (
        "feature 0, positive_logits: [" in output
        and "explanations in the first only: 1; in the second only: 1" in output
    )

    change_line(model / "2-res/features/batch-0.jsonl.gz", lambda row: row.update(frac_nonzero="x"))
    status, output = run("verify", model)
    assert status == 1 and "batch-0.jsonl.gz: line 1, column frac_nonzero: 'x' is no finite number" in output
    status, output = run("convert", model, tmp_path / "native")
    assert status == 1 and "column frac_nonzero" in output and not (tmp_path / "native").exists()
    assert run("convert", model, tmp_path / "other", "--to", "public")[0] == 1
    assert run("diff", native, tmp_path / "none")[0] == 2


def test_the_requests_of_explanations_and_scores_are_compared(native: Path, tmp_path: Path) -> None:
    def with_requests(name: str, cost: float, parameters: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(native, folder)
        manifest = read.read_manifest(folder)
        source = manifest.source_set.sources[0]
        for kind in ("explanations", "scores"):
            path = getattr(source, kind).path
            table = pq.read_table(folder / path)
            for column, value, of in (("cost", cost, pa.float64()), ("parameters", parameters, pa.string())):
                table = table.append_column(column, pa.array([value, *[None] * (len(table) - 1)], of))
            setattr(source, kind, write_table(folder, path, table))
        manifest.write(folder)
        assert run("verify", folder) == (0, "no faults\n")
        return folder

    first, same = with_requests("a", 0.5, '{"x": 1, "y": 2}'), with_requests("b", 0.5, '{"y": 2, "x": 1}')
    assert "source 1-res: 48 features equal" in run("diff", first, same)[1]
    status, output = run("diff", first, with_requests("c", 0.25, '{"x": 1, "y": 2}'))
    assert status == 1
    for what in ("explanations", "scores"):
        assert f"{what} in the first only: 1; in the second only: 1\n" in output
    # the public layout has no place for them, and a dataset of an older version has none
    assert run("convert", first, tmp_path / "public", "--source", "1-res")[0] == 0
    for other in (native, tmp_path / "public/v1/small"):
        assert "source 1-res: 48 features equal" in run("diff", first, other)[1]
    assert re.search(r"\d+ explanations, .*; \d+ scores, ", run("inspect", first)[1])


@pytest.mark.parametrize(
    ("kind", "column", "value", "message"),
    [
        ("contexts", "context", 10**6, "1000000 is not a context of the corpus"),
        ("contexts", "context", -1, "-1 is not a context of the corpus"),
        ("contexts", "token_ids", [10**6], "1000000 is not in the vocabulary"),
        ("features", "example_contexts", [0, 10**6], "1000000 is not a context of the corpus"),
        ("features", "example_contexts", [-1], "-1 is not a context of the corpus"),
        ("features", "positive_token_ids", [10**6], "1000000 is not in the vocabulary"),
        ("scores", "text_contexts", [10**6], "1000000 is not a context of the corpus"),
        ("scores", "text_contexts", [-1], "-1 is not a context of the corpus"),
        ("scores", "explanation", 10**6, "there is no explanation 1000000"),
        ("scores", "explanation", -1, "there is no explanation -1"),
    ],
)
def test_a_row_that_names_what_the_dataset_lacks_is_not_compared(
    native: Path, tmp_path: Path, kind: str, column: str, value: object, message: str
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(native, folder)
    manifest = read.read_manifest(folder)
    source = manifest.source_set.sources[0]
    listed = {"contexts": manifest.corpus.context_files, "features": source.features, "scores": [source.scores]}[kind]
    assert listed[0] is not None
    path = listed[0].path
    table = pq.read_table(folder / path)
    values = [*table.column(column).to_pylist()[:-1], value]
    number = table.schema.get_field_index(column)
    table = table.set_column(number, table.field(column), pa.array(values, table.field(column).type))
    entry = write_table(folder, path, table)
    if kind == "scores":
        source.scores = entry
    else:
        listed[0] = entry
    manifest.write(folder)
    status, output = run("diff", native, folder)
    assert status != 0 and f"row {len(table) - 1}, column {column}: {message}" in output, output


def test_every_fault_of_a_native_dataset_is_reported(tmp_path: Path) -> None:
    write_dataset(tmp_path, layers=(1, 2), features=16)
    manifest = read.read_manifest(tmp_path)
    first, second = manifest.source_set.sources
    (tmp_path / first.features[0].path).write_bytes(b"x" * first.features[0].bytes)
    assert second.explanations is not None
    (tmp_path / second.explanations.path).unlink()
    manifest.corpus.contexts = 39
    manifest.write(tmp_path)
    messages = [str(fault) for fault in faults(Folder.of(tmp_path), Options())]
    assert len(messages) >= 4
    for expected in ("features-00000.parquet: sha256 is", "explanations.parquet: listed in the manifest but missing",
                     "corpus.contexts: is 39", "column context: 39 is not a number from 0 to 38"):  # fmt: skip
        assert sum(expected in message for message in messages) == 1, messages
