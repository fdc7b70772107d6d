"""SQL of the table of inference hosts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete as delete_from
from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.inference.host_config import HostConfig
from memicos_webapp.inference_hosts.models import InferenceHost


@dataclass(frozen=True)
class HostRow:
    """A host as stored. `configured`: settings of the webapp name it."""

    config: HostConfig
    configured: bool


def _row(host: InferenceHost) -> HostRow:
    return HostRow(HostConfig(host.name, host.url, host.secret_variable, host.enabled), host.configured)


async def hosts(session: AsyncSession) -> list[HostRow]:
    """All hosts, in the order in which they were added."""
    return [_row(host) for host in await session.scalars(select(InferenceHost).order_by(InferenceHost.id))]


async def add(session: AsyncSession, config: HostConfig) -> bool:
    """Store a host; False where one of this name exists."""
    statement = (
        insert(InferenceHost)
        .values(name=config.name, url=config.url, secret_variable=config.secret_variable, enabled=config.enabled)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(InferenceHost.id)
    )
    return await session.scalar(statement) is not None


async def change(session: AsyncSession, name: str, values: Mapping[str, Any]) -> None:
    """Set columns of a host."""
    await session.execute(update(InferenceHost).where(InferenceHost.name == name).values(**values))


async def remove(session: AsyncSession, name: str) -> None:
    await session.execute(delete_from(InferenceHost).where(InferenceHost.name == name))


async def store_configured(session: AsyncSession, configs: Sequence[HostConfig]) -> None:
    """Store the hosts that settings name, and delete those that they named before. Disabled hosts stay disabled."""
    names = [config.name for config in configs]
    await session.execute(delete_from(InferenceHost).where(InferenceHost.configured, InferenceHost.name.not_in(names)))
    for config in configs:
        statement = insert(InferenceHost).values(
            name=config.name, url=config.url, secret_variable=config.secret_variable, configured=True
        )
        excluded = statement.excluded
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["name"],
                set_={"url": excluded.url, "secret_variable": excluded.secret_variable, "configured": True},
                where=or_(
                    InferenceHost.url != excluded.url,
                    InferenceHost.secret_variable.is_distinct_from(excluded.secret_variable),
                    ~InferenceHost.configured,
                ),
            )
        )
