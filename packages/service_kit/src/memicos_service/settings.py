"""Reading a service's settings class from the environment and an env file."""

import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from memicos_service.validation import error_text
from memicos_service.variable_names import field_variables, is_service_link, known_names, refusal, unknown

SettingsType = TypeVar("SettingsType", bound=BaseSettings)

_QUOTED = re.compile(r"""\s*(?:export\s+)?\w+\s*=\s*['"]""")
"""The beginning of a line with a quoted value."""


def empty_is_unset(value: Any) -> Any:
    """None for a blank string: `NAME=` in an env file is the same as no line."""
    return None if isinstance(value, str) and not value.strip() else value


def variable(settings: type[BaseSettings], field: str) -> str:
    """The environment variable that sets a field; `field` itself where the class has no such field."""
    return field_variables(settings, field)[0] if field in settings.model_fields else field


def is_file(path: Path) -> bool:
    """Whether the path is a file; False where the system cannot look it up, as for a name that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def check_env_file(env_file: Path, settings: type[BaseSettings]) -> None:
    """
    Raises:
        ValueError: the file cannot be read, is not UTF-8, has a line that is not NAME=value, or a name that begins
            with a prefix of memicos and that no service reads; or it sets a port of any service to an address.
    """
    try:
        text = env_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"{env_file} cannot be read: {reason}") from None
    known = known_names(settings)
    for binding in parse_stream(StringIO(text)):
        # a binding begins with the empty lines and comments before it
        blank = len(binding.original.string) - len(binding.original.string.lstrip())
        number = binding.original.line + binding.original.string[:blank].count("\n")
        # python-dotenv would ignore such a line, and a name without a value
        if binding.error or (binding.key and binding.value is None):
            quoted = _QUOTED.match(binding.original.string)
            fault = "has a quotation mark that is not closed" if quoted else "is not NAME=value"
            raise ValueError(f"line {number} of {env_file} {fault}: complete the line, or delete it")
        if binding.key and unknown([binding.key], known):
            raise ValueError(f"line {number} of {env_file}: {refusal(binding.key, known)}")
        if binding.key and binding.key.upper() in known and is_service_link(binding.key, binding.value):
            raise ValueError(f"line {number} of {env_file}: {binding.key} is the address of a service, not a port")


def read(settings: type[SettingsType], env_file: Path | None = None) -> SettingsType:
    """Settings from the environment; `env_file`, or the class's own, supplies what the environment does not set.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file is not an env file, or has an unknown name.
    """
    if env_file is None:
        default = settings.model_config.get("env_file")
        if isinstance(default, str) and Path(default).is_file():
            check_env_file(Path(default), settings)
        return settings()
    check_env_file(env_file, settings)
    return settings(_env_file=env_file)  # pyright: ignore[reportCallIssue]  # declared by pydantic-settings only


def problems(settings: type[BaseSettings], error: ValidationError) -> str:
    """Every bad value as `VARIABLE: what is wrong`, without the value: it may be a secret."""
    lines = []
    for problem in error.errors(include_input=False):
        # the location is the field, or the alias that a value was found under
        names = [variable(settings, str(name)) for name in problem["loc"][:1]]
        lines.append(": ".join([*names, error_text(problem)]))
    return "; ".join(lines)


def read_or_exit(program: str, settings: type[SettingsType], env_file: Path | None = None) -> SettingsType:
    """`read`, but ends the program with one line on standard error where that fails."""
    if env_file and not is_file(env_file):
        sys.exit(f"{program}: there is no env file {env_file}.")
    try:
        return read(settings, env_file)
    except ValidationError as error:
        sys.exit(f"{program}: {problems(settings, error)}.")
    except ValueError as error:
        sys.exit(f"{program}: {error}.")
