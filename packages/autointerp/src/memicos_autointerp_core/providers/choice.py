"""Which profile and language model a run over many features asks, and with which key."""

from collections.abc import Mapping

from pydantic import SecretStr

from memicos_autointerp_core.providers.profile import Profile, ProfileError
from memicos_autointerp_core.providers.settings import ProviderSettings


class ChoiceError(ProfileError):
    """What was chosen is not in the profiles."""


def find_profile(
    profiles: Mapping[str, Profile], name: str | None, model: str | None, budget: float | None
) -> tuple[Profile, str]:
    """The profile and the model of a choice.

    Args:
        profiles: by name, the default one first.
        name, model: None: the default ones.
        budget: US dollars; None: no limit.

    Raises:
        ChoiceError: there is no such profile, it has no default model, or no price although there is a budget.
    """
    profile = profiles.get(name) if name else next(iter(profiles.values()))
    if profile is None:
        raise ChoiceError(f"there is no profile {name!r}, only {', '.join(profiles)}")
    model = model or next(iter(profile.models), None)
    if model is None:
        raise ChoiceError(f"name a language model: the profile {profile.name} has no default one")
    if budget is not None and profile.cost(model, 0, 0) is None:
        raise ChoiceError(
            f"a budget needs the price of {model}, which the profile {profile.name} does not have: add it to its "
            "prices, or give no budget"
        )
    return profile, model


def require_batches(profile: Profile) -> None:
    """
    Raises:
        ChoiceError: the profile has no batches.
    """
    if not profile.batch:
        raise ChoiceError(
            f"the profile {profile.name} has no batches: add batch = true to it if the provider has OpenAI's Batch API"
        )


def profile_key(settings: ProviderSettings, profile: Profile) -> SecretStr | None:
    """The key of a profile; None where it needs none.

    Raises:
        ProfileError: it has none, or it cannot be read.
    """
    key = settings.profile_key(profile)
    if key is None and profile.needs_key:
        variable = profile.key_variable or "AUTOINTERP_API_KEY"
        raise ProfileError(
            f"the profile {profile.name} has no key: set {variable} where the requests are sent from, or "
            "needs_key = false in the profile"
        )
    return key
