"""The list of inference hosts: those of the settings, and those that the owner adds.

A host that the settings name always has the settings' URL and secret variable, even if another process stored others
under its name; the table only says whether it is enabled.
"""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.service import join_names
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, Conflict, NotFound
from memicos_webapp.inference.host_config import (
    SECRET,
    HostConfig,
    check_name,
    check_secret_variable,
    check_url,
    configured_hosts,
    environment_variable,
)
from memicos_webapp.inference.hosts import Hosts
from memicos_webapp.inference_hosts import repository
from memicos_webapp.inference_hosts.repository import HostRow
from memicos_webapp.settings import Settings


def lookup(settings: Settings) -> Callable[[str], str | None]:
    """Gives the value of a secret variable, None where it is unset."""

    def value(variable: str) -> str | None:
        if variable == SECRET:
            return settings.inference_secret.get_secret_value() if settings.inference_secret else None
        return environment_variable(variable)

    return value


def configured(settings: Settings) -> list[HostConfig]:
    """The hosts that the settings name."""
    return configured_hosts(settings.inference_hosts, settings.inference_url, lookup(settings))


async def store_configured(database: Database, settings: Settings) -> None:
    """Write the hosts of the settings into the table."""
    async with database.transaction() as session:
        await repository.store_configured(session, configured(settings))


async def refresh(database: Database, settings: Settings, hosts: Hosts) -> None:
    """Make `hosts` those of the settings and the table that are enabled."""
    async with database.snapshot() as session:
        stored = await repository.hosts(session)
    await hosts.replace([row.config for row in combined(configured(settings), stored) if row.config.enabled])


def combined(configs: list[HostConfig], stored: list[HostRow]) -> list[HostRow]:
    """Hosts of the settings, then those that the owner added. Hosts of another process's settings are left out."""
    by_name = {row.config.name: row.config for row in stored}
    configured_rows = [replace(config, enabled=by_name.get(config.name, config).enabled) for config in configs]
    names = {config.name for config in configs}
    added = [row for row in stored if not row.configured and row.config.name not in names]
    return [*(HostRow(config, True) for config in configured_rows), *added]


async def all_hosts(database: Database, settings: Settings) -> list[HostRow]:
    async with database.snapshot() as session:
        return combined(configured(settings), await repository.hosts(session))


async def add(database: Database, settings: Settings, config: HostConfig) -> HostConfig:
    """Store a host.

    Raises:
        BadInput: The name, URL or secret variable cannot be used, or the variable is not set.
        Conflict: There is a host of this name.
    """
    config = _checked(config, settings)
    async with database.transaction() as session:
        if not await repository.add(session, config):
            raise Conflict(f"There is an inference host named {config.name} already; change it, or use another name.")
    return config


async def change(
    database: Database,
    settings: Settings,
    name: str,
    *,
    url: str | None = None,
    secret_variable: str | None = None,
    enabled: bool | None = None,
) -> HostRow:
    """Change what is not None; an empty `secret_variable` removes it.

    The variable of a secret must be set where this runs only if the URL or the variable is changed: a host can be
    disabled by a command in an environment that has no secrets.

    Raises:
        NotFound: There is no such host.
        BadInput: A value cannot be used, or the host's settings decide about it.
    """
    async with database.transaction() as session:
        row = await _host(session, settings, name)
        if row.configured and (url is not None or secret_variable is not None):
            raise BadInput(
                f"The URL and secret of {name} come from INFERENCE_URL or MEMICOS_INFERENCE_HOSTS: change them there. "
                "Here it can be enabled and disabled."
            )
        config = replace(
            row.config,
            url=row.config.url if url is None else url,
            secret_variable=row.config.secret_variable if secret_variable is None else secret_variable or None,
            enabled=row.config.enabled if enabled is None else enabled,
        )
        if url is not None or secret_variable is not None:
            config = _checked(config, settings)
        values = {"url": config.url, "secret_variable": config.secret_variable, "enabled": config.enabled}
        await repository.change(session, name, values)
    return HostRow(config, row.configured)


async def remove(database: Database, settings: Settings, name: str) -> None:
    """
    Raises:
        NotFound: There is no such host.
        BadInput: The settings name it.
    """
    async with database.transaction() as session:
        row = await _host(session, settings, name)
        if row.configured:
            raise BadInput(
                f"{name} comes from INFERENCE_URL or MEMICOS_INFERENCE_HOSTS: remove it there, or disable it here."
            )
        await repository.remove(session, name)


async def _host(session: AsyncSession, settings: Settings, name: str) -> HostRow:
    """
    Raises:
        NotFound: There is no host of this name.
    """
    rows = combined(configured(settings), await repository.hosts(session))
    for row in rows:
        if row.config.name == name:
            return row
    raise NotFound(f"There is no inference host {name!r}; there is {join_names([row.config.name for row in rows])}.")


def _checked(config: HostConfig, settings: Settings) -> HostConfig:
    """`config` with its URL in standard form.

    Raises:
        BadInput: A value cannot be used.
    """
    try:
        if config.secret_variable is not None:
            check_secret_variable(config.secret_variable)
        config = replace(config, name=check_name(config.name), url=check_url(config.url))
    except ValueError as error:
        message = str(error)
        raise BadInput(f"{message[0].upper()}{message[1:]}.") from error
    if config.secret_variable and not lookup(settings)(config.secret_variable):
        raise BadInput(f"The webapp's environment has no variable {config.secret_variable}: set it and start it again.")
    return config
