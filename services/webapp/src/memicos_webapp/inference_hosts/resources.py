"""What the routes of inference hosts use of the running application."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from memicos_webapp.database.engine import Database
from memicos_webapp.inference.hosts import Hosts
from memicos_webapp.inference_hosts import service
from memicos_webapp.inference_hosts.schemas import InferenceHostBody, host_body
from memicos_webapp.settings import Settings


@dataclass(frozen=True)
class HostResources:
    """Objects of the running application that the routes use."""

    database: Database
    settings: Settings
    hosts: Hosts

    async def bodies(self) -> list[InferenceHostBody]:
        """All hosts as they are stored now, which the application uses from now on."""
        await service.refresh(self.database, self.settings, self.hosts)
        running = {host.name: host for host in self.hosts.all}
        rows = await service.all_hosts(self.database, self.settings)
        return [host_body(row, running.get(row.config.name)) for row in rows]

    async def body(self, name: str) -> InferenceHostBody:
        return next(body for body in await self.bodies() if body.name == name)


async def _resources(request: Request) -> HostResources:
    state = request.app.state
    return HostResources(state.database, state.settings, state.inference_hosts)


ResourcesDep = Annotated[HostResources, Depends(_resources)]
