"""Fetch files from the Hugging Face hub, and explain why files cannot be fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from memicos_engine.errors import LoadError

ProgressCallback = Callable[[str, float], None]
"""Called with a description and the share of the work that is done."""

CONFIGURATION_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""A model's configuration and tokenizer, without its weights."""
MODEL_FILES = (*CONFIGURATION_FILES, "*.safetensors")
IGNORED_FILES = ("*/*", "consolidated*", "adapter_*")
"""Further copies of the weights, which transformers does not read."""
SOURCE_FILES = ("*.json", "*.yaml", "*.safetensors", "*.npz", "*.npy", "*.pt", "*.pth")
IGNORED_SOURCE_FILES = ("*examples.safetensors",)
"""Texts and activations beside the sources of Gemma Scope 2."""
MEGABYTE = 1_000_000

_unreachable: str | None = None
"""The network's error while `cache_only` is in effect."""


def fetch(
    repo: str,
    token: str | None,
    on_progress: ProgressCallback,
    share: float,
    patterns: Sequence[str] = MODEL_FILES,
    ignore_patterns: Sequence[str] = IGNORED_FILES,
) -> Path:
    """Fetch the repository's files that match `patterns` and not `ignore_patterns`; return their folder in the cache.

    By default: a model's configuration, tokenizer and safetensors. Progress is reported with the constant `share`. The
    hub need not be reachable if the cache has the files.

    Raises:
        LoadError: the files cannot be fetched.
    """
    import httpx2
    from huggingface_hub import errors, snapshot_download

    try:
        folder = snapshot_download(
            repo,
            token=token,
            allow_patterns=list(patterns),
            ignore_patterns=list(ignore_patterns),
            tqdm_class=_progress_bar_class(repo, on_progress, share),
        )
    except errors.HFValidationError as error:
        raise LoadError(f"{repo} is not a valid name of a repository on the hub: {error}.") from error
    except (OSError, httpx2.TransportError) as error:
        reason = explain_error(error, repo, token is not None)
        raise LoadError(reason or f"{repo} cannot be stored in the cache: {error}.") from error
    return Path(folder)


def fetch_sources(repo: str, folder: str, token: str | None, on_progress: ProgressCallback, share: float) -> Path:
    """Fetch the sources in a repository's `folder` ("" for all of it); as `fetch`. Returns the folder."""
    inside = f"{folder}/" if folder else ""
    above = folder.rpartition("/")[0]
    patterns = [f"{inside}{files}" for files in SOURCE_FILES]
    # the configuration of a training run is in the folder above its sources
    patterns.append(f"{above}/config.json" if above else "config.json")
    return fetch(repo, token, on_progress, share, patterns, IGNORED_SOURCE_FILES) / folder


def explain_error(error: BaseException, repo: str, has_token: bool) -> str | None:
    """Why `repo` cannot be fetched, and what to do; None if neither the hub nor the network caused the error."""
    from huggingface_hub import constants, errors

    for cause in _error_chain(error):
        if isinstance(cause, errors.GatedRepoError):
            page = f"{constants.ENDPOINT}/{repo}"
            if has_token:
                return (
                    f"{repo} is gated, and the account of HF_TOKEN has no access: ask for it at {page}, then restart."
                )
            return (
                f"{repo} is gated: accept its licence at {page}, then set HF_TOKEN to a token of that account "
                "and restart."
            )
        if isinstance(cause, errors.RepositoryNotFoundError):
            return (
                f"The hub has no repository {repo}, or it is private. Check the name in the settings; for a private "
                "repository set HF_TOKEN to a token that may read it."
            )
        if isinstance(cause, errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
            return f"{repo} is on the hub, but lacks a file that is needed: {_file_of_url(cause.response.url)}."
        if isinstance(cause, errors.HfHubHTTPError):
            return _explain_status(cause.response.status_code, repo, cause.response.headers.get("retry-after"))
        if isinstance(cause, errors.OfflineModeIsEnabled):
            if _unreachable:
                return _explain_unreachable(repo, _unreachable)
            return (
                f"{repo} is not in the cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids to fetch it: "
                "unset it, or fetch the files first."
            )
        if reason := _network_error(cause):
            return _explain_unreachable(repo, reason)
    if isinstance(error, errors.LocalEntryNotFoundError):
        return f"{repo} is not complete in the cache, and the hub cannot be reached at {constants.ENDPOINT}."
    return None


def network_error(error: BaseException) -> str | None:
    """The network's error that caused `error`, such as a refused connection; None if another kind caused it."""
    return next(filter(None, map(_network_error, _error_chain(error))), None)


def _network_error(cause: BaseException) -> str | None:
    import httpx2
    import requests

    is_network = isinstance(cause, httpx2.TransportError | requests.ConnectionError | requests.Timeout)
    return f"{type(cause).__name__}: {cause}" if is_network else None


@contextmanager
def cache_only(reason: str) -> Iterator[None]:
    """Read only files that the cache has, after the hub could not be reached because of the network error `reason`.

    huggingface_hub sends each request six times, over 24 s, to a hub that it cannot reach.
    """
    global _unreachable
    from huggingface_hub import constants

    before = _unreachable, constants.HF_HUB_OFFLINE
    _unreachable, constants.HF_HUB_OFFLINE = reason, True
    try:
        yield
    finally:
        _unreachable, constants.HF_HUB_OFFLINE = before


def _explain_unreachable(repo: str, reason: str) -> str:
    from huggingface_hub import constants

    return (
        f"{repo} is not in the cache, and the hub cannot be reached at {constants.ENDPOINT} "
        f"({reason}). Check the connection, or name a local folder."
    )


def _explain_status(status: int, repo: str, retry_after: str | None) -> str:
    if status == 429:
        wait = f"in {retry_after} s" if retry_after and retry_after.isdecimal() else "in some minutes"
        return (
            f"The hub's rate limit is reached: it answered 429 for {repo}. Restart {wait}; "
            "with HF_TOKEN set the limit is higher."
        )
    if status in (401, 403):
        return f"The hub refuses HF_TOKEN for {repo} (status {status}): set it to a valid token, or to none."
    return f"The hub answered with status {status} for {repo}. Restart in some minutes."


def _file_of_url(url: Any) -> str:
    """The file's path in the repository: the part of the URL after the revision."""
    return str(url).partition("/resolve/")[2].partition("/")[2] or str(url).rpartition("/")[2]


def _error_chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes: huggingface_hub and transformers wrap errors."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _progress_bar_class(repo: str, report: ProgressCallback, share: float) -> type[Any]:
    """A progress bar class for snapshot_download that reports megabytes instead of drawing."""
    from tqdm import tqdm

    lock = Lock()

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._bytes = kwargs.get("unit") == "B" and "Reconstructing" in (kwargs.get("desc") or "")
            self._reported = 0
            super().__init__(*args, **{**kwargs, "disable": True})
            self.total = kwargs.get("total")

        def update(self, n: float | None = 1) -> bool | None:
            with lock:
                self.n += n or 0
                if self._bytes and self.n >= self._reported + 10 * MEGABYTE:
                    self._reported = int(self.n)
                    of = f" of {self.total / MEGABYTE:.0f}" if self.total else ""
                    report(f"fetching {repo}: {self.n / MEGABYTE:.0f}{of} MB", share)
            return None

    return Bar
