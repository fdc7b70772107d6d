"""The hub: fetch a model's files, and say in words why something cannot be fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from memicos_engine.errors import LoadError

ProgressCallback = Callable[[str, float], None]
"""Called with words and the share that is done."""

CONFIGURATION_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""Those of a model's files that say what it is, without its weights."""
MODEL_FILES = (*CONFIGURATION_FILES, "*.safetensors")
IGNORED_FILES = ("*/*", "consolidated*", "adapter_*")
"""Further copies of the weights, which transformers does not read."""
SOURCE_FILES = ("*.json", "*.safetensors", "*.npz", "*.pt")
MEGABYTE = 1_000_000


def fetch(
    repo: str,
    token: str | None,
    on_progress: ProgressCallback,
    share: float,
    patterns: Sequence[str] = MODEL_FILES,
    ignore_patterns: Sequence[str] = IGNORED_FILES,
) -> Path:
    """Folder of the cache with those of the repository's files that match `patterns` `but` not those, fetched where
    missing: by default a model's configuration, tokenizer and safetensors.

    Progress is reported at `share`. A hub that cannot be reached is no fault where the files are in the cache.

    Raises:
        LoadError: they cannot be fetched.
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
        raise LoadError(f"{repo} is no name that a repository of the hub can have: {error}.") from error
    except (OSError, httpx2.TransportError) as error:
        words = explain_error(error, repo, token is not None)
        raise LoadError(words or f"{repo} cannot be stored in the cache: {error}.") from error
    return Path(folder)


def fetch_sources(repo: str, folder: str, token: str | None, on_progress: ProgressCallback, share: float) -> Path:
    """As `fetch`, a repository's `folder` ("" for all of it) with the sources in it."""
    inside = f"{folder}/" if folder else ""
    above = folder.rpartition("/")[0]
    patterns = [f"{inside}{files}" for files in SOURCE_FILES]
    # of a run, in the folder above those of its sources
    patterns.append(f"{above}/config.json" if above else "config.json")
    return fetch(repo, token, on_progress, share, patterns, ()) / folder


def explain_error(error: BaseException, repo: str, has_token: bool) -> str | None:
    """Why `repo` cannot be had, and what to do; None where the error is not the hub's or the network's."""
    import httpx2
    import requests
    from huggingface_hub import constants, errors

    for one in _error_chain(error):
        if isinstance(one, errors.GatedRepoError):
            page = f"{constants.ENDPOINT}/{repo}"
            if has_token:
                return (
                    f"{repo} is gated, and the account of HF_TOKEN has no access: ask for it at {page}, then restart."
                )
            return (
                f"{repo} is gated: accept its licence at {page}, then set HF_TOKEN to a token of that account "
                "and restart."
            )
        if isinstance(one, errors.RepositoryNotFoundError):
            return (
                f"The hub has no repository {repo}, or it is private. Check the name in the settings; for a private "
                "one set HF_TOKEN to a token that may read it."
            )
        if isinstance(one, errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
            return f"{repo} is on the hub, but lacks a file that is needed: {_file_of_url(one.response.url)}."
        if isinstance(one, errors.HfHubHTTPError):
            return _explain_status(one.response.status_code, repo, one.response.headers.get("retry-after"))
        if isinstance(one, errors.OfflineModeIsEnabled):
            return (
                f"{repo} is not in the cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids to fetch it: "
                "unset it, or fetch the files first."
            )
        if isinstance(one, httpx2.TransportError | requests.ConnectionError | requests.Timeout):
            return (
                f"{repo} is not in the cache, and the hub cannot be reached at {constants.ENDPOINT} "
                f"({type(one).__name__}: {one}). Check the connection, or name a local folder."
            )
    if isinstance(error, errors.LocalEntryNotFoundError):
        return f"{repo} is not complete in the cache, and the hub cannot be reached at {constants.ENDPOINT}."
    return None


def _explain_status(status: int, repo: str, retry_after: str | None) -> str:
    if status == 429:
        wait = f"in {retry_after} s" if retry_after and retry_after.isdecimal() else "in some minutes"
        return (
            f"The hub limits how often it is asked, and answered 429 for {repo}. Restart {wait}; "
            "with HF_TOKEN set the limit is higher."
        )
    if status in (401, 403):
        return f"The hub refuses HF_TOKEN for {repo} (status {status}): set it to a valid token, or to none."
    return f"The hub answered with status {status} for {repo}. Restart in some minutes."


def _file_of_url(url: Any) -> str:
    """The part of a hub's address that follows the revision."""
    return str(url).partition("/resolve/")[2].partition("/")[2] or str(url).rpartition("/")[2]


def _error_chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it: huggingface_hub and transformers wrap one in another."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


def _progress_bar_class(repo: str, report: ProgressCallback, share: float) -> type[Any]:
    """A progress bar as snapshot_download wants one, that reports megabytes instead of drawing."""
    from tqdm import tqdm

    lock = Lock()

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._bytes = kwargs.get("unit") == "B" and "Reconstructing" in (kwargs.get("desc") or "")
            self._said = 0
            super().__init__(*args, **{**kwargs, "disable": True})
            self.total = kwargs.get("total")

        def update(self, n: float | None = 1) -> bool | None:
            with lock:
                self.n += n or 0
                if self._bytes and self.n >= self._said + 10 * MEGABYTE:
                    self._said = int(self.n)
                    of = f" of {self.total / MEGABYTE:.0f}" if self.total else ""
                    report(f"fetching {repo}: {self.n / MEGABYTE:.0f}{of} MB", share)
            return None

    return Bar
