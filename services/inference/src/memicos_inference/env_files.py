"""Env files `.env.inference.<model>.<set>`: list them, read their settings, and change their list of source sets."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from memicos_service.settings import is_file, problems
from pydantic import ValidationError

from memicos_inference.settings import Settings, json_list, read

PREFIX = ".env.inference."
TOKEN_LIMIT = 1024
"""TOKEN_LIMIT in a new env file; the default of the setting is short for dashboards and texts."""
_SETS = "SAE_SETS"
_PLAIN = re.compile(r"[\w./:@+-]+")
_ASSIGNED = re.compile(
    rf"""(?P<name>\s*(?:export[^\S\r\n]+)?'?{_SETS}'?[^\S\r\n]*)
    (?:=[^\S\r\n]*(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\r\n]*?))?
    (?P<rest>(?:[^\S\r\n]+\#[^\r\n]*)?[^\S\r\n]*(?:\r\n|\n|\r)?)""",
    re.VERBOSE | re.DOTALL,
)
"""An assignment of SAE_SETS as dotenv reads it, with quotes, comment and line end."""


def config_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}*"))


def show(folder: Path) -> None:
    """Print each known config with the first line of its comment."""
    for file in config_files(folder):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        print(f"{file.name.removeprefix(PREFIX):<60} {first.lstrip('# ')}")  # noqa: T201


def settings_of(env_file: Path | None) -> Settings:
    """Settings of the environment and the file.

    Raises:
        SystemExit: with one line, where they are invalid or there is no such file.
    """
    if env_file and not is_file(env_file):
        names = [file.name.removeprefix(PREFIX) for file in config_files(env_file.parent)]
        listed = f" Known there: {', '.join(names)}." if names and env_file.name.startswith(PREFIX) else ""
        sys.exit(f"inference: there is no env file {env_file}.{listed}")
    try:
        return read(env_file)
    except ValidationError as error:
        sys.exit(f"inference: {problems(Settings, error)}.")
    except ValueError as error:
        sys.exit(f"inference: {error}.")


def server_settings(env_file: Path | None) -> Settings:
    """Settings as `settings_of` reads them, for a server: they must name a model.

    Raises:
        SystemExit: they cannot be used, or name no model.
    """
    settings = settings_of(env_file)
    if not settings.models.configured:
        sys.exit("inference: MODEL_ID is not set. Set it, or name a config by --env-file (--list-configs lists them).")
    return settings


def text_of(env_file: Path) -> str:
    """The text of the file with its line ends unchanged."""
    with env_file.open(encoding="utf-8", newline="") as file:
        return file.read()


def sets_of(text: str) -> tuple[str, ...]:
    """The source sets that an env file names; () where it names none.

    Raises:
        ValueError: the value is not a JSON list of strings.
    """
    value = dotenv_values(stream=StringIO(text)).get(_SETS)
    return json_list(value) if value else ()


def with_sets(text: str, sets: Sequence[str]) -> str:
    """The text of an env file with its source sets replaced by `sets`, and nothing else changed.

    Raises:
        ValueError: an env file cannot contain the value, because dotenv would expand it.
    """
    parts = [(line.key, line.original.string) for line in parse_stream(StringIO(text))]
    last = max((number for number, (key, _) in enumerate(parts) if key == _SETS), default=None)
    if last is None:
        gap = "" if not text or text.endswith(("\n", "\r")) else "\n"
        new = f"{text}{gap}{_line(sets)}\n"
    else:
        match = _ASSIGNED.fullmatch(parts[last][1])
        assert match is not None
        assignment = match["name"] + _line(sets).removeprefix(_SETS) + match["rest"]
        lines = [line for _, line in parts]
        new = "".join([*lines[:last], assignment, *lines[last + 1 :]])
    if sets_of(new) != tuple(sets):
        raise ValueError(f"an env file cannot hold {', '.join(sets)}: ${{…}} in it would be replaced")
    return new


def new_text(settings: Settings, comment: str) -> str:
    """The text of a new env file for model and sources of `settings`."""
    values = {
        "MODEL_ID": settings.model_id,
        "CUSTOM_HF_MODEL_ID": settings.custom_hf_model_id,
        "MODEL_DTYPE": settings.model_dtype,
        "SAE_FOLDER": settings.sae_folder and str(settings.sae_folder.absolute()),
        "SAE_DTYPE": settings.sae_dtype,
        "TOKEN_LIMIT": str(TOKEN_LIMIT),
    }
    lines = [f"{name}={_quoted(value)}" for name, value in values.items() if value]
    return with_sets("\n".join([f"# {' '.join(comment.split())}", *lines, ""]), settings.sae_sets)


def file_name(model: str, source_set: str) -> str:
    """`.env.inference.<model>.<set>`, the model being the last part of its id."""
    name = re.sub(r"[^\w.-]", "-", model.rstrip("/").rpartition("/")[2].lower())
    return f"{PREFIX}{name}.{source_set}"


def _line(sets: Sequence[str]) -> str:
    return f"{_SETS}={_quoted(json.dumps(list(sets), ensure_ascii=False))}"


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
