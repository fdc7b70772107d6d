"""The public layout, or an output folder of SAEDashboard, to the native format."""

import dataclasses
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from memicos_dataset import manifest as m
from memicos_dataset import schema
from memicos_dataset.conversion.conversion_folder import ConversionFolder, Options, ProgressCallback, conversion_folder
from memicos_dataset.errors import DatasetError, LineError
from memicos_dataset.folder import Folder, Location
from memicos_dataset.public_layout import metadata, native_tables
from memicos_dataset.public_layout.activation_lines import ContextTexts
from memicos_dataset.public_layout.corpus import CorpusBuilder
from memicos_dataset.public_layout.file_list import check_sizes
from memicos_dataset.public_layout.files import METADATA, SourceFolder, source_folders
from memicos_dataset.public_layout.lines import Rejects
from memicos_dataset.public_layout.steps import Step, StepReader
from memicos_dataset.wording import quantity
from memicos_dataset.write import CONTEXTS_PER_FILE, FAST_LEVEL, FEATURES_PER_FILE, write_batches, write_table

_KINDS = ("activations", "dashboard", "features", "explanations")
"""Order of batch files: activations say first whether the set has token ids."""


def to_native(
    location: Location,
    out: Path,
    options: Options,
    report: ProgressCallback,
    record: Callable[[LineError], object] | None = None,
) -> m.Manifest:
    """Convert sources of one set to a native dataset at `out`. `record` is called with each row that is left out.

    In memory are at most a batch of rows, the features and examples of 1,024 indices, 20 bytes for each context, texts
    of contexts (24 MiB) and the strings of the vocabulary; SAEDashboard's files are read as a whole.

    Raises:
        DatasetError: the input cannot be read, has more rows that cannot be stored than `options` allow, or does not
            say something that a dataset has.
    """
    folder = Folder.of(location)
    try:
        folders = source_folders(folder, list(options.sources))
        plan = {
            "format": f"native {m.VERSION}",
            "options": dataclasses.asdict(options),
            "sources": [_plan(source) for source in folders],
        }
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be listed ({error})") from error
    # before anything is read
    pairs = metadata.read_all_rows(folders, options.metadata_options)
    sources, rows = [source for source, _ in pairs], [own for _, own in pairs]
    problem = metadata.missing_shape(metadata.model_shape(rows[0], options.metadata_options))
    if options.shape_needed and problem:
        raise DatasetError(folder.root, problem)
    with conversion_folder(out, plan, options.replace) as work, _frozen_objects():
        return _Conversion(work, sources, rows, options, report, record).run()


