"""`python -m memicos_webapp.embeddings.embed`: give explanations their vectors now, or other vectors.

The server does it by itself in the background; this waits until it is done. `--switch openai` (or `minilm`) embeds
all sources anew and lets search use the new vectors when they are complete.
"""

import argparse
import asyncio
import logging
import sys
from contextlib import nullcontext

import asyncpg

from memicos_webapp.database.embedded import DatabaseError, embedded
from memicos_webapp.database.migrate import migrate
from memicos_webapp.embeddings.embedders import EmbedderFault, open_embedders
from memicos_webapp.embeddings.service import embed_missing, switch
from memicos_webapp.settings import Settings, read


async def _embed(url: str, settings: Settings, key: str | None) -> int:
    await migrate(url)
    embedders = open_embedders(settings)
    try:
        if key is None:
            return await embed_missing(url, embedders)
        return await switch(url, embedders, key)
    finally:
        await embedders.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Embed explanations that have no vector yet.")
    parser.add_argument("--switch", choices=("minilm", "openai"), help="embed every source anew, with this embedder")
    key = parser.parse_args().switch
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = read("embed")
    if key == "openai" and not settings.openai_api_key:
        sys.exit("embed: openai needs OPENAI_API_KEY")
    url = settings.database_url
    try:
        with nullcontext(url) if url else embedded(settings.data / "postgres") as url:
            count = asyncio.run(_embed(url, settings, key))
    except EmbedderFault as error:
        sys.exit(f"embed: {error.message} What was embedded before stays.")
    except (DatabaseError, asyncpg.PostgresError, OSError) as error:
        sys.exit(f"embed: {error}")
    sys.stdout.write(f"{count:,} explanations embedded\n")


if __name__ == "__main__":
    main()
