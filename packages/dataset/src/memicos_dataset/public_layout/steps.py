"""Batch files as steps: the columns of one file, and the contexts and tokens that it adds, in a folder of their own.

A step's folder gets its name when it is complete, so that a killed conversion goes on after the last complete one. A
step depends on those before it: contexts and tokens are numbered in the order of the files.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from memicos_dataset.errors import LineError
from memicos_dataset.public_layout import saedashboard
from memicos_dataset.public_layout.activation_lines import ContextTexts, read_lines
from memicos_dataset.public_layout.activations import CHUNK_ROWS, ActivationChunk, Reject, examples_table
from memicos_dataset.public_layout.corpus import CorpusBuilder
from memicos_dataset.public_layout.features import EXPLANATIONS, FEATURES, explanation_row, feature_row
from memicos_dataset.public_layout.files import BatchFile, SourceFolder
from memicos_dataset.public_layout.lines import NumberedLine, Rejects, Row, line_groups, lines, parsed
from memicos_dataset.public_layout.values import ValueProblem

FEATURE_ROWS, EXPLANATION_ROWS = 1024, 4096
"""Rows that are turned into columns at once."""
ROW_GROUP_BYTES = 32 << 20
"""Size of a row group of a step's files."""


@dataclass(frozen=True)
class Step:
    """A batch file that has been read. `ranges`: smallest and largest index of each table that it has."""

    folder: Path
    path: Path | str
    ranges: dict[str, tuple[int, int]]
    named_index: int
    """Largest index that a list of features names; -1 where there is none."""

    def read(self, name: str, low: int, high: int) -> pa.Table | None:
        """Rows of table `name` with an index from `low` to below `high`; None where there are none."""
        smallest, largest = self.ranges.get(name, (0, -1))
        if largest < low or smallest >= high:
            return None
        table = pq.read_table(self.folder / f"{name}.parquet", filters=[("index", ">=", low), ("index", "<", high)])
        return table if len(table) else None

    def error(self, line: int, column: str, problem: str) -> LineError:
        return LineError(self.path, line, column, problem)