@contextmanager
def _frozen_objects() -> Iterator[None]:
    """Leave the objects that exist, such as those of imported modules, out of garbage collections, which millions of
    parsed rows set off: they would take a tenth of the time. Of two conversions in a process, the first that ends
    includes them again: the other one is slower from then on."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _plan(source: SourceFolder) -> dict[str, Any]:
    sizes = {batch.path: source.folder.size(batch.path) for batch in source.batches}
    check_sizes(source.folder, source.listed, sizes)
    return {
        "folder": str(source.folder),
        "rows": [source.metadata(name) for name in METADATA],
        "batches": [[path, size] for path, size in sizes.items()],
    }


class _Conversion:
    def __init__(
        self,
        work: ConversionFolder,
        sources: Sequence[SourceFolder],
        rows: Sequence[metadata.SourceRows],
        options: Options,
        report: ProgressCallback,
        record: Callable[[LineError], object] | None,
    ) -> None:
        self._work, self._sources, self._rows = work, sources, rows
        self._options, self._report = options, report
        self._corpus = CorpusBuilder()
        self._rejects = Rejects(options.skip_rows, report, record)

    def run(self) -> m.Manifest:
        steps = self._read_steps()
        if not self._corpus.contexts:
            raise DatasetError(self._sources[0].folder.root, "has no activations, and so no text to show")
        files = [self._source_files(rows, own) for rows, own in zip(self._rows, steps, strict=True)]
        corpus = self._corpus_files([step for own in steps for step in own])
        try:
            manifest = metadata.manifest(self._rows, files, corpus, self._options.metadata_options)
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(str(part) for part in first["loc"])
            raise DatasetError(self._sources[0].folder.root, f"{location}: {first['msg']}") from error
        manifest.write(self._work.files)
        return manifest

    def _read_steps(self) -> list[list[Step]]:
        """The steps of each source."""
        batches = [
            (number, batch)
            for kind in _KINDS
            for number, source in enumerate(self._sources)
            for batch in source.batches
            if batch.kind == kind
        ]
        texts = ContextTexts(self._corpus)
        readers = [
            StepReader(source, rows.id, self._corpus, texts, self._rejects)
            for source, rows in zip(self._sources, self._rows, strict=True)
        ]
        steps: list[list[Step]] = [[] for _ in self._sources]
        for count, (number, batch) in enumerate(batches, 1):
            folder = self._work.folder / "steps" / f"{count:06d}"
            steps[number].append(readers[number].step(batch, folder))
            self._report(f"{self._rows[number].id}: {batch.path} ({count} of {len(batches)} files)")
        return steps

    def _source_files(self, rows: metadata.SourceRows, steps: list[Step]) -> metadata.SourceFiles:
        counted = self._counted_tokens(rows, steps)
        largest = max((step.ranges["features"][1] for step in steps if "features" in step.ranges), default=-1)
        if largest < 0:
            raise DatasetError(rows.id, "the source has no features")
        parts = [
            self._counted_part(
                f"{rows.id}-features-{number:05d}",
                lambda number=number: self._feature_file(rows, steps, number, counted),
            )
            for number in range(largest // FEATURES_PER_FILE + 1)
        ]
        self._report(f"{rows.id}: {quantity(sum(part['features'] for part in parts), 'feature')}")
        indices = np.concatenate([np.array(part["indices"], dtype=np.int64) for part in parts])
        explanations = self._counted_part(
            f"{rows.id}-explanations", lambda: self._explanation_file(rows, steps, indices)
        )
        return metadata.SourceFiles(
            features=[m.FileEntry(**part["entry"]) for part in parts if part["entry"]],
            explanations=m.FileEntry(**explanations["entry"]) if explanations["entry"] else None,
            dead_features=sum(part["dead_features"] for part in parts),
            largest_index=max(largest, *(step.named_index for step in steps)),
            vector_length=max(part["vector_length"] for part in parts),
            hook_name=next((part["hook_name"] for part in parts if part["hook_name"]), None),
            counted_tokens=counted,
        )

    def _counted_part(self, name: str, make: Any) -> dict[str, Any]:
        """A part, with the number of rows that it rejected."""
        before = self._rejects.count

        def counted() -> dict[str, Any]:
            return make() | {"rejects": self._rejects.count - before}

        part = self._work.part(name, counted)
        self._rejects.count = before + part["rejects"]
        return part

    def _counted_tokens(self, rows: metadata.SourceRows, steps: list[Step]) -> int:
        """Tokens that densities are shares of: as stated, or by the feature with most tokens in its histogram."""
        stated = self._options.metadata_options.counted_tokens or rows.counted_tokens
        if stated:
            return stated
        largest, estimate = 0, 0
        for step in steps:
            if "features" not in step.ranges:
                continue
            with pq.ParquetFile(step.folder / "features.parquet") as file:
                for batch in file.iter_batches(columns=["density", "activation_histogram"]):
                    for row in batch.to_pylist():
                        active = sum(row["activation_histogram"])
                        if active > largest and row["density"] > 0:
                            largest, estimate = active, round(active / row["density"])
        if not estimate:
            raise DatasetError(
                rows.id,
                "the number of tokens that densities are shares of is not known: neither num_prompts and "
                "num_tokens_in_prompt of source.jsonl nor a histogram says it; give --counted-tokens N",
            )
        return estimate

    def _feature_file(
        self, rows: metadata.SourceRows, steps: list[Step], number: int, counted_tokens: int
    ) -> dict[str, Any]:
        figures = native_tables.SourceFigures()
        low = number * FEATURES_PER_FILE
        tables = native_tables.feature_tables(
            steps, low, low + FEATURES_PER_FILE, counted_tokens, self._rejects, figures
        )
        path = f"{rows.id}/features-{number:05d}.parquet"
        entry = self._write(path, native_tables.FEATURE_SCHEMA, tables)
        return {"entry": entry, **dataclasses.asdict(figures)}

    def _explanation_file(self, rows: metadata.SourceRows, steps: list[Step], indices: np.ndarray) -> dict[str, Any]:
        tables = native_tables.explanation_tables(steps, indices, self._rejects)
        return {"entry": self._write(f"{rows.id}/explanations.parquet", native_tables.EXPLANATION_SCHEMA, tables)}

    def _write(self, path: str, columns: pa.Schema, tables: Iterator[pa.Table]) -> dict[str, Any] | None:
        """Write a file; None where it would have no rows."""
        entry = write_batches(self._work.files, path, columns, tables, FAST_LEVEL)
        if entry.rows:
            return entry.model_dump()
        (self._work.files / path).unlink()
        return None

    def _corpus_files(self, steps: list[Step]) -> metadata.CorpusFiles:
        corpus, files = self._corpus, self._work.files
        name = metadata.corpus_name(self._rows[0])
        vocabulary = corpus.vocabulary()
        documents = pa.Table.from_pylist([{"document": 0, "title": name, "collection": name}], schema=schema.DOCUMENTS)
        tokens = pa.Table.from_pydict(
            {"token_id": [i for i, _ in vocabulary], "token": [string for _, string in vocabulary]},
            schema=schema.VOCABULARY,
        )
        contexts = []
        for table in _context_tables(sorted(steps, key=lambda step: step.folder.name)):
            path = f"corpus/contexts-{len(contexts):05d}.parquet"
            contexts.append(write_table(files, path, table, FAST_LEVEL))
        self._report(f"{quantity(corpus.contexts, 'context')}, {quantity(len(vocabulary), 'token')} in the vocabulary")
        return metadata.CorpusFiles(
            documents=write_table(files, "corpus/documents.parquet", documents, FAST_LEVEL),
            vocabulary=write_table(files, "corpus/vocabulary.parquet", tokens, FAST_LEVEL),
            contexts=contexts,
            count=corpus.contexts,
            longest=corpus.longest,
            tokens=corpus.tokens,
            known_ids=bool(corpus.known_ids),
            same_first_token=corpus.contexts > 1 and len(corpus.first_tokens) == 1,
        )


def _context_tables(steps: list[Step]) -> Iterator[pa.Table]:
    """The contexts of steps, in the order of their numbers, CONTEXTS_PER_FILE to a table."""
    waiting: list[pa.Array] = []
    count = first = 0
    for step in steps:
        own = pq.read_table(step.folder / "contexts.parquet", columns=["token_ids"])["token_ids"]
        waiting += own.chunks
        count += len(own)
        while count >= CONTEXTS_PER_FILE:
            rows = pa.chunked_array(waiting, own.type)
            yield _context_table(rows.slice(0, CONTEXTS_PER_FILE), first)
            waiting = rows.slice(CONTEXTS_PER_FILE).chunks
            first, count = first + CONTEXTS_PER_FILE, count - CONTEXTS_PER_FILE
    if count:
        yield _context_table(pa.chunked_array(waiting), first)


def _context_table(token_ids: pa.ChunkedArray, first: int) -> pa.Table:
    numbers = np.arange(first, first + len(token_ids), dtype=np.int32)
    columns = {"context": numbers, "document": np.zeros(len(token_ids), dtype=np.int32), "token_ids": token_ids}
    return pa.table(columns).cast(schema.CONTEXTS)
