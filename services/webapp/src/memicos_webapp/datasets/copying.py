"""Rows of an import are checked and copied, and compared with what PostgreSQL has stored.

Three connections share the work. One copies the features, file by file. The import's own copies the texts, and lets
PostgreSQL compute the digests of the features of each source that are stored. The third copies the explanations and
scores of each source whose features are stored, in the transaction that shows the loads: they belong to a source, not
to a load, so that readers see them as soon as they are committed.
Each file of features is stored in one transaction with the row that marks it as loaded, all files of texts in one
together, so that an interrupted import is continued at the files that are not marked. It copies the explanations again.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from asyncpg import Connection
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import FileEntry, Source
from memicos_dataset.wording import quantity

from memicos_webapp.datasets import locks, repository
from memicos_webapp.datasets.repository import StagedLoad
from memicos_webapp.datasets.running_import import RunningImport
from memicos_webapp.datasets.stored_rows import verification
from memicos_webapp.datasets.stored_rows.explanation_rows import ExplanationRows
from memicos_webapp.datasets.stored_rows.row_digests import Stored
from memicos_webapp.datasets.stored_rows.rows import DatasetRows
from memicos_webapp.datasets.stored_rows.verification import StoredLoad
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs

log = logging.getLogger(__name__)


@dataclass
class Copied:
    """Rows that were copied. `problems`: how stored texts and features differ from those that were read."""

    problems: list[str] = field(default_factory=list)
    explained: set[int] = field(default_factory=set)
    """Ids of the loads whose explanations and scores are copied, too."""


async def copy_rows(
    run: RunningImport,
    rows: DatasetRows,
    loads: Sequence[StagedLoad],
    feature_connection: Connection,
    show_connection: Connection,
) -> Copied:
    """Copy the texts and features of `loads` that are not stored yet, and explanations and scores of sources that have
    none of earlier datasets.

    Features are copied over `feature_connection`; explanations and scores over `show_connection`, in the transaction
    that will show the loads; the texts over the import's own connection.
    """
    await jobs.set_stage(run.connection, run.job_id, "copies rows")
    loaded = await file_repository.loaded_files(run.connection, run.job_id)
    run.progress.rows = sum(entry.rows for entry in run.manifest.files() if entry.path in loaded)
    copy = _Copy(run, rows, loaded, list(zip(run.manifest.source_set.sources, loads, strict=True)))
    async with (
        run_concurrently(copy.features(feature_connection)),
        run_concurrently(copy.explanations(show_connection)),
    ):
        await copy.texts()
        await jobs.set_stage(run.connection, run.job_id, "copies explanations and shows the sources")
    return copy.copied


@asynccontextmanager
async def run_concurrently(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work`, which uses another connection, while the body runs, and await its end; it is cancelled where the body
    fails. The body is never cancelled by a failure of `work`: that could leave the import's own connection in a
    transaction, in which the failure would be recorded and rolled back.
    """
    task = asyncio.create_task(work)
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclass
class _Copy:
    """The rows of a dataset on their way to the database. `loaded`: paths of the files that are stored."""

    run: RunningImport
    rows: DatasetRows
    loaded: set[str]
    sources: list[tuple[Source, StagedLoad]]
    copied: Copied = field(default_factory=Copied)

    def __post_init__(self) -> None:
        self._contexts_checked = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._loads_with_texts: asyncio.Future[dict[int, StoredLoad]] = loop.create_future()
        self._features_copied: dict[str, asyncio.Future[bool]] = {
            source.id: loop.create_future() for source, _ in self.sources
        }

    async def features(self, connection: Connection) -> None:
        """Copy the features, which are checked against the contexts, and update the planner's statistics."""
        await self._contexts_checked.wait()
        try:
            for source, load in self.sources:
                self.rows.begin_source(source, await repository.stored_indices(connection, load.load_id))
                for entry in source.features:
                    await self._file(connection, source, entry, load.load_id)
                if not self._features_copied[source.id].done():
                    self._features_copied[source.id].set_result(True)
        finally:
            self._give_up_features()
        await asyncio.shield(self._loads_with_texts)
        await repository.analyse_rows(connection)

    async def texts(self) -> None:
        """Copy the texts, then verify the features of each source that are copied, and note what the load has.

        Ends early where features or explanations could not be copied.
        """
        connection, run, rows = self.run.connection, self.run, self.rows
        if any(load.corpus_id is None for _, load in self.sources):
            async with connection.transaction():
                await locks.share_corpus(connection)
                corpus_id = await self._corpus()
                await repository.set_corpus(connection, [load.load_id for _, load in self.sources], corpus_id)
                corpus = run.manifest.corpus
                texts = [corpus.documents, corpus.vocabulary, *corpus.context_files]
                await file_repository.mark_loaded(connection, run.job_id, [entry.path for entry in texts])
                await file_repository.note_progress(connection, run.job_id)
        else:
            await asyncio.to_thread(rows.check_contexts)
            self._contexts_checked.set()
        stored_loads = {load.load_id: load for load in await run.stored_loads()}
        self._loads_with_texts.set_result(stored_loads)
        for corpus_id in {load.corpus_id for load in stored_loads.values()}:
            self.copied.problems += await verification.corpus_problems(connection, corpus_id)
        for source, load in self.sources:
            if not await asyncio.shield(self._features_copied[source.id]):
                return
            await self._note_features(source, load.load_id)
            if (source, load) == self.sources[-1]:
                await jobs.set_stage(connection, run.job_id, "verifies the stored rows")
            stored = stored_loads[load.load_id]
            for problem in await verification.problems(connection, stored, (verification.FEATURES,)):
                self.copied.problems.append(f"{stored.name}: {problem}")

    async def explanations(self, connection: Connection) -> None:
        """Copy explanations and scores of each source whose features are copied.

        Not where they replace some of an earlier dataset: whoever scores one that is to be deleted waits for the end of
        the transaction, which should be soon.
        """
        loads = await asyncio.shield(self._loads_with_texts)
        try:
            for source, load in self.sources:
                if not await asyncio.shield(self._features_copied[source.id]):
                    return
                if not await repository.has_explanations(connection, load.source_id):
                    await replace_explanations(self.run, connection, self.rows, source, loads[load.load_id])
                    self.copied.explained.add(load.load_id)
        finally:
            # a refused row ends the import before the features of all later sources are copied
            self._give_up_features()

    def _give_up_features(self) -> None:
        """Mark the features that are not copied yet as lost, so that nothing waits for them."""
        for copied in self._features_copied.values():
            if not copied.done():
                copied.set_result(False)

    async def _corpus(self) -> int:
        """The id of the dataset's corpus; it is copied unless another load has brought the same one."""
        run, rows, connection, corpus = self.run, self.rows, self.run.connection, self.run.manifest.corpus
        digest = hashlib.sha256(corpus.model_dump_json(exclude_defaults=True).encode()).hexdigest()
        corpus_id = await repository.add_corpus(connection, corpus, digest)
        if corpus_id is None:
            # examples are checked against the contexts
            await asyncio.to_thread(rows.check_contexts)
            self._contexts_checked.set()
            return await repository.corpus_id(connection, digest)
        stored = Stored()
        documents, contexts = rows.documents(corpus_id), rows.contexts(corpus_id, stored)
        await repository.copy(connection, "document", rows.DOCUMENT, run.progress.records(documents))
        await repository.copy_binary(connection, "context", rows.CONTEXT, run.progress.chunks(contexts))
        self._contexts_checked.set()
        vocabulary = run.progress.chunks(rows.vocabulary(corpus_id, stored))
        await repository.copy_binary(connection, "vocabulary", rows.VOCABULARY, vocabulary)
        await repository.set_digest(connection, corpus_id, stored.digest)
        return corpus_id

    async def _note_features(self, source: Source, load_id: int) -> None:
        connection, run, rows = self.run.connection, self.run, self.rows
        line = f"{run.manifest.model.id}/{source.id}: {quantity(rows.feature_count(source), 'feature')}"
        log.info(line)
        await jobs.add_line(connection, run.job_id, line)
        await repository.count_features(connection, load_id, rows.feature_count(source))
        stored = await file_repository.stored(connection, run.job_id, [entry.path for entry in source.features])
        await verification.note_part(connection, load_id, verification.FEATURES, *stored)

    async def _file(self, connection: Connection, source: Source, entry: FileEntry, load_id: int) -> None:
        """Copy a file of features, unless it is stored."""
        if entry.path in self.loaded:
            return
        run, stored = self.run, Stored()
        chunks = run.progress.chunks(self.rows.features(source, entry, load_id, stored))
        async with connection.transaction():
            await repository.copy_binary(connection, "feature", self.rows.FEATURE, chunks)
            await file_repository.mark_loaded(connection, run.job_id, [entry.path], stored.rows, stored.digest)
            await file_repository.note_progress(connection, run.job_id)
            # it holds the import's locks, without which another worker may have begun to copy the same file
            if run.connection.is_closed():
                raise ConnectionResetError("the import's connection to the database has ended")


