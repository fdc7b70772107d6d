"""The TypeScript client, packages/clients/typescript: types of each service from its OpenAPI document.

openapi-typescript writes the types, openapi-fetch uses them. Both come from npm in the versions of package-lock.json,
so this part of the contracts needs Node; the rest of memicos does not.
"""

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "packages" / "clients" / "typescript"
OLDEST_NODE = 18
INSTALL_SECONDS = 300
INSTALLED_MARK = "node_modules/.package-lock.json"


class NodeError(Exception):
    """TypeScript cannot be generated or compiled; the message states the reason in one line."""


def node_major() -> int | None:
    """Major version of the installed Node; None without Node."""
    if not (shutil.which("node") and shutil.which("npm")):
        return None
    shown = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    major = shown.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdecimal() else None


@cache
def install() -> None:
    """Install the packages of package-lock.json, if they are not.

    Raises:
        NodeError: Node is missing or too old, or npm fails.
    """
    major = node_major()
    if major is None:
        raise NodeError(f"Node is not installed: install Node {OLDEST_NODE} or newer, with npm")
    if major < OLDEST_NODE:
        raise NodeError(f"Node {major} is too old: install Node {OLDEST_NODE} or newer")
    mark, lock = PACKAGE / INSTALLED_MARK, PACKAGE / "package-lock.json"
    if mark.exists() and mark.stat().st_mtime >= lock.stat().st_mtime:
        return
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=PACKAGE, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NodeError(f"npm ci took longer than {INSTALL_SECONDS} seconds") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise NodeError(f"npm ci failed: {lines[0] if lines else f'status {done.returncode}'}")


def types(document: Path) -> str:
    """TypeScript types of an OpenAPI document.

    Raises:
        NodeError: `install` fails, or the generator refuses the document.
    """
    install()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "types.ts"
        command = [PACKAGE / "node_modules/.bin/openapi-typescript", document, "--output", target]
        done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NodeError(f"openapi-typescript failed on {document.name}: {done.stderr.strip()}")
        return target.read_text(encoding="utf-8")


def compile_package(target: Path) -> None:
    """Compile the package with tsc into the folder `target`.

    Raises:
        NodeError: `install` fails, or the sources have errors.
    """
    install()
    command = [PACKAGE / "node_modules/.bin/tsc", "--project", PACKAGE, "--outDir", target]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"tsc: {done.stdout.strip()}")


def file_of(service: str) -> Path:
    """The committed types of a service."""
    return PACKAGE / "src" / f"{service}.ts"
