"""`python -m memicos_webapp.datasets.load FOLDER`: import a dataset into the database."""

import argparse
import asyncio
import logging
import sys
from contextlib import nullcontext
from pathlib import Path

import asyncpg
from memicos_dataset.errors import DatasetError

from memicos_webapp.database.embedded import DatabaseError, embedded
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.datasets.service import ImportOptions, ImportReport, load
from memicos_webapp.settings import read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Import a dataset into the database that the settings name.")
    parser.add_argument("folder", type=Path, help="folder with a manifest.json")
    missing = parser.add_mutually_exclusive_group()
    missing.add_argument(
        "--keep-missing",
        dest="missing",
        action="store_const",
        const=MissingSources.KEEP,
        default=MissingSources.REFUSE,
        help="keep showing sources of the set that the dataset lacks (without this or --retire-missing it is refused)",
    )
    missing.add_argument(
        "--retire-missing",
        dest="missing",
        action="store_const",
        const=MissingSources.RETIRE,
        help="hide sources of the set that the dataset lacks",
    )
    parser.add_argument(
        "--move-sources", action="store_true", help="move sources into this set that are shown in another set"
    )
    return parser


async def _load(folder: Path, url: str, options: ImportOptions) -> ImportReport:
    await migrate(url)
    return await load(folder, url, options)


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = read("import")
    options = ImportOptions(arguments.missing, arguments.move_sources, settings.retired_load_seconds)
    url = settings.database_url
    try:
        with nullcontext(url) if url else embedded(settings.data / "postgres") as url:
            report = asyncio.run(_load(arguments.folder, url, options))
    except (DatasetError, DatabaseError) as error:
        sys.exit(f"import: {error}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        sys.exit(f"import: the database refused it, pages show what they showed before: {error}")
    name = f"{report.manifest.model.id}/{report.manifest.source_set.id}"
    for note in report.notes:
        sys.stdout.write(f"{name}: {note}\n")
    if report.loaded:
        message = f"{name}: {report.features:,} features, {report.contexts:,} contexts in {report.seconds:.1f} s"
    else:
        message = f"{name} is loaded already"
    sys.stdout.write(message + "\n")


if __name__ == "__main__":
    main()
