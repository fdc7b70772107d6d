"""Host names that requests may name.

A page of another site can reach a server on loopback by a name of its own that resolves to 127.0.0.1 (DNS rebinding);
the browser then sends that name as `Host`.
"""

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BeforeValidator

from memicos_service.server import is_loopback

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = frozenset({"localhost", LOOPBACK, "[::1]"})
ANY = "*"
ALLOWED_HOSTS = (
    "Host names that requests may name, separated by commas. Empty: localhost, 127.0.0.1 and [::1] when bound to "
    "loopback (which stops DNS rebinding), any when bound beyond it."
)
"""Description of the setting."""


def _loopback_if_empty(value: Any) -> Any:
    return LOOPBACK if isinstance(value, str) and not value.strip() else value


BindAddress = Annotated[str, BeforeValidator(_loopback_if_empty)]
"""Address to bind; an empty one is loopback, while a socket would take it for every interface."""


def allowed_names(setting: str, bind_address: str) -> list[str]:
    """Allowed host names without ports; `ANY` is any.

    Args:
        setting: names separated by commas; empty: those of loopback, or any where the server is bound beyond it.
        bind_address: address that the server is bound to.
    """
    if names := [name.strip().lower() for name in setting.split(",") if name.strip()]:
        return names
    return sorted(LOOPBACK_NAMES) if is_loopback(bind_address) else [ANY]


def is_allowed(host: str, names: Collection[str]) -> bool:
    """Whether `host`, a Host header with or without a port, is one of `names`."""
    name = host.lower() if host.endswith("]") else host.lower().rsplit(":", 1)[0]
    return ANY in names or name in names
