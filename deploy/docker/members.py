"""Dependencies of a member of this repository, read from the pyproject.toml files; run while an image is built.

    members.py requirements memicos-webapp        requirements from the package index, a line each
    members.py folders memicos-webapp             folders of the member and of the members that it needs

A member may be named with extras: `memicos-inference[gguf]`. The versions come from requirements.lock.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")


def normalize(name: str) -> str:
    """A project's name in the normalized form of package indexes (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(requirement: str) -> tuple[str, tuple[str, ...]]:
    """Name and extras of a requirement.

    Raises:
        ValueError: it does not begin with a name.
    """
    match = NAME.match(requirement)
    if match is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    extras = (match[2] or "").split(",")
    return normalize(match[1]), tuple(extra.strip() for extra in extras if extra.strip())


def read_members(root: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Folder and `[project]` table of every member below `root`, by name."""
    members = {}
    for file in sorted([*root.glob("packages/**/pyproject.toml"), *root.glob("services/*/pyproject.toml")]):
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        if "name" in project:
            members[normalize(project["name"])] = (file.parent, project)
    return members


def resolve(root: Path, names: Iterable[str]) -> tuple[list[str], list[Path]]:
    """Requirements from the package index, and folders, of the members `names` and of those that they need.

    Raises:
        ValueError: a name is no member, or a member has no such extra.
    """
    members = read_members(root)
    requirements: set[str] = set()
    folders: set[Path] = set()
    pending = [parse(requirement) for requirement in names]
    if unknown := [name for name, _ in pending if name not in members]:
        raise ValueError(f"no member is named {', '.join(unknown)}")
    resolved: set[tuple[str, tuple[str, ...]]] = set()
    while pending:
        name, extras = item = pending.pop()
        if item in resolved:
            continue
        resolved.add(item)
        folder, project = members[name]
        folders.add(folder)
        optional = project.get("optional-dependencies", {})
        if missing := [extra for extra in extras if extra not in optional]:
            raise ValueError(f"{name} has no extra {', '.join(missing)}")
        for requirement in [*project.get("dependencies", ()), *(line for extra in extras for line in optional[extra])]:
            needed = parse(requirement)
            if needed[0] in members:
                pending.append(needed)
            else:
                requirements.add(requirement)
    return sorted(requirements), sorted(folders)


def main() -> None:
    parser = argparse.ArgumentParser(description="Dependencies of members of this repository.")
    parser.add_argument("what", choices=["requirements", "folders"])
    parser.add_argument("member", nargs="+")
    parser.add_argument("--root", type=Path, default=Path())
    arguments = parser.parse_args()
    try:
        requirements, folders = resolve(arguments.root, arguments.member)
    except ValueError as error:
        sys.exit(f"members.py: {error}")
    lines = requirements if arguments.what == "requirements" else [str(folder) for folder in folders]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
