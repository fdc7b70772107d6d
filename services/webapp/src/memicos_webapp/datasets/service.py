"""What an import does, step by step.

1. Every file is compared with the manifest's sha256, before anything is written.
2. Texts and features are copied under new ids, which no reader looks at, and counted.
3. The explanations that came with the previous load are replaced, and the sources pointed at the new one.
4. What nothing points at any more is deleted.

Steps 2 and 3 are one transaction: an import that fails or is killed leaves what was shown before, and nothing
of its own. Explanations that people wrote are kept.
"""

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from memicos_dataset import read
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import FILE_NAME, Manifest

from memicos_webapp.catalog.names import check_name
from memicos_webapp.datasets import repository, rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What an import did; `loaded` is false where the dataset was there already."""

    manifest: Manifest
    loaded: bool
    features: int
    contexts: int
    seconds: float


def _check_names(folder: Path, manifest: Manifest) -> None:
    names = [manifest.model.id, manifest.release.id, manifest.source_set.id]
    for name in [*names, *(source.id for source in manifest.source_set.sources)]:
        problem = check_name(name)
        if problem:
            raise DatasetError(folder / FILE_NAME, problem)


async def load(folder: Path, url: str) -> Report:
    """Import the dataset in `folder` into the migrated database at `url` (`postgresql://…`).

    Raises:
        DatasetError: a file is missing, damaged or inconsistent; readers see what they saw before.
    """
    started = time.perf_counter()
    manifest = read.read_manifest(folder)
    _check_names(folder, manifest)
    sources = manifest.source_set.sources
    connection = await asyncpg.connect(url, server_settings={"application_name": "memicos-import"})
    try:
        await repository.lock(connection)
        sha256 = hashlib.sha256((folder / FILE_NAME).read_bytes()).hexdigest()
        names = [source.id for source in sources]
        loaded = await repository.shown(connection, manifest.model.id, names, sha256) < len(names)
        if loaded:
            read.verify(folder, manifest)
            async with connection.transaction():
                await _replace(connection, folder, manifest, sha256)
            await repository.sweep(connection)
            await repository.analyse(connection)
    finally:
        await connection.close()
    features = sum(entry.rows for source in sources for entry in source.features)
    seconds = time.perf_counter() - started
    return Report(manifest, loaded, features, manifest.corpus.contexts, seconds)


async def _replace(connection: asyncpg.Connection, folder: Path, manifest: Manifest, sha256: str) -> None:
    source_ids = await repository.describe(connection, manifest)
    tokens = rows.vocabulary(folder, manifest)
    corpus_id = await _add_corpus(connection, folder, manifest, tokens)
    await repository.stage_explanations(connection)
    load_ids = {}
    for source in manifest.source_set.sources:
        source_id = source_ids[source.id]
        load_id = await repository.add_load(connection, source, source_id, corpus_id, sha256)
        features = rows.features(folder, manifest, source, load_id, tokens)
        await repository.copy(connection, "feature", rows.FEATURE, features)
        explanations = rows.explanations(folder, source, source_id)
        await repository.copy(connection, "incoming", rows.EXPLANATION, explanations)
        count = await repository.count_features(connection, load_id)
        expected = sum(entry.rows for entry in source.features)
        if count != expected:
            problem = f"{count} features arrived, the manifest says {expected}"
            raise DatasetError(folder / source.features[0].path, problem)
        load_ids[source_id] = load_id
        log.info("%s/%s: %d features", manifest.model.id, source.id, count)
    await repository.merge_explanations(connection, list(source_ids.values()))
    await repository.show(connection, load_ids)


async def _add_corpus(connection: asyncpg.Connection, folder: Path, manifest: Manifest, tokens: dict[int, str]) -> int:
    """The id of the dataset's corpus, copied unless the same one is there from another load."""
    corpus = manifest.corpus
    digest = hashlib.sha256(corpus.model_dump_json().encode()).hexdigest()
    found = await repository.corpus_id(connection, digest)
    if found is not None:
        return found
    corpus_id = await repository.add_corpus(connection, corpus, digest)
    documents = rows.documents(folder, manifest, corpus_id)
    await repository.copy(connection, "document", rows.DOCUMENT, documents)
    contexts = rows.contexts(folder, manifest, corpus_id, tokens)
    await repository.copy(connection, "context", rows.CONTEXT, contexts)
    count = await repository.count_contexts(connection, corpus_id)
    if count != corpus.contexts:
        problem = f"{count} contexts arrived, the manifest says {corpus.contexts}"
        raise DatasetError(folder / corpus.context_files[0].path, problem)
    return corpus_id
