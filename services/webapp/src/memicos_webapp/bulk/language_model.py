"""The language model that a job calls, within the job's budget."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from memicos_autointerp_core.bulk.meter import Meter
from memicos_autointerp_core.providers.client import Provider, open_http
from memicos_autointerp_core.providers.profile import Profile, ProfileError
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_service import settings as service_settings
from pydantic import ValidationError

from memicos_webapp.bulk.answers import DatabaseAnswerCache
from memicos_webapp.bulk.options import BulkOptions
from memicos_webapp.errors import BadInput, NotConfigured


@dataclass(frozen=True)
class BulkModel:
    profile: Profile
    model: str
    meter: Meter


def read_provider_settings() -> ProviderSettings:
    """The settings AUTOINTERP_….

    Raises:
        NotConfigured: a value is wrong.
    """
    try:
        return service_settings.read(ProviderSettings)
    except ValidationError as error:
        raise NotConfigured(f"Bad setting: {service_settings.problems(ProviderSettings, error)}") from None
    except ValueError as error:
        raise NotConfigured(f"Bad setting: {error}") from None


def profiles(settings: ProviderSettings | None = None) -> dict[str, Profile]:
    """The providers by name, the default one first.

    Raises:
        NotConfigured: a setting or the file of profiles is wrong.
    """
    try:
        return (settings or read_provider_settings()).read_profiles()
    except ProfileError as error:
        raise NotConfigured(f"{error}.") from None


def find_profile(settings: ProviderSettings, options: BulkOptions) -> tuple[Profile, str]:
    """The profile and the language model of a job.

    Raises:
        BadInput: there is no such profile, it has no default model, or no price although there is a budget.
        NotConfigured: the file of profiles is wrong.
    """
    known = profiles(settings)
    profile = known.get(options.profile) if options.profile else next(iter(known.values()))
    if profile is None:
        raise BadInput(f"There is no profile {options.profile!r}, only {', '.join(known)}.")
    model = options.model or next(iter(profile.models), None)
    if model is None:
        raise BadInput(f"Name a language model: the profile {profile.name} has no default one.")
    if options.budget is not None and profile.cost(model, 0, 0) is None:
        raise BadInput(
            f"A budget needs the price of {model}, which the profile {profile.name} does not have: add it to its "
            "prices, or give no budget."
        )
    return profile, model


@asynccontextmanager
async def open_model(
    settings: ProviderSettings, options: BulkOptions, cache: DatabaseAnswerCache, paid: float
) -> AsyncIterator[BulkModel]:
    """The language model of a job that has `paid` US dollars so far.

    Raises:
        BadInput, NotConfigured: see `find_profile`; or there is no key.
    """
    profile, model = find_profile(settings, options)
    try:
        key = settings.profile_key(profile)
    except ProfileError as error:
        raise NotConfigured(f"{error}.") from None
    if key is None and profile.needs_key:
        variable = profile.key_variable or "AUTOINTERP_API_KEY"
        raise NotConfigured(
            f"The profile {profile.name} has no key where the job runs: set {variable} there (docs/autointerp.md)."
        )
    async with open_http(settings.bulk_options) as http:
        provider = Provider(profile, key, http, settings.bulk_options, cache)
        yield BulkModel(profile, model, Meter(provider, options.budget, paid, cache.pay))
