"""Rows of sessions and API keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Scope = Literal["read", "write", "datasets:write", "admin"]
"""read: read what the account may; write: also explanations and labels; datasets:write: also upload datasets; admin:
all that the account may."""


@dataclass(frozen=True)
class Credential:
    """A valid session or API key."""

    id: int
    account_id: int
    last_used_at: datetime | None
    scopes: frozenset[Scope]


@dataclass(frozen=True)
class SessionRow:
    """A session, as its account sees it."""

    id: int
    user_agent: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class ApiKeyRow:
    """An API key, as its account sees it: without the key."""

    id: int
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    expired: bool

    @property
    def state(self) -> Literal["valid", "expired", "revoked"]:
        return "revoked" if self.revoked_at else "expired" if self.expired else "valid"
