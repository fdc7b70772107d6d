"""Names of environment variables: which ones memicos reads, and messages about unknown ones.

In an env file an unknown name is a mistake and is refused. The process environment is not the user's alone
(Kubernetes and docker links add `INFERENCE_PORT=tcp://…` and `INFERENCE_SERVICE_HOST` for a service named
`inference`), so there it is ignored with a warning.
"""

import difflib
import logging
import os
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

PREFIXES = ("MEMICOS_", "INFERENCE_", "AUTOINTERP_")
"""Prefixes of the names of memicos' variables."""
FAMILIES = ("INFERENCE_SECRET_",)
"""Prefixes of names whose rest the user chooses: INFERENCE_SECRET_GPT2 has the secret of the inference host `gpt2`."""
KNOWN_NAMES_FILE = "known_variables.txt"
"""Variables of every service, one per line, written by `make configuration`: a service is installed without the others,
and one env file may serve several of them."""
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+", re.IGNORECASE)


def field_variables(settings: type[BaseSettings], field: str) -> list[str]:
    """Environment variables that set a field, the documented one first."""
    alias = settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias) if alias else f"{settings.model_config.get('env_prefix', '')}{field}".upper()]


def known_names(settings: type[BaseSettings]) -> frozenset[str]:
    """Variables that this service or another one reads."""
    listed = (files("memicos_service") / KNOWN_NAMES_FILE).read_text(encoding="utf-8").split()
    own = (name for field in settings.model_fields for name in field_variables(settings, field))
    return frozenset((*listed, *own))


def unknown(names: Iterable[str], known: frozenset[str]) -> list[str]:
    """The names with a prefix of memicos that no service reads."""
    prefixed = (name for name in names if name.upper().startswith(PREFIXES) and not name.upper().startswith(FAMILIES))
    return [name for name in prefixed if name.upper() not in known]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to an unknown one; None where no name is similar."""
    return next(iter(difflib.get_close_matches(name.upper(), sorted(known), n=1)), None)


def refusal(name: str, known: frozenset[str]) -> str:
    """The error message for an unknown name in an env file."""
    suggestion = nearest(name, known)
    return f"unknown variable {name}" + (f"; the most similar name is {suggestion}" if suggestion else "")


def is_service_link(name: str, value: str | None) -> bool:
    """Whether an orchestrator set the variable to the address of a service of that name."""
    return name.upper().endswith("_PORT") and bool(value and _SERVICE_LINK.fullmatch(value.strip()))


def warning(settings: type[BaseSettings], environment: Mapping[str, str]) -> str | None:
    """One line that names the environment variables that are ignored, without values; None if there are none."""
    known = known_names(settings)
    service_links = sorted(
        name for name, value in environment.items() if name in known and is_service_link(name, value)
    )
    unknown_names = []
    for name in sorted(unknown(environment, known)):
        suggestion = nearest(name, known)
        unknown_names.append(f"{name} (nearest name: {suggestion})" if suggestion else name)
    parts = []
    if service_links:
        parts.append(f"{', '.join(service_links)}: the address of a service (tcp://…) is not a port")
    if unknown_names:
        parts.append(f"unknown: {', '.join(unknown_names)}")
    return f"environment variables are ignored: {'; '.join(parts)}" if parts else None


def warn_of_environment(log: logging.Logger, settings: type[BaseSettings]) -> None:
    """Log one warning that names the ignored variables with a prefix of memicos; called when a program starts."""
    if text := warning(settings, os.environ):
        log.warning("%s", text)


class ServiceSettings(BaseSettings):
    """Base class of a service's settings: `…_PORT=tcp://…`, set by an orchestrator, counts as unset."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _EnvironmentSource(settings_cls), dotenv_settings, file_secret_settings


class _EnvironmentSource(EnvSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], **options: Any) -> None:
        super().__init__(settings_cls, **options)
        self.env_vars = {name: value for name, value in self.env_vars.items() if not is_service_link(name, value)}
