"""`python -m memicos_webapp.database.check`: compare the tables that the migrations make with the models."""

import asyncio
import sys

from memicos_webapp.database.connection import create_engine
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import differences, migrate


async def check(url: str) -> list[str]:
    await migrate(url)
    engine = create_engine(url, "memicos-check", {})
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(differences)
    finally:
        await engine.dispose()


def main() -> None:
    with temporary() as url:
        differing = asyncio.run(check(url))
    if differing:
        lines = "\n  ".join(differing)
        sys.exit(f"The models differ from the migrations; add a revision:\n  {lines}")
    sys.stdout.write("Migrations match the models.\n")


if __name__ == "__main__":
    main()
