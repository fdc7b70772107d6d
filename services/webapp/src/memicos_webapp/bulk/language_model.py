"""The language model that a job calls, within the job's budget: at once, or in batches."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memicos_autointerp_core.bulk.meter import CannotContinue, Meter
from memicos_autointerp_core.providers import choice
from memicos_autointerp_core.providers.chat import Chat
from memicos_autointerp_core.providers.choice import ChoiceError
from memicos_autointerp_core.providers.profile import Profile, ProfileError
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_service import settings as service_settings
from pydantic import ValidationError

from memicos_webapp.bulk.answers import DatabaseAnswerCache, DatabaseSample
from memicos_webapp.bulk.notes import JobNotes, Stopped
from memicos_webapp.bulk.open_batches import DatabaseBatches, PaidOnceChat
from memicos_webapp.bulk.options import BulkOptions
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotConfigured

if TYPE_CHECKING:
    # loads the openai library, for half a second
    from memicos_autointerp_core.bulk.batch_chat import BatchChat


@dataclass(frozen=True)
class BulkModel:
    """`chat`: where work sends its requests; `batches`: of a job with batches, else None; `samples`: of the cost."""

    profile: Profile
    model: str
    meter: Meter
    chat: Chat
    batches: "BatchChat | None"
    samples: DatabaseSample

    async def finish_open(self, cancel: bool = False, interrupted: bool = True) -> None:
        """Store the answers of the open batches of the job; see `BatchChat.finish_open`.

        Raises:
            Stopped: the provider does not say how they are, or no longer has one.
            Suspended: one is in progress, and the job is in the background.
        """
        if self.batches is None:
            return
        try:
            await self.batches.finish_open(cancel, interrupted)
        except CannotContinue as error:
            raise Stopped(str(error)) from None


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
        BadInput: there is no such profile, it has no default model, no price although there is a budget, or no batches
            although they are asked for.
        NotConfigured: the file of profiles is wrong.
    """
    try:
        found = choice.find_profile(profiles(settings), options.profile, options.model, options.budget)
        if options.batch:
            choice.require_batches(found[0])
        return found
    except ChoiceError as error:
        raise BadInput(_sentence(error)) from None


@asynccontextmanager
async def open_model(
    settings: ProviderSettings, options: BulkOptions, database: Database, job_id: int, notes: JobNotes
) -> AsyncIterator[BulkModel]:
    """The language model of a job with these options.

    Args:
        job_id: the job that pays, and that has the batches.
        notes: of the job that waits for batches.

    Raises:
        BadInput, NotConfigured: see `find_profile`; or there is no key.
    """
    profile, model = find_profile(settings, options)
    try:
        key = choice.profile_key(settings, profile)
    except ProfileError as error:
        raise NotConfigured(_sentence(error)) from None
    # not above: it loads the openai library, for half a second, which most processes of the webapp never use
    from memicos_autointerp_core.bulk.batch_chat import open_batch_chat
    from memicos_autointerp_core.providers.client import Provider, open_http

    cache = DatabaseAnswerCache(database, job_id)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_http(settings.bulk_options))
        provider = Provider(profile, key, http, settings.bulk_options, cache)
        meter = Meter(provider, options.budget, await cache.paid(), cache.pay)
        batches = None
        if options.batch:
            stored, callbacks = DatabaseBatches(database, job_id), notes.batch_callbacks(settings.batch_poll_seconds)
            opened = open_batch_chat(profile, key, settings, meter, cache, stored, callbacks)
            batches = await stack.enter_async_context(opened)
        chat = PaidOnceChat(batches or meter, database, job_id, profile.base_url)
        yield BulkModel(profile, model, meter, chat, batches, DatabaseSample(database, job_id))


def _sentence(error: ProfileError) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."
