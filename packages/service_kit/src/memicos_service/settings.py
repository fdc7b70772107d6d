"""Reading a service's settings class from the environment and an env file."""

import sys
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from dotenv.parser import parse_stream
from pydantic import AliasChoices, ValidationError
from pydantic_settings import BaseSettings

from memicos_service.validation import error_text

SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def empty_is_unset(value: Any) -> Any:
    """None for a blank string: `NAME=` in an env file is the same as no line."""
    return None if isinstance(value, str) and not value.strip() else value


def variable(settings: type[BaseSettings], field: str) -> str:
    """The environment variable that sets a field; `field` itself where the class has no such field."""
    info = settings.model_fields.get(field)
    if info is None:
        return field
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return str(alias) if alias else f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def check_env_file(env_file: Path) -> None:
    """
    Raises:
        ValueError: the file cannot be read, is not UTF-8, or has a line that is not NAME=value.
    """
    try:
        text = env_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"{env_file} cannot be read: {reason}") from None
    # python-dotenv would only warn of such a line and ignore it
    for line in parse_stream(StringIO(text)):
        if line.error:
            raise ValueError(f"line {line.original.line} of {env_file} is not NAME=value")


def read(settings: type[SettingsType], env_file: Path | None = None) -> SettingsType:
    """Settings from the environment; `env_file` supplies what the environment does not set.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file is not an env file.
    """
    if env_file is None:
        return settings()
    check_env_file(env_file)
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
    if env_file and not env_file.is_file():
        sys.exit(f"{program}: there is no env file {env_file}.")
    try:
        return read(settings, env_file)
    except ValidationError as error:
        sys.exit(f"{program}: {problems(settings, error)}.")
    except ValueError as error:
        sys.exit(f"{program}: {error}.")
