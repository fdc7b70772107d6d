"""`memicos import FOLDER`, or `python -m memicos_webapp.datasets.load FOLDER`: import a dataset into the database."""

import asyncio
import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from memicos_dataset.errors import DatasetError

from memicos_webapp.database.embedded import DatabaseError, embedded
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import Report, load
from memicos_webapp.settings import read


async def _load(folder: Path, url: str) -> Report:
    await migrate(url)
    return await load(folder, url)


def import_dataset(folder: Annotated[Path, typer.Argument(help="folder with a manifest.json")]) -> None:
    """Import a dataset into the database that the settings name: all of it or nothing, and a second time is harmless.

    docs/dataset.md describes the folder, docs/webapp.md the settings.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = read("import")
    url = settings.database_url
    try:
        with nullcontext(url) if url else embedded(settings.data / "postgres") as url:
            report = asyncio.run(_load(folder, url))
    except (DatasetError, DatabaseError) as error:
        sys.exit(f"import: {error}")
    except (asyncpg.PostgresError, OSError) as error:
        sys.exit(f"import: the database did not take it, nothing has changed: {error}")
    what = f"{report.manifest.model.id}/{report.manifest.source_set.id}"
    if report.loaded:
        message = f"{what}: {report.features:,} features, {report.contexts:,} contexts in {report.seconds:.1f} s"
    else:
        message = f"{what} is loaded already"
    sys.stdout.write(message + "\n")


if __name__ == "__main__":
    typer.run(import_dataset)
