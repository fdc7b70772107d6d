"""The root of the `memicos` command.

A package contributes a sub-command as an entry point of the group `memicos.commands`: the name is the command's
(`generate`) or the group's and the command's (`sae.add`), the value is a function with Typer's annotations. Its module
is imported when the command runs or when help is printed, so it must import torch and the like inside the function.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

# read when pyarrow is imported, whose own pool keeps memory that was freed: a quarter more for an import
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

ENTRY_POINT_GROUP = "memicos.commands"
GROUP_HELP = {
    "sae": "Add and check SAEs of your own.",
    "model": "Inspect language models.",
    "dataset": "Inspect, verify, convert and compare datasets.",
    "jobs": "List, follow, cancel and resume background jobs, such as imports.",
    "sources": "List, verify, explain, score and delete sources that a webapp has.",
    "db": "Migrate, reset, back up and restore the database of a webapp.",
    "key": "Make, list and revoke keys for programs that write to the webapp.",
    "hosts": "List, add and remove the inference servers of a webapp.",
}
EXTRAS = {
    "generate": "generate",
    "explain": "generate",
    "score": "generate",
    "recompute": "recompute",
    "sae": "inference",
    "model": "inference",
    "selftest": "inference",
    "dataset": "dataset",
    "publish": "dataset",
    "upload": "dataset",
    "import": "webapp",
    "export": "webapp",
    "sources": "webapp",
    "jobs": "webapp",
    "worker": "webapp",
    "db": "webapp",
    "owner-link": "webapp",
    "key": "webapp",
    "embed": "webapp",
    "hosts": "webapp",
}
"""The extra of the distribution `memicos` that installs each sub-command or group, in the order of `memicos --help`."""
NOT_INSTALLED = 2
"""Exit status of a command that is not installed or lacks a package."""

OPTIONS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # help texts contain brackets
}


@dataclass(frozen=True)
class CommandEntry:
    """A sub-command, or a group of them: `entry` is None for a group, whose commands are in `members` by name."""

    entry: EntryPoint | None
    members: Mapping[str, EntryPoint]


def installed_commands() -> dict[str, CommandEntry]:
    """Sub-commands and groups of the installed packages by name, in the order of EXTRAS, then by name."""
    commands: dict[str, EntryPoint] = {}
    groups: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        group, _, name = entry.name.rpartition(".")
        if group:
            groups.setdefault(group, {})[name] = entry
        else:
            commands[name] = entry
    order = list(EXTRAS)
    names = sorted({*commands, *groups}, key=lambda name: (order.index(name) if name in EXTRAS else len(order), name))
    return {name: CommandEntry(commands.get(name), groups.get(name, {})) for name in names}


class RootGroup(TyperGroup):
    """The root group: sub-commands come from entry points, and each is imported when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(installed_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The sub-command; None where no package of memicos has one of that name.

        Raises:
            typer.Exit: no installed package contributes the command, or one that its module imports is missing.
        """
        entry = installed_commands().get(cmd_name)
        if entry is None:
            if cmd_name in EXTRAS:
                _exit_not_installed(cmd_name, None)
            return None
        try:
            return _command(cmd_name, entry)
        except ModuleNotFoundError as error:
            _exit_if_package_missing(cmd_name, error)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            _exit_if_package_missing(ctx.invoked_subcommand, error)
            raise


def _command(name: str, entry: CommandEntry) -> Any:
    app = typer.Typer(**OPTIONS)
    if entry.entry is not None:
        app.command(name)(entry.entry.load())
    else:
        app.callback(no_args_is_help=True, help=GROUP_HELP.get(name))(lambda: None)
        for member, point in sorted(entry.members.items()):
            app.command(member)(point.load())
    command = typer.main.get_command(app)
    command.name = name
    return command


def _exit_if_package_missing(command: str, error: ModuleNotFoundError) -> None:
    """Exit where a whole package is missing; a missing module inside an installed package is a fault of the code."""
    if error.name and "." not in error.name and command in EXTRAS:
        _exit_not_installed(command, error.name)


def _exit_not_installed(command: str, package: str | None) -> None:
    extra = f"memicos[{EXTRAS[command]}]"
    reason = "" if package is None else f": there is no package {package}"
    typer.echo(f"error: memicos {command} needs {extra}{reason}. Install it: pip install '{extra}'", err=True)
    raise typer.Exit(NOT_INSTALLED)


app = typer.Typer(cls=RootGroup, no_args_is_help=True, **OPTIONS)


@app.callback()
def main() -> None:
    """Make, check and import datasets of feature dashboards; add SAEs of your own; verify what a server computes.

    Commands that are not installed are not listed; memicos COMMAND says what installs it.
    """
