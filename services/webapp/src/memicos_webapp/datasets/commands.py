"""`memicos import SOURCE…`, or `python -m memicos_webapp.datasets.commands SOURCE…`: import datasets."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.own_files import check_own_files
from memicos_dataset.public_layout.metadata import MetadataOptions, missing_shape
from memicos_dataset.wording import quantity

from memicos_webapp.database.connection import connect
from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.errors import DRIVER_ERRORS, DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets import preview
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import ImportReport, add_import, load
from memicos_webapp.jobs.progress import JobCancelled
from memicos_webapp.settings import read_for_writing


async def _load(folder: str, url: str, options: ImportOptions) -> ImportReport:
    await migrate(url)
    return await load(folder, url, options)


async def _preview(sources: list[str], url: str, options: ImportOptions) -> int:
    """Print what imports would do; returns how many of them would be refused."""
    await migrate(url)
    connection = await connect(url, "memicos-import")
    refused = 0
    try:
        for source in sources:
            metadata = MetadataOptions(**options.metadata)
            listed = await asyncio.to_thread(preview.listed, Folder.of(source), options.sources, metadata)
            found = await preview.complete(connection, listed, Path(options.conversions))
            problems = list(_problems(found, options))
            sys.stdout.write("\n".join([*_preview_lines(found), *problems]) + "\n")
            refused += bool(problems)
    finally:
        await connection.close()
    return refused


def _preview_lines(found: preview.Preview) -> Iterator[str]:
    name = f"{found.model}/{found.set_name}" if found.set_name else found.model
    yield f"{found.location}: {name}, {found.format}, {found.bytes:,} bytes"
    for source in found.sources:
        features = "" if source.features is None else f"{quantity(source.features, 'feature')}, "
        action = "replaces the source that is shown" if source.shown else "new"
        yield f"  {source.id}: {features}{quantity(source.files, 'file')}, {source.bytes:,} bytes; {action}"
    for space in found.space:
        free = "unknown" if space.free is None else preview.gibibytes(space.free)
        yield f"  needs {preview.gibibytes(space.needed)} in {space.place}; free: {free}"


def _problems(found: preview.Preview, options: ImportOptions) -> Iterator[str]:
    """Why the import would be refused, as far as that is known."""
    if found.fault:
        yield f"  would be refused: {found.fault}"
    if problem := missing_shape(found.model_shape):
        yield f"  would be refused: {problem}"
    if found.lack_of_space and not options.ignore_space:
        yield f"  would be refused without --ignore-space: it {found.lack_of_space}"


async def _queue(sources: list[str], url: str, options: ImportOptions) -> None:
    await migrate(url)
    connection = await connect(url, "memicos-import")
    try:
        for source in sources:
            job_id = await add_import(connection, source, options)
            sys.stdout.write(f"job {job_id} is queued: memicos jobs follow {job_id}\n")
    finally:
        await connection.close()


def import_dataset(
    datasets: Annotated[list[str], typer.Argument(help="datasets in any format: folders or URLs")],
    keep_missing: Annotated[
        bool, typer.Option("--keep-missing", help="keep showing sources of the set that the dataset lacks")
    ] = False,
    retire_missing: Annotated[
        bool, typer.Option("--retire-missing", help="hide sources of the set that the dataset lacks")
    ] = False,
    move_sources: Annotated[
        bool, typer.Option("--move-sources", help="move sources into this set that are shown in another set")
    ] = False,
    source: Annotated[list[str] | None, typer.Option(help="import only this source of the public layout")] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="layers of the model, if the files lack it")] = None,
    d_model: Annotated[int | None, typer.Option("--d-model", min=1, help="width of the model, likewise")] = None,
    vocabulary_size: Annotated[int | None, typer.Option(min=1, help="entries of the vocabulary, likewise")] = None,
    counted_tokens: Annotated[int | None, typer.Option(min=1, help="tokens that densities are shares of")] = None,
    license: Annotated[str | None, typer.Option(help="licence of the texts")] = None,
    corpus_url: Annotated[str | None, typer.Option(help="page where the texts are published")] = None,
    ignore_space: Annotated[
        bool, typer.Option("--ignore-space", help="begin although there may be too little space")
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="read files outside of the folder, to which links in it lead")
    ] = False,
    background: Annotated[
        bool, typer.Option("--background", help="queue the imports for the worker (memicos worker), and return")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="list sources, sizes and the space needed, and import nothing")
    ] = False,
) -> None:
    """Import datasets into the database that the settings name, each completely or not at all.

    Importing the same dataset again changes nothing; after an interruption, it continues the import at the file where
    it was.

    Rows that no page could show are left out, up to MEMICOS_IMPORT_REJECT_LIMIT, and listed by `memicos jobs rejects`.

    A dataset that lacks a source which its set shows is refused without --keep-missing or --retire-missing.
    docs/dataset.md describes the folder, docs/webapp.md the settings.
    """
    if keep_missing and retire_missing:
        raise typer.BadParameter("give --keep-missing or --retire-missing, not both")
    missing = (
        MissingSources.KEEP if keep_missing else MissingSources.RETIRE if retire_missing else MissingSources.REFUSE
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = read_for_writing("import")
    metadata = MetadataOptions(layers, d_model, vocabulary_size, counted_tokens, license, corpus_url)
    options = ImportOptions(
        missing=missing,
        move_sources=move_sources,
        retired_seconds=settings.retired_load_seconds,
        reject_limit=settings.import_reject_limit,
        conversions=str(settings.conversions.resolve()),
        sources=tuple(source or ()),
        ignore_space=ignore_space,
        metadata=asdict(metadata),
    )
    try:
        if not follow_links:
            for dataset in datasets:
                check_own_files(Folder.of(dataset), options.sources)
        with database_url(settings) as url:
            if plan:
                sys.exit(1 if asyncio.run(_preview(datasets, url, options)) else 0)
            if background:
                asyncio.run(_queue(datasets, url, options))
                return
            for dataset in datasets:
                _report(asyncio.run(_load(dataset, url, options)))
    except (DatasetError, DatabaseError) as error:
        sys.exit(f"import: {error}")
    except JobCancelled:
        sys.exit("import: it was cancelled; pages still show the previous data")
    except (asyncpg.PostgresError, *DRIVER_ERRORS, OSError) as error:
        sys.exit(f"import: the database reported an error; pages still show the previous data: {error}")


def _report(report: ImportReport) -> None:
    name = f"{report.manifest.model.id}/{report.manifest.source_set.id}"
    for note in report.notes:
        sys.stdout.write(f"{name}: {note}\n")
    if report.loaded:
        counts = f"{quantity(report.features, 'feature')}, {quantity(report.contexts, 'context')}"
        message = f"{name}: {counts} in {report.seconds:.1f} s"
    else:
        message = f"{name} is loaded already"
    sys.stdout.write(message + "\n")


if __name__ == "__main__":
    typer.run(import_dataset)
