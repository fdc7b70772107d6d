"""`deploy/docker/.env`, the env file of the docker compose stack: written once with random secrets, and checked.

A file of an earlier version may lack a secret; `write` appends it, and changes nothing that is there.

    python -m memicos_cli.stack_env write FILE     what `make init-env` runs
    python -m memicos_cli.stack_env check FILE     what the commands that start a stack run first

Standard library only, and for old Python versions too: both run before anything is installed.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from memicos_cli.env_file import EnvFileError, parse

SECRETS: dict[str, str] = {
    "POSTGRES_PASSWORD": "Password of PostgreSQL's user memicos.",
    "INFERENCE_SECRET": "What the webapp sends to the inference server as X-SECRET-KEY.",
    "AUTOINTERP_SECRET": "What the webapp sends to the autointerp server as X-SECRET-KEY.",
    "MEMICOS_SECRET_KEY": "What the webapp hashes API keys with; with another one, all keys are unknown.",
    "GRAFANA_PASSWORD": "Password of Grafana's user admin (compose.monitoring.yaml).",
}
"""Secrets that the file must have, and what each is for."""
NEVER_ADDED = ("POSTGRES_PASSWORD",)
"""Secrets that are not added to a file: the database of an earlier start keeps the password that it was made with."""

USER_KEYS: dict[str, str] = {
    "AUTOINTERP_API_KEY": "Key for explanations by a language model: of OpenAI, or of AUTOINTERP_BASE_URL.",
    "OPENAI_API_KEY": "Key for embeddings by OpenAI; unset: a local embedder, which needs none.",
    "HF_TOKEN": "Token for gated models of the Hugging Face hub.",
}
"""Secrets that only the user can supply; the file has a comment for each."""

OPTIONS = (
    (
        "MODEL_SOURCESET",
        "gpt2-small.res-jb",
        "Model and sources of compose.inference.yaml: make inference-list-configs.",
    ),
    ("MEMICOS_HOST", "127.0.0.1", "Address of this machine that the web port is published on; 0.0.0.0: every one."),
    ("MEMICOS_PORT", "3000", "Port of this machine that the webapp is published on."),
    ("MEMICOS_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "Host names that requests may name; add yours."),
    ("INFERENCE_PORT", "5002", "Port of make inference-localhost-run."),
    ("AUTOINTERP_PORT", "5003", "Port of make autointerp-localhost-run."),
    ("AUTOINTERP_BASE_URL", "https://api.openai.com/v1", "OpenAI-compatible endpoint that explains features."),
    ("HUB_CACHE", "~/.cache/huggingface", "Folder of this machine for models of the hub; unset: a docker volume."),
    ("INFERENCE_MEMORY", "4g", "Memory limit of the inference server's container."),
)
"""Settings with a default that most users leave: name, example or default, meaning."""

SHORTEST_SECRET = 16
PREFIXES = ("MEMICOS_", "INFERENCE_", "AUTOINTERP_")
"""Prefixes of memicos' variables: a name with one of them that nothing reads is a mistake."""
FAMILIES = ("INFERENCE_SECRET_",)
"""Prefixes of names that end with a name chosen by the user, that of an inference host."""


def fresh_text() -> str:
    """A new file: every secret with 256 random bits, and a commented-out line for each optional setting."""
    lines = [
        "# The docker compose stack's settings and secrets, written once by `make init-env`. Do not share it:",
        "# git ignores it. PostgreSQL keeps the password of its first start; change both or neither.",
        "",
    ]
    for name, meaning in SECRETS.items():
        lines += ["# " + meaning, name + "=" + secrets.token_urlsafe(32)]
    lines += ["", "# Optional: remove the # in front of a name to set it.", ""]
    for name, meaning in USER_KEYS.items():
        lines += ["# " + meaning, "#" + name + "="]
    for name, example, meaning in OPTIONS:
        lines += ["# " + meaning, "#" + name + "=" + example]
    return "\n".join(lines) + "\n"


def write(file: Path) -> bool:
    """Write a new file, readable by its owner only; False where one exists, which is left as it is.

    The text is complete before the name exists, so no half-written file results from an interruption.

    Raises:
        OSError: the folder cannot be written.
    """
    name = _temporary(file, fresh_text())
    try:
        # unlike a rename, a link never replaces a file
        os.link(name, str(file))
    except FileExistsError:
        return False
    finally:
        Path(name).unlink()
    return True


def add_missing(file: Path) -> list[str]:
    """Append a random value for each secret that an existing file lacks; returns their names.

    Nothing is added to a file with any other problem, and none of its lines changes. An interruption leaves the old
    file or the new one.

    Raises:
        OSError: the file or its folder cannot be written.
    """
    if not file.is_file():
        return []
    names = missing_secrets(file)
    if not names or len(problems(file)) > len(names):
        return []
    target = file.resolve()
    text = target.read_text(encoding="utf-8")
    lines = [text if text.endswith("\n") or not text else text + "\n"]
    for name in names:
        lines.append("# " + SECRETS[name] + "\n" + name + "=" + secrets.token_urlsafe(32) + "\n")
    temporary = Path(_temporary(target, "".join(lines)))
    try:
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except OSError:
        temporary.unlink()
        raise
    return names


