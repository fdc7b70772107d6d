"""Speed of the import of a native dataset beside bare COPY of the same rows; bytes on disk beside one row for each
activation.

    .venv/bin/python benchmarks/data/native_import.py                 # the demo's dataset
    .venv/bin/python benchmarks/data/native_import.py my/dataset --rounds 5
    .venv/bin/python benchmarks/data/native_import.py --copies 4      # each of the demo's sources four times

Prints the seconds of imports, each into an empty database, and of bare COPY (binary, from memory) of the rows that the
import stored into the same tables, with the same indexes, constraints and triggers; embeddings are in neither. An
import also reads and checks the files and the rows, lets PostgreSQL verify what it stored, and shows the sources.
`--size` stores the dataset as the known way does too: one row for each activation. Both have features with all of their
examples, their texts, explanations and indexes; the public layout, from which the known way reads, has no scores.
"""

import argparse
import asyncio
import io
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import asyncpg
import databases
import one_row_each
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.manifest import Source
from memicos_dataset.read import read_manifest
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load

DEMO = Path(__file__).parents[2] / "demo" / "dataset"
STATEMENT_LINES = 16_000
"""Of one row for each activation, where only sizes are compared: jsonb has no room for 65,000 of the demo's."""


async def imported(server: str, name: str, dataset: Path) -> float:
    url = await databases.copy_database(server, name)
    return (await load(dataset, url, ImportOptions(ignore_space=True))).seconds


async def ready_rows(url: str) -> dict[str, tuple[list[str], bytes]]:
    """Columns and binary rows of each table."""
    found = {}
    connection = await asyncpg.connect(url)
    try:
        for table in databases.ROWS:
            columns = await connection.fetch(
                """SELECT column_name FROM information_schema.columns
                   WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'
                   ORDER BY ordinal_position""",
                table,
            )
            content, names = io.BytesIO(), [row["column_name"] for row in columns]
            await connection.copy_from_table(table, output=content, columns=names, format="binary")
            found[table] = names, content.getvalue()
    finally:
        await connection.close()
    return found


async def copied(server: str, template: str, rows: dict[str, tuple[list[str], bytes]]) -> float:
    """Seconds of COPY into tables that were emptied."""
    url = await databases.copy_database(server, "copied", template)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"TRUNCATE {', '.join(databases.ROWS)} CASCADE")
        await connection.execute("CHECKPOINT")
        started = time.perf_counter()
        for table, (columns, content) in rows.items():
            await connection.copy_to_table(table, source=io.BytesIO(content), columns=columns, format="binary")
        return time.perf_counter() - started
    finally:
        await connection.close()


async def sizes(server: str, url: str, dataset: Path) -> tuple[int, int, int]:
    """Bytes of memicos's tables, of those without scores, and of one row for each activation."""
    connection = await asyncpg.connect(url)
    try:
        own = await databases.size(connection)
        without_scores = own - await databases.size(connection, ["score"])
    finally:
        await connection.close()
    known = await asyncpg.connect(await databases.copy_database(server, "known"))
    try:
        await one_row_each.create(known)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "public"
            to_public(dataset, out, Options(), lambda line: None)
            for source in sorted(path for path in (out / "v1").glob("*/*") if path.is_dir()):
                await one_row_each.load(known, source, STATEMENT_LINES)
        return own, without_scores, await one_row_each.size(known)
    finally:
        await known.close()


def enlarged(dataset: Path, folder: Path, copies: int) -> Path:
    """The dataset with each source `copies` times."""
    shutil.copytree(dataset, folder)
    manifest = read_manifest(folder)

    def copy(source: Source, number: int) -> Source:
        if not number:
            return source
        own = source.model_copy(update={"id": f"{source.id}__copy{number}"}, deep=True)
        shutil.copytree(folder / source.id, folder / own.id)
        for entry in filter(None, [*own.features, own.explanations, own.scores]):
            entry.path = entry.path.replace(source.id, own.id, 1)
        return own

    sources = [copy(source, number) for source in manifest.source_set.sources for number in range(copies)]
    manifest.source_set.sources = sources
    manifest.write(folder)
    return folder


async def measure(dataset: Path, rounds: int, with_size: bool) -> None:
    features = sum(entry.rows for own in read_manifest(dataset).source_set.sources for entry in own.features)
    async with databases.new_server() as server:
        # the first import also compiles and caches
        await imported(server, "stored", dataset)
        url = databases.named(server, "stored")
        rows = await ready_rows(url)
        pairs = [
            (await imported(server, "again", dataset), await copied(server, "stored", rows)) for _ in range(rounds)
        ]
        found = await sizes(server, url, dataset) if with_size else None
    importing, copying = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{features:,} features; medians of {rounds} rounds")
    print(f"import: {importing:.2f} s, {features / importing:,.0f} features/s")
    print(f"bare COPY of the same rows: {copying:.2f} s; the import has {copying / importing:.2f}x its speed")
    if found:
        own, without_scores, known = found
        print(f"on disk, contexts, scores and indexes included: {own / features:,.0f} bytes for each feature")
        print(f"the same without scores: {without_scores / features:,.0f} bytes for each feature")
        print(
            f"one row for each activation, without scores: {known / features:,.0f} bytes for each feature, "
            f"{known / own:.1f}x and {known / without_scores:.1f}x as many"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the import of a native dataset.")
    parser.add_argument("dataset", nargs="?", type=Path, default=DEMO, help="folder of a native dataset")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", action="store_true", help="also store one row for each activation, to compare sizes")
    parser.add_argument("--copies", type=int, default=1, help="import each source so many times, for a larger dataset")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = args.dataset if args.copies == 1 else enlarged(args.dataset, Path(folder) / "dataset", args.copies)
        asyncio.run(measure(dataset, args.rounds, args.size))


if __name__ == "__main__":
    main()
