"""The language model that a bulk command calls: profile, key, connections and stored answers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from memicos_autointerp_core.bulk.estimate import Estimate, describe
from memicos_autointerp_core.bulk.meter import Meter
from memicos_autointerp_core.bulk.state import digest
from memicos_autointerp_core.providers.answer_cache import DiskAnswerCache
from memicos_autointerp_core.providers.choice import find_profile, profile_key
from memicos_autointerp_core.providers.client import Provider, open_http
from memicos_autointerp_core.providers.profile import Profile
from memicos_autointerp_core.providers.settings import ProviderSettings
from pydantic import SecretStr

STATE_FILE = "state.sqlite"


@dataclass(frozen=True)
class ModelChoice:
    """Profile and model of a run; None: the default ones. `budget`: US dollars; None: no limit, after a yes."""

    profile: str | None = None
    model: str | None = None
    budget: float | None = None


@dataclass(frozen=True)
class BulkModel:
    """`work`: names what results depend on of profile and model; `key`: of the profile."""

    profile: Profile
    model: str
    meter: Meter
    work: str
    key: SecretStr | None
    cache: DiskAnswerCache


@asynccontextmanager
async def open_model(
    settings: ProviderSettings, choice: ModelChoice, folder: Path, run: dict[str, object]
) -> AsyncIterator[BulkModel]:
    """The model of a run, whose answers and payments are stored in `folder`.

    Args:
        run: what, besides profile and model, makes this run another one than others: payments are of one run.

    Raises:
        ProfileError: see `find_profile`; or there is no key.
        CacheError: the stored answers cannot be used.
    """
    profile, model = find_profile(settings.read_profiles(), choice.profile, choice.model, choice.budget)
    key = profile_key(settings, profile)
    work = digest({"base_url": profile.base_url, "model": model})
    cache = DiskAnswerCache(folder / STATE_FILE, digest({"work": work, **run}))
    try:
        async with open_http(settings.bulk_options) as http:
            provider = Provider(profile, key, http, settings.bulk_options, cache)
            yield BulkModel(profile, model, Meter(provider, choice.budget, cache.paid(), cache.pay), work, key, cache)
    finally:
        cache.close()


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
