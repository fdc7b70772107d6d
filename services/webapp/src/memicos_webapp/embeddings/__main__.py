"""`python -m memicos_webapp.embeddings`: embed explanations that have no vector, and wait until all are done.

A running server does this by itself in the background. `--switch openai` (or `minilm`) embeds all sources again with
another embedder; searches use the new vectors once they are complete.
"""

import argparse
import asyncio
import logging
import sys
from contextlib import nullcontext

import asyncpg
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.registry import open_registry

from memicos_webapp.database.embedded import DatabaseError, embedded
from memicos_webapp.database.migrate import migrate
from memicos_webapp.embeddings.background import embedder_config
from memicos_webapp.embeddings.service import embed_missing, switch_embedder
from memicos_webapp.settings import Settings, read


async def _embed(url: str, settings: Settings, switch_to: str | None) -> int:
    await migrate(url)
    embedders = open_registry(embedder_config(settings))
    try:
        if switch_to is None:
            return await embed_missing(url, embedders)
        return await switch_embedder(url, embedders, switch_to)
    finally:
        await embedders.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m memicos_webapp.embeddings", description="Embed explanations that have no vector yet."
    )
    parser.add_argument("--switch", choices=("minilm", "openai"), help="embed every source again, with this embedder")
    switch_to = parser.parse_args().switch
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = read("embeddings")
    if switch_to == "openai" and not settings.openai_api_key:
        sys.exit("embeddings: openai needs OPENAI_API_KEY")
    url = settings.database_url
    try:
        with nullcontext(url) if url else embedded(settings.data / "postgres") as url:
            count = asyncio.run(_embed(url, settings, switch_to))
    except EmbedderError as error:
        sys.exit(f"embeddings: {error.message} Explanations embedded before the error keep their vectors.")
    except (DatabaseError, asyncpg.PostgresError, OSError) as error:
        sys.exit(f"embeddings: {error}")
    sys.stdout.write(f"{count:,} explanations embedded\n")


if __name__ == "__main__":
    main()
