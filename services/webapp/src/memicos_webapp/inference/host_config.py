"""Configuration of one inference host, and the format of MEMICOS_INFERENCE_HOSTS."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dotenv import dotenv_values

EXAMPLE = "gpt2=http://127.0.0.1:5002,smol=http://127.0.0.1:5004"
ONLY_HOST = "default"
"""Name of the host that INFERENCE_URL sets."""
SECRET = "INFERENCE_SECRET"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SECRET_VARIABLE = re.compile(rf"{SECRET}(_[A-Z0-9_]{{1,63}})?")
"""Other variables hold secrets of other services, which no inference server may get."""


@dataclass(frozen=True)
class HostConfig:
    """Name and URL of an inference server. `secret_variable` names the environment variable that has its secret."""

    name: str
    url: str
    secret_variable: str | None = None
    enabled: bool = True


def check_name(name: str) -> str:
    """`name` itself.

    Raises:
        ValueError: it is not 1 to 63 lower-case letters, digits and hyphens.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a host: use 1 to 63 lower-case letters, digits and hyphens, "
            "beginning with a letter or digit"
        )
    return name


def check_url(url: str) -> str:
    """`url` without slashes at its end.

    Raises:
        ValueError: it is not http(s)://host[:port][/path], or has a user, password, query or fragment. The message
            does not repeat it, as it may hold a password.
    """
    form = "use http://host:port or https://host:port"
    if re.search(r"[\s\\\x00-\x1f]", url):
        raise ValueError(f"the URL of a host has a space, a backslash or a control character; {form}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"the URL of a host has a port or an address that cannot be; {form}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"the URL of a host must begin with http:// or https:// and name a host; {form}")
    if "@" in parts.netloc:
        raise ValueError("the URL of a host may not hold a user or password: name a variable with the secret instead")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError(f"the URL of a host may not have a query or fragment; {form}")
    return url.rstrip("/")


def check_secret_variable(variable: str) -> str:
    """`variable` itself.

    Raises:
        ValueError: it is not INFERENCE_SECRET or INFERENCE_SECRET_….
    """
    if not SECRET_VARIABLE.fullmatch(variable):
        raise ValueError(
            f"the variable with a host's secret is named {SECRET} or {SECRET}_<NAME> (capitals, digits and "
            "underscores); give the name of the variable, not the secret"
        )
    return variable


def parse_hosts(text: str) -> list[tuple[str, str]]:
    """(name, URL) of each host in `name=URL,name=URL`.

    Raises:
        ValueError: an entry is malformed, or a name or URL occurs twice.
    """
    hosts: list[tuple[str, str]] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, url = (part.strip() for part in entry.partition("="))
        if not equals or "://" in name:
            raise ValueError(f"entry {len(hosts) + 1} is not name=URL; write for example {EXAMPLE}")
        hosts.append((check_name(name), check_url(url)))
    for values, kind in (([name for name, _ in hosts], "name"), ([url for _, url in hosts], "URL")):
        if duplicates := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"the {kind} {duplicates[0]} occurs twice")
    if text.strip() and not hosts:
        raise ValueError(f"it has no host; write for example {EXAMPLE}")
    return hosts


def secret_variable_of(name: str) -> str:
    """The variable that has the secret of the host `name`: gpt2-small has INFERENCE_SECRET_GPT2_SMALL."""
    return f"{SECRET}_{name.upper().replace('-', '_')}"


def environment_variable(name: str) -> str | None:
    """A variable's value in the environment or the `.env` file, None where it is unset or blank."""
    value = os.environ.get(name) or dotenv_values(".env").get(name)
    return value if value and value.strip() else None


def configured_hosts(inference_hosts: str, inference_url: str, lookup: Callable[[str], str | None]) -> list[HostConfig]:
    """The hosts of MEMICOS_INFERENCE_HOSTS, or the one of INFERENCE_URL where that is empty.

    Args:
        lookup: The value of a variable; None where it is unset.
    """
    hosts = parse_hosts(inference_hosts) or [(ONLY_HOST, inference_url.rstrip("/"))]
    common = SECRET if lookup(SECRET) else None
    return [
        HostConfig(name, url, variable if lookup(variable := secret_variable_of(name)) else common)
        for name, url in hosts
    ]
