"""The native format to the public layout."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson
from isal import igzip

from memicos_dataset import manifest as m
from memicos_dataset import read
from memicos_dataset.checks.rows import (
    ContextCheck,
    DocumentCheck,
    FeatureCheck,
    VocabularyCheck,
    check_explanations,
    check_manifest,
)
from memicos_dataset.conversion.conversion_folder import ConversionFolder, Options, ProgressCallback, conversion_folder
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder, Location
from memicos_dataset.public_layout.files import VERSION_FOLDER
from memicos_dataset.public_layout.public_rows import ContextReader, PublicRows, metadata_rows
from memicos_dataset.wording import quantity

BATCH_ROWS = 1024
"""Features, and explanations, of a batch file."""
READ_ROWS = 64
"""Features that are in memory at once."""


def to_public(location: Location, out: Path, options: Options, report: ProgressCallback) -> m.Manifest:
    """Convert a native dataset, or `options.sources` of it, to `v1/<model>/<source>/` below `out`.

    Raises:
        DatasetError: the dataset cannot be read, or has a row that breaks a rule.
    """
    folder = Folder.of(location)
    manifest = read.read_manifest(folder)
    check_manifest(folder, manifest)
    unknown = sorted(set(options.sources) - {source.id for source in manifest.source_set.sources})
    if unknown:
        raise DatasetError(folder.locate(m.FILE_NAME), f"has no sources {', '.join(unknown)}")
    plan = {
        "format": f"public {VERSION_FOLDER}",
        "folder": str(folder),
        "manifest": manifest.model_dump(mode="json"),
        "sources": list(options.sources),
    }
    with conversion_folder(out, plan, options.replace) as work:
        _Conversion(work, folder, manifest, options, report).run()
    return manifest


class _Conversion:
    def __init__(
        self, work: ConversionFolder, folder: Folder, manifest: m.Manifest, options: Options, report: ProgressCallback
    ) -> None:
        self._work, self._folder, self._manifest, self._report = work, folder, manifest, report
        chosen = options.sources
        self._sources = [source for source in manifest.source_set.sources if not chosen or source.id in chosen]

    def run(self) -> None:
        strings = self._strings()
        lengths, contexts = self._contexts(strings)
        for source in self._sources:
            folder = self._work.files / VERSION_FOLDER / self._manifest.model.id / source.id
            rows = PublicRows(
                self._manifest.model.id,
                self._manifest.source_set.id,
                source.id,
                strings,
                contexts,
                self._manifest.corpus.token_ids == "tokenizer",
            )
            check = FeatureCheck(source, lengths, strings)
            for number, batches in enumerate(_groups(read.feature_batches(self._folder, source, READ_ROWS))):
                for batch in batches:
                    check.check(batch)
                self._feature_batch(folder, number, rows, batches)
            self._explanations(folder, source, rows, check.indices)
            for name, row in metadata_rows(self._manifest, source).items():
                (folder / f"{name}.jsonl").write_bytes(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            self._report(f"{source.id}: {quantity(len(check.indices), 'feature')}")

    def _strings(self) -> dict[int, str]:
        strings: dict[int, str] = {}
        check = VocabularyCheck()
        for batch in read.vocabulary_batches(self._folder, self._manifest):
            check.check(batch)
            ids, tokens = (batch.rows.column(name).to_pylist() for name in ("token_id", "token"))
            strings.update(zip(ids, tokens, strict=True))
        return strings

    def _contexts(self, strings: dict[int, str]) -> tuple[np.ndarray, ContextReader]:
        """Lengths of contexts, and their token ids in a file, so that they need no memory."""
        documents = DocumentCheck(self._manifest)
        for batch in read.document_batches(self._folder, self._manifest):
            documents.check(batch)
        check = ContextCheck(self._manifest, documents.numbers, strings)
        count = self._manifest.corpus.contexts
        starts, path, written = np.zeros(count, dtype=np.int64), self._work.folder / "token_ids", 0
        with path.open("wb") as file:
            for batch in read.context_batches(self._folder, self._manifest):
                check.check(batch)
                column = batch.rows.column("token_ids")
                offsets = column.offsets.to_numpy()
                starts[batch.rows.column("context").to_numpy()] = written + (offsets[:-1] - offsets[0])
                written += int(offsets[-1] - offsets[0])
                file.write(column.flatten().to_numpy().astype(np.int32).tobytes())
        return check.lengths, ContextReader(starts, check.lengths, np.memmap(path, dtype=np.int32, mode="r"))

    def _feature_batch(self, folder: Path, number: int, rows: PublicRows, batches: list[read.Batch]) -> None:
        for kind, to_rows in (("features", rows.features), ("activations", rows.activations)):
            lines = (line for batch in batches for line in to_rows(batch.rows))
            _write_lines(folder / kind / f"batch-{number}.jsonl.gz", lines)

    def _explanations(self, folder: Path, source: m.Source, rows: PublicRows, indices: set[int]) -> None:
        first = 0
        for number, batch in enumerate(read.explanation_batches(self._folder, source, BATCH_ROWS)):
            check_explanations(batch, indices)
            _write_lines(folder / "explanations" / f"batch-{number}.jsonl.gz", rows.explanations(batch.rows, first))
            first += len(batch.rows)


def _groups(batches: Iterable[read.Batch]) -> Iterator[list[read.Batch]]:
    """Batches that make up BATCH_ROWS rows."""
    group: list[read.Batch] = []
    for batch in batches:
        group.append(batch)
        if sum(len(own.rows) for own in group) >= BATCH_ROWS:
            yield group
            group = []
    if group:
        yield group


def _write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a compressed file, unless an earlier run has; the same lines give the same bytes."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("wb") as file, igzip.IGzipFile("", "wb", 2, file, mtime=0) as compressed:
        compressed.writelines(lines)
    unfinished.rename(path)
