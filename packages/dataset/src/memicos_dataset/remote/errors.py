"""The errors of remote file systems (S3, Google Cloud Storage, HTTP) as OSErrors with the URL and what to do.

Their libraries are imported by fsspec only where a URL needs them; an error's type is looked up among those that are
imported when it is raised.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLIENT_ERRORS = {
    "aiohttp": ("ClientError",),
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "gcsfs.retry": ("HttpError", "NonRetryableError", "ChecksumError"),
    "google.api_core.exceptions": ("GoogleAPIError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "requests.exceptions": ("RequestException",),
}
"""Modules and their base classes of errors."""
_UNAVAILABLE = {
    "aiohttp": ("ClientConnectionError", "ClientPayloadError"),
    "botocore.exceptions": ("HTTPClientError", "IncompleteReadError", "ResponseStreamingError"),
    "google.auth.exceptions": ("TransportError",),
    "requests.exceptions": ("ConnectionError", "Timeout", "ChunkedEncodingError"),
    "urllib3.exceptions": ("ProtocolError",),
}
_NOT_REPEATED = {"aiohttp": ("ClientSSLError",), "botocore.exceptions": ("SSLError",)}
_UNKNOWN_HOST = {"aiohttp": ("ClientConnectorDNSError",)}
_CREDENTIALS = {
    "botocore.exceptions": (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "NoAuthTokenError",
        "TokenRetrievalError",
        "SSOError",
        "ProfileNotFound",
    ),
    "google.auth.exceptions": ("GoogleAuthError",),
}
_REFUSED_CODES = {"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
"""Codes of S3 that mean a refusal, some of which have the status 400."""
_UNAVAILABLE_CODES = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
_BUSY = {408, 425, 429}

_REMEDIES = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of an account that may use the bucket; for "
    "a public bucket set FSSPEC_S3='{\"anon\": true}'",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to the key file of an account that may use the bucket; for a public "
    'bucket set FSSPEC_GS=\'{"token": "anon"}\'',
}
_REMEDIES |= {"s3a": _REMEDIES["s3"], "gcs": _REMEDIES["gs"]}


class AccessRefusedError(PermissionError):
    """A server refuses access, or there are no credentials for it; the message says what to set."""


class UnavailableError(OSError):
    """A server does not answer, answers with an error of its own or breaks off; later it may answer."""


class UnknownHostError(UnavailableError):
    """A server's name has no address; the request is not repeated, as most such names are misspelt."""


def _types(names: dict[str, tuple[str, ...]]) -> tuple[type[Exception], ...]:
    """Those of the named classes whose modules are imported."""
    modules = ((sys.modules.get(module), classes) for module, classes in names.items())
    found = (getattr(module, name, None) for module, classes in modules if module for name in classes)
    return tuple(kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception))


@contextmanager
def as_os_errors(place: str) -> Iterator[None]:
    """Raise the errors of remote file systems as OSError with the URL `place`.

    Raises:
        AccessRefusedError: access is refused, or there are no credentials.
        UnavailableError: the server does not answer now.
        OSError: any other error of the server.
    """
    try:
        yield
    except FileNotFoundError as error:
        # fsspec reports every failed request for a file's size over http so
        cause = error.__cause__
        if isinstance(cause, _types(_CLIENT_ERRORS)) and _status(cause) != 404:
            raise _typed(place, cause) from error
        raise
    except _types(_CLIENT_ERRORS) as error:
        raise _typed(place, error) from error
    except (AccessRefusedError, UnavailableError):
        raise
    except TimeoutError as error:
        raise UnavailableError(f"{place}: no answer in time ({_text(error)})") from error
    except OSError as error:
        # s3fs and gcsfs raise some answers as OSErrors of their own, gcsfs that of status 403 without a cause
        cause = error.__cause__
        if isinstance(cause, _types(_CLIENT_ERRORS)):
            raise _typed(place, cause) from error
        if place.startswith(("gs://", "gcs://")) and str(error).startswith("Forbidden: "):
            raise _refused(place, _text(error)) from error
        raise


def _typed(place: str, error: Exception) -> OSError:
    status, code, reason = _status(error), _code(error), _text(error)
    if isinstance(error, _types(_NOT_REPEATED)):
        return OSError(f"{place}: {reason}")
    if isinstance(error, _types(_UNKNOWN_HOST)):
        return UnknownHostError(f"{place}: the server's name has no address ({reason})")
    if status is not None and (status >= 500 or status in _BUSY):
        return UnavailableError(f"{place}: the server answers with status {status} ({reason})")
    if isinstance(error, _types(_UNAVAILABLE)) or code in _UNAVAILABLE_CODES:
        return UnavailableError(f"{place}: the server does not answer, or breaks off ({reason})")
    if isinstance(error, _types(_CREDENTIALS)):
        return _refused(place, reason, "no credentials")
    if status in (401, 403) or code in _REFUSED_CODES:
        return _refused(place, reason)
    return OSError(f"{place}: {reason}")


def _refused(place: str, reason: str, what: str = "access is refused") -> AccessRefusedError:
    remedy = _REMEDIES.get(place.partition("://")[0])
    return AccessRefusedError(f"{place}: {what} ({reason})" + (f"; {remedy}" if remedy else ""))


def _status(error: BaseException) -> int | None:
    """The status of the answer that an error is about."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        metadata = response.get("ResponseMetadata", {})
        status = metadata.get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _code(error: BaseException) -> str | None:
    """The code of S3 in an answer, such as AccessDenied."""
    response = getattr(error, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
