"""The inference hosts of this webapp, and the choice of the one that serves a request."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from memicos_inference_client.models import CapabilitiesResponse

from memicos_webapp.errors import Fault
from memicos_webapp.inference import status_messages
from memicos_webapp.inference.errors import HostsNotReady, NoHosts, NotServed, no_host
from memicos_webapp.inference.host import Host, Status
from memicos_webapp.inference.host_config import HostConfig
from memicos_webapp.settings import Settings

OTHERS_SECONDS = 0.05
"""Longest wait for the states of other hosts once one can serve a request: another may be less busy."""

Lookup = Callable[[str], str | None]
"""Value of an environment variable; None where it is unset."""


@dataclass(frozen=True)
class Choice:
    """A host that serves `sources`, with its capabilities."""

    host: Host
    capabilities: CapabilitiesResponse
    sources: list[str]


@dataclass(frozen=True)
class ModelHost:
    """A host that has, or may have, a model; `n_sources` is None where it is not ready."""

    name: str
    status: Status
    n_sources: int | None


class Hosts:
    """Every enabled inference host, by name.

    Args:
        secret_of: Value of a host's secret variable.
    """

    def __init__(self, settings: Settings, secret_of: Lookup) -> None:
        self._settings = settings
        self._secret_of = secret_of
        self._hosts: dict[str, Host] = {}
        self._removed: list[Host] = []

    @property
    def all(self) -> list[Host]:
        return list(self._hosts.values())

    @property
    def loading(self) -> bool:
        """Whether a host is known to load its model."""
        return any(host.last_status is not None and host.last_status.state == "loading" for host in self.all)

    async def replace(self, configs: Sequence[HostConfig]) -> None:
        """Use the hosts of `configs` from now on. Calls of hosts that are removed run to their end."""
        hosts: dict[str, Host] = {}
        for config in configs:
            secret = self._secret_of(config.secret_variable) if config.secret_variable else None
            existing = self._hosts.get(config.name)
            unchanged = existing is not None and (existing.config, existing.secret) == (config, secret)
            hosts[config.name] = existing if existing and unchanged else Host(config, secret, self._settings)
        self._removed += [host for host in self._hosts.values() if host not in hosts.values()]
        self._hosts = hosts
        unused = [host for host in self._removed if not host.busy]
        self._removed = [host for host in self._removed if host.busy]
        await asyncio.gather(*(host.close() for host in unused))

    def check_all(self) -> None:
        """Start a check of every host that is not being checked; none waits for another."""
        for host in self.all:
            host.start_check()

    async def close(self) -> None:
        await asyncio.gather(*(host.close() for host in [*self.all, *self._removed]))

    async def pick(self, model: str, sources: list[str], failed: Mapping[str, Fault] | None = None) -> Choice:
        """The least busy of the hosts that have `model` and all of `sources` and are ready.

        Where the capabilities of a host lack one, they are read again: sources may be added while it runs.

        Args:
            failed: Faults of hosts that were called for this request already, by name; they are left out.

        Raises:
            Fault: No host serves it (503 with each host's reason), or the fault of the one that could.
        """
        (choices,) = await self._choices(model, [sources], failed or {})
        return min(choices, key=lambda choice: choice.host.preference)

    def others_serve(self, model: str, requests: Sequence[list[str]], but: Collection[str]) -> bool:
        """Whether each list of sources is served by a host that is known to be ready and is not named in `but`."""
        hosts = [host for host in self.all if host.name not in but]
        return _enough({host: host.last_status for host in hosts if host.last_status}, model, requests)

    async def split(self, model: str, sources: list[str], failed: Mapping[str, Fault] | None = None) -> list[Choice]:
        """The fewest hosts that together have all of `sources`, each with its share in the order of `sources`.

        Raises:
            Fault: As for `pick`, where no host serves one of the sources.
        """
        choices_by_source = dict(
            zip(sources, await self._choices(model, [[name] for name in sources], failed or {}), strict=True)
        )
        hosts = {choice.host.name: choice for choices in choices_by_source.values() for choice in choices}
        shares: list[Choice] = []
        remaining = list(sources)
        while remaining:
            served = {
                name: [source for source in remaining if any(c.host is choice.host for c in choices_by_source[source])]
                for name, choice in hosts.items()
            }
            name = min(hosts, key=lambda name: (-len(served[name]), hosts[name].host.preference))
            shares.append(Choice(hosts[name].host, hosts[name].capabilities, served[name]))
            remaining = [source for source in remaining if source not in served[name]]
        return shares

    async def status(self, model: str, sources: list[str]) -> Status:
        """The state of inference for `model` and `sources`, for a page."""
        try:
            choice = await self.pick(model, sources)
        except NotServed as fault:
            return Status("down", status_messages.not_loaded(sources[0] if sources else model), fault)
        except NoHosts as fault:
            return Status("down", status_messages.NONE_ENABLED, fault)
        except Fault as fault:
            if len(self._hosts) > 1:
                loading = isinstance(fault, HostsNotReady) and fault.state == "loading"
                return Status("loading" if loading else "down", await self._summary(), fault)
            return await self.all[0].status()
        return await choice.host.status()

    async def hosts_of_model(self, model: str) -> list[ModelHost]:
        """Hosts that have `model`, and hosts that are not ready, which may have it."""
        hosts = self.all
        statuses = await asyncio.gather(*(host.status() for host in hosts))
        return [
            ModelHost(host.name, status, len(status.capabilities.sources) if status.capabilities else None)
            for host, status in zip(hosts, statuses, strict=True)
            if status.capabilities is None or model in status.capabilities.accepted_models
        ]

    async def _summary(self) -> str:
        """The states of all hosts that are not ready, for a page."""
        hosts = self.all
        statuses = await asyncio.gather(*(host.status() for host in hosts))
        return "; ".join(
            f"{host.name}: {status.message}"
            for host, status in zip(hosts, statuses, strict=True)
            if status.state != "ready"
        )

    async def _choices(
        self, model: str, requests: Sequence[list[str]], failed: Mapping[str, Fault]
    ) -> list[list[Choice]]:
        """For each list of sources the hosts that serve all of it; none is empty.

        Raises:
            Fault: No host serves one of the lists.
        """
        states = await self._states(model, requests, failed)
        lacking = [
            host for host, status in states.items() if any(_lacks(host, status, model, sources) for sources in requests)
        ]
        if lacking and not _enough(states, model, requests):
            newest = await asyncio.gather(*(host.status(newest_capabilities=True) for host in lacking))
            states |= dict(zip(lacking, newest, strict=True))
        all_choices: list[list[Choice]] = []
        for sources in requests:
            unable: dict[str, Fault] = {}
            choices: list[Choice] = []
            for host, status in states.items():
                outcome = host.serves(status, model, sources)
                if isinstance(outcome, Fault):
                    unable[host.name] = outcome
                else:
                    choices.append(Choice(host, outcome, sources))
            if not choices:
                raise no_host(f"{model}/{sources[0]}" if sources else f"the model {model}", unable, failed)
            all_choices.append(choices)
        return all_choices

    async def _states(
        self, model: str, requests: Sequence[list[str]], failed: Mapping[str, Fault]
    ) -> dict[Host, Status]:
        """States of all hosts but the failed ones; a slow one is left out where the others can serve the requests."""
        tasks = {asyncio.create_task(host.status()): host for host in self.all if host.name not in failed}
        pending = set(tasks)
        states: dict[Host, Status] = {}
        while pending:
            enough = _enough(states, model, requests)
            done, pending = await asyncio.wait(
                pending, timeout=OTHERS_SECONDS if enough else None, return_when=asyncio.FIRST_COMPLETED
            )
            states |= {tasks[task]: task.result() for task in done}
            if enough and not done:
                break
        for task in pending:
            task.cancel()
        # in the order of the configuration, which messages follow
        return {host: states[host] for host in tasks.values() if host in states}


def _lacks(host: Host, status: Status, model: str, sources: list[str]) -> bool:
    return isinstance(host.serves(status, model, sources), NotServed)


def _enough(states: Mapping[Host, Status], model: str, requests: Sequence[list[str]]) -> bool:
    """Whether every request can be served by a host whose state is known."""
    return all(
        any(not isinstance(host.serves(status, model, sources), Fault) for host, status in states.items())
        for sources in requests
    )