class _Tables:
    """The tables of a step, each in row groups of bounded size. `files` closes their files."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        self._folder, self._files = folder, files
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[pa.Table]] = {}
        self.ranges: dict[str, tuple[int, int]] = {}
        self.named_index = -1

    def write(self, name: str, table: pa.Table) -> None:
        if not len(table):
            return
        indices = table["index"].to_numpy()
        low, high = self.ranges.get(name, (2**31, -1))
        self.ranges[name] = (min(low, int(indices.min())), max(high, int(indices.max())))
        waiting = self._waiting.setdefault(name, [])
        waiting.append(table)
        if sum(map(len, waiting)) >= CHUNK_ROWS or sum(own.nbytes for own in waiting) >= ROW_GROUP_BYTES:
            self._write_waiting(name)

    def _write_waiting(self, name: str) -> None:
        table = pa.concat_tables(self._waiting.pop(name))
        if name not in self._writers:
            # read once: fast to write rather than small
            writer = pq.ParquetWriter(
                self._folder / f"{name}.parquet", table.schema, compression="lz4", use_dictionary=False
            )
            self._writers[name] = self._files.enter_context(writer)
        self._writers[name].write_table(table)

    def write_rest(self) -> None:
        for name in list(self._waiting):
            self._write_waiting(name)


class StepReader:
    """Reads batch files of one source into steps."""

    def __init__(
        self, source: SourceFolder, source_id: str, corpus: CorpusBuilder, texts: ContextTexts, rejects: Rejects
    ) -> None:
        self._source, self._source_id = source, source_id
        self._corpus, self._texts, self._rejects = corpus, texts, rejects
        self._unit = "feature" if source.dashboard else "line"

    def step(self, batch: BatchFile, folder: Path) -> Step:
        """Read a batch file, or what an earlier run made of it, into `folder`.

        Raises:
            DatasetError: the file cannot be read, or has too many rows that cannot be stored.
        """
        path = self._source.folder.locate(batch.path)
        if folder.exists():
            summary = orjson.loads((folder / "step.json").read_bytes())
            self._corpus.known_ids = summary["known_ids"]
            self._corpus.read_step(folder)
            self._rejects.count += summary["rejects"]
        else:
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            rejects = self._rejects.count
            with ExitStack() as files:
                tables = _Tables(part, files)
                _READERS[batch.kind](self, batch.path, tables)
                tables.write_rest()
            self._corpus.write_pending(part)
            summary = {
                "known_ids": self._corpus.known_ids,
                "rejects": self._rejects.count - rejects,
                "ranges": tables.ranges,
                "named_index": tables.named_index,
            }
            (part / "step.json").write_bytes(orjson.dumps(summary))
            part.rename(folder)
        ranges = {name: (low, high) for name, (low, high) in summary["ranges"].items()}
        return Step(folder, path, ranges, summary["named_index"])

    def _reject(self, path: str) -> Callable[[int, str, str], None]:
        location = self._source.folder.locate(path)
        return lambda line, column, problem: self._rejects.add(LineError(location, line, column, problem, self._unit))

    def read_features(self, path: str, tables: _Tables) -> None:
        to_row = self._feature_converter(tables)
        for chunk in _chunks(self._rows(path, to_row), FEATURE_ROWS):
            tables.write("features", pa.Table.from_pylist(chunk, schema=FEATURES))

    def read_explanations(self, path: str, tables: _Tables) -> None:
        to_row = partial(explanation_row, source_id=self._source_id)
        for chunk in _chunks(self._rows(path, to_row), EXPLANATION_ROWS):
            tables.write("explanations", pa.Table.from_pylist(chunk, schema=EXPLANATIONS))

    def _rows(self, path: str, to_row: Callable[[int, Row], Row]) -> Iterator[Row]:
        reject = self._reject(path)
        location = self._source.folder.locate(path)
        for line, row in parsed(location, lines(self._source.folder, path), self._rejects):
            try:
                yield to_row(line, row)
            except ValueProblem as problem:
                reject(line, problem.column, problem.problem)

    def _feature_converter(self, tables: _Tables) -> Callable[[int, Row], Row]:
        def to_row(line: int, row: Row) -> Row:
            columns = feature_row(line, row, self._source_id, self._corpus)
            named = [*columns["neighbour_indices"], *columns["correlated_indices"]]
            tables.named_index = max(tables.named_index, *named, -1)
            return columns

        return to_row

    def read_activations(self, path: str, tables: _Tables) -> None:
        for group in line_groups(self._source.folder, path):
            columns = read_lines(group, self._source_id, self._texts)
            if columns is None:
                self._read_row_by_row(path, group, tables)
            else:
                tables.write("examples", examples_table(columns, self._corpus, self._reject(path)))

    def _read_row_by_row(self, path: str, group: list[NumberedLine], tables: _Tables) -> None:
        """Read activation lines of which some may have to be left out."""
        reject = self._reject(path)
        chunk = ActivationChunk(self._source_id, self._corpus)
        for line, row in parsed(self._source.folder.locate(path), group, self._rejects):
            try:
                chunk.add(line, row)
            except ValueProblem as problem:
                reject(line, problem.column, problem.problem)
        self._write_chunk(chunk, tables, reject)

    def _write_chunk(self, chunk: ActivationChunk, tables: _Tables, reject: Reject) -> None:
        if len(chunk):
            tables.write("examples", examples_table(chunk.columns(), self._corpus, reject))

    def read_dashboard(self, path: str, tables: _Tables) -> None:
        reject = self._reject(path)
        to_row = self._feature_converter(tables)
        features: list[Row] = []
        chunk = ActivationChunk(self._source_id, self._corpus)
        for number, row, activations in saedashboard.entries(self._source.folder, path, self._rejects):
            try:
                features.append(to_row(number, row))
            except ValueProblem as problem:
                reject(number, problem.column, problem.problem)
                continue
            for prefix, activation in activations:
                try:
                    chunk.add(number, activation)
                except ValueProblem as problem:
                    reject(number, prefix + problem.column, problem.problem)
            if len(chunk) >= CHUNK_ROWS:
                self._write_chunk(chunk, tables, reject)
                chunk = ActivationChunk(self._source_id, self._corpus)
        self._write_chunk(chunk, tables, reject)
        if features:
            tables.write("features", pa.Table.from_pylist(features, schema=FEATURES))


_READERS: dict[str, Callable[[StepReader, str, _Tables], None]] = {
    "features": StepReader.read_features,
    "activations": StepReader.read_activations,
    "explanations": StepReader.read_explanations,
    "dashboard": StepReader.read_dashboard,
}


def read_range(steps: Sequence[Step], name: str, low: int, high: int, schema: pa.Schema) -> pa.Table:
    """Rows of all steps with an index from `low` to below `high`, and the number of their step in column `step`."""
    tables = []
    for number, step in enumerate(steps):
        table = step.read(name, low, high)
        if table is not None:
            tables.append(table.append_column("step", pa.array([number] * len(table), pa.int32())))
    return pa.concat_tables(tables) if tables else schema.append(pa.field("step", pa.int32())).empty_table()


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
