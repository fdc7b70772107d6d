"""Host names that requests may name.

A page of another site can reach a server on loopback by a name of its own that resolves to 127.0.0.1 (DNS rebinding);
the browser then sends that name as `Host`.
"""

import re
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BeforeValidator

from memicos_service.server import is_loopback

_HOST = re.compile(r"(?P<name>[^\s:/?#@\\\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{0,5})?", re.ASCII)
LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = frozenset({"localhost", LOOPBACK, "[::1]"})
ANY = "*"
ALLOWED_HOSTS = (
    "Host names that requests may name, separated by commas, besides localhost, 127.0.0.1 and [::1]. Empty: no other "
    "when bound to loopback (which stops DNS rebinding), any when bound beyond it."
)
"""Description of the setting."""


def _loopback_if_empty(value: Any) -> Any:
    return LOOPBACK if isinstance(value, str) and not value.strip() else value


BindAddress = Annotated[str, BeforeValidator(_loopback_if_empty)]
"""Address to bind; an empty one is loopback, while a socket would take it for every interface."""


def allowed_names(setting: str, bind_address: str) -> list[str]:
    """Allowed host names without ports; `ANY` is any. Those of loopback are always among them: health checks and
    programs on the same machine use them, and a page of another site cannot.

    Args:
        setting: names separated by commas; empty: none, or any where the server is bound beyond loopback.
        bind_address: address that the server is bound to.
    """
    names = {name.strip().lower() for name in setting.split(",") if name.strip()}
    if not names and not is_loopback(bind_address):
        return [ANY]
    return sorted(LOOPBACK_NAMES | names)


def is_allowed(host: str, names: Collection[str]) -> bool:
    """Whether `host`, a Host header with or without a port, is one of `names`.

    A header of another form never is: Starlette makes `request.url` of it, so that its end would be the path.
    """
    match = _HOST.fullmatch(host.lower())
    if match is None:
        # HTTP/1.0 has no such header
        return not host and ANY in names
    return ANY in names or match["name"] in names
