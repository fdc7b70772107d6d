"""The language model that a bulk command calls: profile, key, connections and stored answers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from memicos_autointerp_core.bulk.estimate import Estimate, describe
from memicos_autointerp_core.bulk.meter import Meter
from memicos_autointerp_core.bulk.state import StoredSample, digest
from memicos_autointerp_core.providers.answer_cache import DiskAnswerCache
from memicos_autointerp_core.providers.choice import find_profile, profile_key
from memicos_autointerp_core.providers.client import Provider, open_http
from memicos_autointerp_core.providers.least_busy import LeastBusyTransport
from memicos_autointerp_core.providers.profile import Profile
from memicos_autointerp_core.providers.settings import ProviderSettings
from pydantic import SecretStr

from memicos_pipeline.execution.ray_environment import prepare_environment
from memicos_pipeline.replicas.plan import ReplicaPlan

STATE_FILE = "state.sqlite"


@dataclass(frozen=True)
class ModelChoice:
    """Which language model a run asks.

    Attributes:
        profile, model: None: the default ones.
        budget: US dollars; None: no limit, after a yes.
        replicas: servers to start, which are asked in place of a profile's endpoint.
    """

    profile: str | None = None
    model: str | None = None
    budget: float | None = None
    replicas: ReplicaPlan | None = None


@dataclass(frozen=True)
class BulkModel:
    """`work`: names what results depend on of profile and model; `key`: of the profile; `samples`: of the cost."""

    profile: Profile
    model: str
    meter: Meter
    work: str
    key: SecretStr | None
    cache: DiskAnswerCache
    samples: StoredSample


@asynccontextmanager
async def open_model(
    settings: ProviderSettings,
    choice: ModelChoice,
    folder: Path,
    run: dict[str, object],
    report: Callable[[str], None],
) -> AsyncIterator[BulkModel]:
    """The model of a run, whose answers and payments are stored in `folder`.

    Args:
        run: what, besides profile and model, makes this run another one than others: payments, and the sample of
            the cost, are of one run.
        report: is called with lines about replicas.

    Raises:
        ProfileError: see `find_profile`; or there is no key.
        CacheError: the stored answers cannot be used.
    """
    plan = choice.replicas
    if plan is None:
        profile, model = find_profile(settings.read_profiles(), choice.profile, choice.model, choice.budget)
        key = profile_key(settings, profile)
    else:
        profile, model, key = plan.profile(), plan.model, None
    work = digest({"base_url": profile.base_url, "model": model})
    async with AsyncExitStack() as exits:
        identity = digest({"work": work, **run})
        cache = DiskAnswerCache(folder / STATE_FILE, identity)
        exits.callback(cache.close)
        samples = StoredSample(folder / STATE_FILE, identity)
        exits.callback(samples.close)
        transport = ready = None
        if plan is not None:
            prepare_environment()
            from memicos_pipeline.replicas.ray_replicas import open_replicas

            replicas = await exits.enter_async_context(open_replicas(plan, report))
            transport, ready, key = LeastBusyTransport(replicas.running), replicas.ready, SecretStr(replicas.key)
        http = await exits.enter_async_context(open_http(settings.bulk_options, transport))
        provider = Provider(profile, key, http, settings.bulk_options, cache, ready)
        meter = Meter(provider, choice.budget, cache.paid(), cache.pay)
        yield BulkModel(profile, model, meter, work, key, cache, samples)


def agreement(
    model: BulkModel,
    choice: ModelChoice,
    yes: bool,
    ask: Callable[[str], bool],
    report: Callable[[str], None],
    what: str = "features",
) -> Callable[[Estimate], Awaitable[bool]]:
    """States the cost, and asks unless there is a budget or `yes`. `what`: name of the items."""

    async def agree(found: Estimate) -> bool:
        report(describe(found, model.model, model.profile, what))
        return yes or choice.budget is not None or ask("Go on?")

    return agree
