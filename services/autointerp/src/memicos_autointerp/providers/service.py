"""Picks the provider of a request and the key for it. A key is sent to its own profile's base URL only."""

from dataclasses import dataclass

import httpx2
from memicos_autointerp_core.providers.answer_cache import DiskAnswerCache
from memicos_autointerp_core.providers.client import Provider
from memicos_autointerp_core.providers.profile import Profile, normalize_base_url
from pydantic import SecretStr

from memicos_autointerp.errors import BadInput, NoKey
from memicos_autointerp.providers.schemas import ProviderFields
from memicos_autointerp.settings import DEFAULT_PROFILE, Settings


@dataclass(frozen=True)
class ChosenModel:
    """A provider, and the model to ask there."""

    provider: Provider
    model: str


class Providers:
    """The server's profiles with the server's keys; calls with one key share a rate limiter and a cache."""

    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._cache = DiskAnswerCache(settings.answers_file) if settings.answers_file else None
        self.profiles = settings.read_profiles()
        self._own = {
            name: Provider(profile, key, http, settings.provider_options, self._cache)
            for name, profile in self.profiles.items()
            if (key := settings.profile_key(profile)) or not profile.needs_key
        }

    def close(self) -> None:
        if self._cache:
            self._cache.close()

    def has_key(self, profile: str) -> bool:
        """Whether requests without a key of their own are answered through this profile."""
        return profile in self._own

    def pick(self, body: ProviderFields) -> ChosenModel:
        """The provider and model that answer this request.

        The server's keys are sent to their profiles' endpoints only and an openrouter_key to OpenRouter only. Another
        endpoint must be one that the server allows, and receives the key of the request.

        Raises:
            BadInput: keys, profile, base_url and model contradict one another, or the endpoint or model is not allowed.
            NoKey: there is no key for the profile.
        """
        api_key = _filled(body.api_key)
        openrouter_key = _filled(body.openrouter_key)
        base_url = _normal_url(body.base_url) if body.base_url else None
        if api_key and openrouter_key:
            raise BadInput("Send api_key or openrouter_key, not both.")
        if openrouter_key:
            if body.profile:
                raise BadInput("openrouter_key goes to OpenRouter only; send the key for a profile as api_key.")
            return self._openrouter(openrouter_key, base_url, body.model)
        if body.profile:
            profile = self.profiles.get(body.profile)
            if profile is None:
                raise BadInput(f"This server has no profile {body.profile}, only {', '.join(self.profiles)}.")
            if base_url not in (None, profile.base_url):
                raise BadInput(f"base_url is {base_url}, but that of the profile {profile.name} is {profile.base_url}.")
            return self._profile(profile, api_key, body.model)
        default = self.profiles[DEFAULT_PROFILE]
        if base_url in (None, default.base_url):
            return self._profile(default, api_key, body.model)
        return self._allowed_url(base_url, api_key, body.model)

    def _openrouter(self, key: SecretStr, base_url: str | None, model: str | None) -> ChosenModel:
        url = self._settings.openrouter_url
        if url is None:
            raise BadInput("This server sends no keys to OpenRouter (AUTOINTERP_OPENROUTER_URL is empty).")
        if base_url not in (None, url):
            raise BadInput("openrouter_key goes to OpenRouter only; send the key for base_url as api_key.")
        return self._with_key(self._url_profile(url), key, model)

    def _profile(self, profile: Profile, api_key: SecretStr | None, model: str | None) -> ChosenModel:
        if api_key:
            return self._with_key(profile, api_key, model)
        provider = self._own.get(profile.name)
        if provider is None:
            raise NoKey(None if profile.name == DEFAULT_PROFILE else profile.name)
        if model and model not in profile.models:
            adds = "AUTOINTERP_MODELS adds to them" if profile.name == DEFAULT_PROFILE else "models of the profile"
            raise BadInput(
                f"With this server's key, model is one of {', '.join(profile.models)} ({adds}); a request with a key "
                "of its own may name any."
            )
        return ChosenModel(provider, _model(profile, model))

    def _allowed_url(self, base_url: str, api_key: SecretStr | None, model: str | None) -> ChosenModel:
        if base_url not in self._settings.other_base_urls:
            allowed = ", ".join(sorted({self._settings.base_url, *self._settings.other_base_urls}))
            raise BadInput(
                f"base_url is not one that this server allows ({allowed}); AUTOINTERP_ALLOWED_BASE_URLS adds to them."
            )
        if not api_key:
            raise BadInput("base_url needs an api_key beside it: the server's own key does not go there.")
        return self._with_key(self._url_profile(base_url), api_key, model)

    def _with_key(self, profile: Profile, key: SecretStr, model: str | None) -> ChosenModel:
        """A provider for one request: the limits of the client's account are not those of the server's."""
        provider = Provider(profile, key, self._http, self._settings.provider_options)
        return ChosenModel(provider, _model(profile, model))

    def _url_profile(self, base_url: str) -> Profile:
        """The profile at this URL, or one without prices and abilities; a model has to be named there."""
        same = next((profile for profile in self.profiles.values() if profile.base_url == base_url), None)
        if same and same.name == DEFAULT_PROFILE:
            return same
        profile = same or Profile.model_validate({"name": "request", "base_url": base_url})
        return profile.model_copy(update={"models": ()})


def _filled(key: SecretStr | None) -> SecretStr | None:
    return key if key and key.get_secret_value().strip() else None


def _model(profile: Profile, model: str | None) -> str:
    if model:
        return model
    if not profile.models:
        raise BadInput(f"Name a model of {profile.base_url}: the server's own model belongs to another endpoint.")
    return profile.models[0]


def _normal_url(url: str) -> str:
    try:
        return normalize_base_url(url)
    except ValueError as error:
        raise BadInput(f"base_url: {error}.") from error
