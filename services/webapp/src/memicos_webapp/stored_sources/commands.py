"""`memicos sources list | verify | delete`, `memicos export`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from asyncpg import Connection, Record
from memicos_dataset.wording import quantity

from memicos_webapp.jobs.commands import with_connection
from memicos_webapp.settings import read_for_writing
from memicos_webapp.stored_sources import delete, selection, verify
from memicos_webapp.stored_sources.export import ExportFormat, export, write_errors

Address = Annotated[str, typer.Argument(help="model/source, or model/set for all sources of the set")]


def list_sources() -> None:
    """List stored sources: features, and when they were verified."""

    async def read(connection: Connection) -> list[str]:
        return [
            f"{row['model_id']}/{row['name']}: {quantity(row['features'], 'feature')}, {state(row)}"
            for row in await selection.all_sources(connection)
        ]

    for line in with_connection("sources list", read):
        sys.stdout.write(line + "\n")


def state(row: Record) -> str:
    """Whether a source was found to be complete."""
    date = f"{row['verified_at']:%Y-%m-%d %H:%M} UTC" if row["verified_at"] else ""
    if row["verification_problem"]:
        return f"incomplete on {date}: {row['verification_problem']}"
    return f"complete, verified {date}" if date else "not verified"


def verify_sources(address: Address) -> None:
    """Compare the stored rows of a source or a set with what was imported. Exit status 1 if they differ."""

    async def run(connection: Connection) -> list[verify.Result]:
        return await verify.verify(connection, await selection.select(connection, address))

    results = with_connection("sources verify", run)
    for result in results:
        sys.stdout.write(verify.describe(result) + "\n")
    if any(result.problems for result in results):
        sys.exit(1)


def delete_sources(address: Address, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Delete a source or a set; explanations that users wrote are kept. Readers see all of it, or nothing."""
    if not yes:
        typer.confirm(f"Delete {address}?", abort=True, err=True)
    seconds = read_for_writing("sources delete").retired_load_seconds

    async def run(connection: Connection) -> int:
        return len((await delete.delete(connection, await selection.select(connection, address), seconds)).hidden)

    deleted = with_connection("sources delete", run)
    sys.stdout.write(f"{address}: {quantity(deleted, 'source')} deleted\n")


def export_sources(
    address: Address,
    out: Annotated[Path, typer.Argument(help="local folder to write; replaced if it exists and --replace is given")],
    to: Annotated[ExportFormat, typer.Option("--format", help="format of the dataset")] = ExportFormat.NATIVE,
    replace: Annotated[bool, typer.Option("--replace", help="replace OUT if it exists")] = False,
) -> None:
    """Write a stored source or set as a dataset, which `memicos import` reads. OUT appears when it is complete."""
    if out.exists() and not replace:
        sys.exit(f"export: {out} exists; name another folder, or replace it with --replace")

    async def run(connection: Connection) -> None:
        chosen = await selection.select(connection, address)
        with write_errors(out.resolve().parent, "name another folder"):
            await export(connection, chosen, out.resolve(), to, _print)

    with_connection("export", run)
    sys.stdout.write(f"{out} is complete\n")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
