"""Texts of the account page: scopes of keys, names of browsers."""

from memicos_webapp.accounts.rows import Scope

SCOPES: tuple[tuple[Scope, str], ...] = (
    ("read", "read what the owner reads"),
    ("write", "also generate and delete explanations, choose labels"),
    ("datasets:write", "also upload datasets"),
    ("admin", "everything that the owner may do"),
)
"""Scopes of an API key, with what each allows."""

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("Safari", "Safari"),
)
"""Words in a `User-Agent` and the browsers they identify; the first match wins, as later words are in several."""
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_name(user_agent: str) -> str:
    """`Chrome on Linux`; a `User-Agent` of another program as it is."""
    browser = next((name for word, name in BROWSERS if word in user_agent), None)
    system = next((name for word, name in SYSTEMS if word in user_agent), None)
    if browser is None:
        return user_agent or "unknown browser"
    return f"{browser} on {system}" if system else browser