def missing_secrets(file: Path) -> list[str]:
    """Secrets that a readable file lacks and that `add_missing` may add."""
    try:
        present = {assignment.name for assignment in parse(file.read_text(encoding="utf-8"))}
    except (OSError, UnicodeDecodeError, EnvFileError):
        return []
    return [name for name in SECRETS if name not in present and name not in NEVER_ADDED]


def _temporary(file: Path, text: str) -> str:
    """The name of a complete new file beside `file`, readable by its owner only."""
    handle, name = tempfile.mkstemp(prefix=".env.", suffix=".tmp", dir=str(file.parent))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as temporary:
            temporary.write(text)
            temporary.flush()
            os.fsync(temporary.fileno())
    except OSError:
        Path(name).unlink()
        raise
    return name


def problems(file: Path) -> list[str]:
    """The problems of a file, one line each: with the line's number where there is one, and without any value."""
    try:
        assignments = parse(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return ["it is not UTF-8"]
    except OSError as error:
        return [str(error.strerror)]
    except EnvFileError as error:
        return [str(error)]
    messages = []
    values = {}
    valid_names = known_names(file.parent)
    for assignment in assignments:
        location = f"line {assignment.line}: "
        if assignment.name in values:
            messages.append(location + assignment.name + " is set a second time")
        values[assignment.name] = assignment
        if assignment.name.startswith(FAMILIES):
            messages.append(
                f"{location}{assignment.name} would reach no container: move the line to a file of its own, and name "
                "that file by WEBAPP_ENV_FILE"
            )
        elif assignment.name.startswith(PREFIXES) and assignment.name not in valid_names:
            messages.append(location + unknown_name(assignment.name, valid_names))
    for name in SECRETS:
        if name not in values:
            added = f"add the line {name}=<at least {SHORTEST_SECRET} random characters>"
            messages.append(f"{name} is missing: " + (added if name in NEVER_ADDED else "make init-env adds it"))
        elif len(values[name].value) < SHORTEST_SECRET:
            messages.append(f"line {values[name].line}: {name} has fewer than {SHORTEST_SECRET} characters")
    return messages


def known_names(folder: Path) -> set[str]:
    """Names that the compose files of a folder read, and those of the file that `write` makes."""
    names = {*SECRETS, *USER_KEYS, *(name for name, _, _ in OPTIONS)}
    for compose in folder.glob("*.yaml"):
        for line in compose.read_text(encoding="utf-8").splitlines():
            if not line.lstrip().startswith("#"):
                names.update(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", line))
                # a variable that is passed on to a container: a key without a value
                names.update(re.findall(r"^\s+([A-Z][A-Z0-9_]*):\s*$", line))
    return names


def unknown_name(name: str, valid_names: set[str]) -> str:
    nearest = difflib.get_close_matches(name, sorted(valid_names), n=1)
    return f"unknown variable {name}" + (f"; the most similar name is {nearest[0]}" if nearest else "")


def refusal(file: Path) -> str | None:
    """Why a stack cannot be started with this file, as one line; None where it can."""
    if file.is_dir():
        return f"{file} is a folder: delete it, then run make init-env"
    if not file.is_file():
        return f"there is no {file}: run make init-env"
    messages = problems(file)
    if not messages:
        return None
    if len(messages) == len(missing_secrets(file)):
        return f"{file} cannot be used: {'; '.join(messages)}."
    advice = (
        "Correct it, or delete it and run make init-env (a database made with the old password needs that password)"
    )
    return f"{file} cannot be used: {'; '.join(messages)}. {advice}."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="init-env", description="The docker compose stack's env file.")
    parser.add_argument("command", choices=("write", "check"))
    parser.add_argument("file", type=Path, nargs="?", default=Path("deploy/docker/.env"))
    options = parser.parse_args(arguments)
    file = options.file
    if options.command == "write":
        try:
            created = write(file)
            added = [] if created else add_missing(file)
        except OSError as error:
            return _fail(f"{file} cannot be written: {error.strerror}.")
        if created:
            print(f"wrote {file} with new random secrets (readable by you only)")
            return 0
        if added:
            print(f"added to {file} with a random value, as it was missing: {', '.join(added)}")
            return 0
    reason = refusal(file)
    if reason:
        return _fail(reason)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        print(f"warning: other users may read {file}: chmod 600 {file}", file=sys.stderr)
    if options.command == "write":
        print(f"{file} exists and is complete; it was not changed")
    return 0


def _fail(text: str) -> int:
    print("init-env: " + text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
