"""`memicos embed`, or `python -m memicos_webapp.embeddings.commands`: embed explanations that have no vector."""

import asyncio
import logging
import sys
from enum import StrEnum
from typing import Annotated

import asyncpg
import typer
from memicos_dataset.wording import quantity
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.registry import open_registry

from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.embeddings.background import embedder_config
from memicos_webapp.embeddings.service import embed_missing, switch_embedder
from memicos_webapp.settings import Settings, read_for_writing


class EmbedderName(StrEnum):
    MINILM = "minilm"
    OPENAI = "openai"


async def _embed(url: str, settings: Settings, switch_to: EmbedderName | None) -> int:
    await migrate(url)
    embedders = open_registry(embedder_config(settings))
    try:
        if switch_to is None:
            return await embed_missing(url, embedders)
        return await switch_embedder(url, embedders, switch_to)
    finally:
        await embedders.close()


def embed_explanations(
    switch: Annotated[EmbedderName | None, typer.Option(help="embed every source again, with this embedder")] = None,
) -> None:
    """Embed explanations that have no vector yet, and wait until all are done.

    A running server does this in the background. With --switch, searches use the new vectors once all are there.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for logger in ("alembic", "httpx"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    settings = read_for_writing("embed")
    if switch == EmbedderName.OPENAI and not settings.openai_api_key:
        sys.exit("embed: openai needs OPENAI_API_KEY")
    try:
        with database_url(settings) as url:
            count = asyncio.run(_embed(url, settings, switch))
    except EmbedderError as error:
        sys.exit(f"embed: {error.message} Explanations embedded before the error keep their vectors.")
    except (DatabaseError, asyncpg.PostgresError, OSError) as error:
        sys.exit(f"embed: {error}")
    sys.stdout.write(f"{quantity(count, 'explanation')} embedded\n")


if __name__ == "__main__":
    typer.run(embed_explanations)
