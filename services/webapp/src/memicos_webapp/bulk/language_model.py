"""The language model that a job calls, within the job's budget."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from memicos_autointerp_core.bulk.meter import Meter
from memicos_autointerp_core.providers import choice
from memicos_autointerp_core.providers.choice import ChoiceError
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
    try:
        return choice.find_profile(profiles(settings), options.profile, options.model, options.budget)
    except ChoiceError as error:
        raise BadInput(_sentence(error)) from None


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
        key = choice.profile_key(settings, profile)
    except ProfileError as error:
        raise NotConfigured(_sentence(error)) from None
    # not above: it loads the openai library, for half a second, which most processes of the webapp never use
    from memicos_autointerp_core.providers.client import Provider, open_http

    async with open_http(settings.bulk_options) as http:
        provider = Provider(profile, key, http, settings.bulk_options, cache)
        yield BulkModel(profile, model, Meter(provider, options.budget, paid, cache.pay))


def _sentence(error: ProfileError) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."
