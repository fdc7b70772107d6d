"""fsspec's file systems without repetitions of their own: `retries.py` repeats requests."""

import importlib
from types import MethodType
from typing import Any

import fsspec
from fsspec.config import conf

S3_SCHEMES, GOOGLE_SCHEMES = ("s3", "s3a"), ("gs", "gcs")


def is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def file_system(url: str) -> Any:
    """The file system of a URL, which sends each request once.

    Raises:
        ImportError: it needs a package that is not installed.
        ValueError: there is none for the scheme.
    """
    if is_http(url):
        # imports aiohttp, which takes long
        return importlib.import_module("memicos_dataset.remote.http_folder").HttpFolders()
    scheme = url.partition("://")[0]
    if scheme in S3_SCHEMES:
        system = fsspec.core.url_to_fs(url, config_kwargs=_botocore_options())[0]
        system.retries = 1
        return system
    if scheme in GOOGLE_SCHEMES:
        return _google(url)
    return fsspec.core.url_to_fs(url)[0]


def _google(url: str) -> Any:
    # not the class of the scheme, which first asks by gRPC for the kind of the bucket, for up to a minute where a
    # network lets only HTTP through
    kind = importlib.import_module("gcsfs.core").GCSFileSystem
    system = kind(**kind._get_kwargs_from_urls(url))
    # gcsfs has no option for it: it repeats by a decorator of this method
    if request := getattr(kind._request, "__wrapped__", None):
        system._request = MethodType(request, system)
    return system


def _botocore_options() -> dict[str, Any]:
    """The user's options of botocore in fsspec's settings, which replace the ones here."""
    own = {key: value for scheme in S3_SCHEMES for key, value in conf.get(scheme, {}).get("config_kwargs", {}).items()}
    return {"retries": {"total_max_attempts": 1}} | own