async def replace_explanations(
    run: RunningImport, connection: Connection, rows: DatasetRows, source: Source, load: StoredLoad
) -> None:
    """Replace explanations and scores without an author of a source whose features `rows` has read, note what the load
    has of them, and compare the explanations with what PostgreSQL has stored.

    Called in the transaction of `connection` that shows the loads. What users wrote is kept. Explanations that are
    equal in index, description, method and model keep their rows, with what the dataset says of their requests.

    Raises:
        DatasetError: a row cannot be shown, or PostgreSQL has stored others.
    """
    known = await repository.known_explanations(connection, load.source_id)
    count = source.explanations.rows if source.explanations else 0
    new_ids = iter(await repository.explanation_ids(connection, count))
    explanations, scores, own = Stored(), Stored(), rows.explanations(source, known, new_ids)
    if source.explanations:
        chunks = run.progress.chunks(own.explanations(load.source_id, explanations))
        await repository.copy_binary(connection, "explanation", ExplanationRows.EXPLANATION, chunks)
        path = source.explanations.path
        await file_repository.mark_loaded(connection, run.job_id, [path], explanations.rows, explanations.digest)
    changes = own.changed_requests()
    while (part := await asyncio.to_thread(next, changes, None)) is not None:
        await repository.change_requests(connection, part)
    await repository.delete_explanations(connection, known.missing())
    await repository.delete_scores(connection, load.source_id)
    if source.scores:
        chunks = run.progress.chunks(own.scores(load.corpus_id, scores))
        await repository.copy_binary(connection, "score", ExplanationRows.SCORE, chunks)
        await file_repository.mark_loaded(connection, run.job_id, [source.scores.path], scores.rows)
    await verification.note_part(
        connection, load.load_id, verification.EXPLANATIONS, explanations.rows, explanations.digest
    )
    await verification.note_part(connection, load.load_id, verification.SCORES, scores.rows)
    if problems := await verification.problems(connection, load, (verification.EXPLANATIONS,)):
        raise not_as_read(run, [f"{load.name}: {problem}" for problem in problems])


def not_as_read(run: RunningImport, problems: Sequence[str]) -> DatasetError:
    """The error of an import whose stored rows differ from those that were read."""
    return DatasetError(run.folder.root, f"was not stored as it was read: {'; '.join(problems)}")
