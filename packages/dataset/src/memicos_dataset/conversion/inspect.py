"""Summaries of a dataset, and all its faults."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from memicos_dataset import read
from memicos_dataset.checks.rows import (
    ContextCheck,
    DocumentCheck,
    FeatureCheck,
    VocabularyCheck,
    check_explanations,
    check_manifest,
    check_scores,
)
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.formats import Format, as_native, format_of
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import Manifest, Source
from memicos_dataset.public_layout.file_list import damaged_files
from memicos_dataset.public_layout.files import SourceFolder, source_folders
from memicos_dataset.wording import quantity

_ALL_ROWS = 2**62


def summary(folder: Folder) -> Iterator[str]:
    """Lines that say what a dataset has.

    Raises:
        DatasetError: it cannot be read.
    """
    kind = format_of(folder)
    if kind is not Format.NATIVE:
        yield f"format: {kind}"
        for source in source_folders(folder):
            yield from _public_summary(source)
        return
    manifest = read.read_manifest(folder)
    model, source_set, corpus = manifest.model, manifest.source_set, manifest.corpus
    yield f"format: native, version {manifest.version}"
    yield f"release: {manifest.release.id}: {manifest.release.name}"
    yield f"model: {model.id}: {_known(model.layers)} layers, width {_known(model.d_model)}"
    yield f"set: {source_set.id}: {source_set.name}"
    for source in source_set.sources:
        features = sum(entry.rows for entry in source.features)
        size = sum(entry.bytes for entry in source.features)
        explanations, scores = source.explanations, source.scores
        yield (
            f"source: {source.id}: {quantity(features, 'feature')} ({source.dead_features:,} never active), "
            f"{_size(size)} in {quantity(len(source.features), 'file')}; "
            f"{quantity(explanations.rows if explanations else 0, 'explanation')}, "
            f"{_size(explanations.bytes if explanations else 0)}; {quantity(scores.rows if scores else 0, 'score')}, "
            f"{_size(scores.bytes if scores else 0)}"
        )
    size = sum(entry.bytes for entry in (corpus.documents, corpus.vocabulary, *corpus.context_files))
    ids = "ids of the model's tokenizer" if corpus.token_ids == "tokenizer" else "no ids of the model's tokenizer"
    yield (
        f"corpus: {corpus.id}: {quantity(corpus.contexts, 'context')} of at most {corpus.context_size} tokens, "
        f"{quantity(corpus.documents.rows, 'document')}, {quantity(corpus.vocabulary.rows, 'token')} in the "
        f"vocabulary, {ids}, {_size(size)}"
    )
    files = manifest.files()
    yield f"total: {_size(sum(entry.bytes for entry in files))} in {quantity(len(files), 'file')}"


def _public_summary(source: SourceFolder) -> Iterator[str]:
    kinds = dict.fromkeys(batch.kind for batch in source.batches)
    parts = []
    for kind in kinds:
        sizes = [source.folder.size(batch.path) or 0 for batch in source.batches if batch.kind == kind]
        parts.append(f"{kind} {_size(sum(sizes))} in {quantity(len(sizes), 'file')}")
    yield f"source: {source.id}: {'; '.join(parts)}"


def faults(folder: Folder, options: Options) -> Iterator[DatasetError]:
    """Every fault of a dataset: files that differ from the manifest, and the first row of each file that breaks a rule.

    Other formats are read and converted into a temporary folder: every row that cannot be stored is a fault, and so are
    a missing number among the batch files, and a file that differs from the list of a published source.
    """
    try:
        kind = format_of(folder, options.sources)
        if kind is Format.NATIVE:
            yield from _native_faults(folder)
            return
        for source in source_folders(folder, list(options.sources)):
            yield from _missing_numbers(source)
            yield from damaged_files(source.folder, source.listed)
    except DatasetError as error:
        yield error
        return
    lines: list[str] = []
    try:
        with as_native(folder, replace(options, skip_rows=_ALL_ROWS), lines.append) as native:
            rejected = [line.removeprefix(_LEFT_OUT) for line in lines if line.startswith(_LEFT_OUT)]
            yield from (DatasetError(folder.root, line) for line in rejected)
            yield from _native_faults(native)
    except DatasetError as error:
        yield error


_LEFT_OUT = "left out: "


def _missing_numbers(source: SourceFolder) -> Iterator[DatasetError]:
    for kind in dict.fromkeys(batch.kind for batch in source.batches):
        numbers = {batch.number for batch in source.batches if batch.kind == kind}
        missing = sorted(set(range(max(numbers))) - numbers)
        if missing:
            names = ", ".join(f"batch-{number}" for number in missing[:10])
            yield DatasetError(
                source.folder.locate(kind), f"lacks {quantity(len(missing), 'file')} below the last one: {names}"
            )


def _native_faults(folder: Folder) -> Iterator[DatasetError]:
    try:
        manifest = read.read_manifest(folder)
    except DatasetError as error:
        yield error
        return
    damaged = set()
    for entry in manifest.files():
        try:
            read.verify_file(folder, entry)
        except DatasetError as error:
            damaged.add(str(error.path))
            yield error
    for check in _row_checks(folder, manifest):
        try:
            check()
        except DatasetError as error:
            # a damaged file has been named
            if str(error.path) not in damaged:
                yield error


def _row_checks(folder: Folder, manifest: Manifest) -> Iterator[Callable[[], None]]:
    """Checks of the manifest and of the rows of each kind of file, in the order in which they need one another."""
    vocabulary, documents = VocabularyCheck(), DocumentCheck(manifest)
    contexts = ContextCheck(manifest, documents.numbers, vocabulary.token_ids)
    yield lambda: check_manifest(folder, manifest)
    for check, batches in (
        (vocabulary, read.vocabulary_batches),
        (documents, read.document_batches),
        (contexts, read.context_batches),
    ):
        yield lambda check=check, batches=batches: _check_batches(check.check, batches(folder, manifest))
    for source in manifest.source_set.sources:
        features = FeatureCheck(source, contexts.lengths, vocabulary.token_ids)
        yield lambda features=features, source=source: _check_rows_of(folder, source, features)
        yield lambda source=source: _check_batches(
            lambda batch: check_scores(batch, source, contexts.lengths), read.score_batches(folder, source)
        )


def _check_rows_of(folder: Folder, source: Source, features: FeatureCheck) -> None:
    """Check features, then their explanations: after a fault of the features, these would all seem to be of none."""
    _check_batches(features.check, read.feature_batches(folder, source))
    _check_batches(lambda batch: check_explanations(batch, features.indices), read.explanation_batches(folder, source))


def _check_batches(check: Callable[[read.Batch], None], batches: Iterator[read.Batch]) -> None:
    for batch in batches:
        check(batch)


def _known(number: int | None) -> str:
    return "an unknown number of" if number is None else f"{number:,}"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
