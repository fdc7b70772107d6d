"""Failures of a provider as `ProviderError`s: the cause of a status, and the provider's own words without the key."""

from collections.abc import Mapping

from memicos_autointerp_core.errors import ProviderCause, ProviderError
from memicos_autointerp_core.providers.profile import Profile

MAX_DETAIL_CHARACTERS = 300
"""Longest part of a provider's own error message that is passed on."""
KEY_PIECE_CHARACTERS = 6
"""A word of a provider's message that contains this many consecutive characters of the key is removed."""

SECRET_KEY_CHARACTERS = 16
"""Keys with fewer characters are words that stand for no key, such as `none` for a local model: an answer may have
them. Providers' keys are longer."""


def reveals_key(key: str, text: str) -> bool:
    """Whether a text that a provider wrote contains SECRET_KEY_CHARACTERS consecutive characters of the key, in upper
    or lower case, and also with spaces between them; a key with fewer is no secret."""
    plain, secret = "".join(text.split()).casefold(), key.casefold()
    starts = range(len(secret) - SECRET_KEY_CHARACTERS + 1)
    return any(secret[start : start + SECRET_KEY_CHARACTERS] in plain for start in starts)


def malformed(profile: Profile) -> ProviderError:
    return ProviderError("malformed", f"The answer of {profile.host} is not a chat completion.")


def http_status(code: object) -> int:
    """The code of an error inside an answer where it is a status, otherwise 500."""
    return code if type(code) is int and 100 <= code <= 599 else 500


def status_error(
    profile: Profile, key: str, model: str, status: int, detail: Mapping[str, object], retry_after: float | None = None
) -> ProviderError:
    """The error for an HTTP status, with the provider's own message without the words that contain the key.

    Args:
        detail: the provider's error object: `message`, `code`, `type`.
        retry_after: seconds after which the provider takes requests again, as it says.
    """
    host = profile.host
    cause: ProviderCause
    match status:
        case 401 | 403:
            # such messages often repeat the key, or half of it
            return ProviderError("unauthorized", f"{host} does not accept the key (status {status}).")
        case 402:
            cause, summary = "payment_required", f"{host} says that the account has no credit left"
        case 404:
            cause, summary = "unknown_model", f"{host} does not know the model {remove_key(key, model)}"
        case 429 if "insufficient_quota" in (detail.get("code"), detail.get("type")):
            cause, summary = "payment_required", f"{host} says that the account's quota is used up"
        case 429:
            again = f"in {retry_after:.0f} s" if retry_after else "later"
            cause, summary = "rate_limited", f"{host} limits the rate of requests; try again {again}"
        case _ if status < 400:
            cause, summary = "malformed", f"{host} answered with status {status}, not with a completion"
        case _ if status < 500:
            cause, summary = "rejected", f"{host} rejected the request (status {status})"
        case _:
            cause, summary = "provider_failed", f"{host} failed (status {status})"
    message = detail.get("message")
    own_message = remove_key(key, message) if isinstance(message, str) else ""
    return ProviderError(cause, f"{summary}: {own_message}" if own_message else f"{summary}.")


def remove_key(key: str, text: str) -> str:
    """`text` on one line, cut to MAX_DETAIL_CHARACTERS, with every word that contains a part of the key replaced."""
    size = min(KEY_PIECE_CHARACTERS, len(key))
    pieces = {key[start : start + size] for start in range(len(key) - size + 1)} - {""}
    text = text.encode(errors="replace").decode()
    safe_words = ("[…]" if any(piece in word for piece in pieces) else word for word in text.split())
    line = " ".join(safe_words)
    return line if len(line) <= MAX_DETAIL_CHARACTERS else line[:MAX_DETAIL_CHARACTERS] + "…"
