"""Explanations and scores of a dataset, which take the place of those of its sources' earlier loads.

Unlike features they belong to a source, not to a load, so that readers see them as soon as they are committed. They are
copied in the transaction that shows the loads, and an interrupted import copies them again. What users wrote is kept.
"""

import asyncio

from memicos_dataset.manifest import Source

from memicos_webapp.datasets import repository
from memicos_webapp.datasets.running_import import RunningImport
from memicos_webapp.datasets.stored_rows import verification
from memicos_webapp.datasets.stored_rows.explanation_rows import ExplanationRows
from memicos_webapp.datasets.stored_rows.row_digests import Stored
from memicos_webapp.datasets.stored_rows.rows import DatasetRows
from memicos_webapp.datasets.stored_rows.verification import StoredLoad
from memicos_webapp.jobs import file_repository


async def replace(run: RunningImport, rows: DatasetRows, source: Source, load: StoredLoad) -> None:
    """Replace explanations and scores without an author of a source whose features `rows` has read, and note what the
    load has of them.

    Explanations that are equal in index, description, method and model keep their rows, with what the dataset says of
    their requests.
    """
    connection = run.connection
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
