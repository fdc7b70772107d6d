"""Rows of stored keys."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr


@dataclass(frozen=True)
class Place:
    """Whose key it is, and where it may be sent: to the base URL that the profile had when it was stored."""

    account_id: int
    profile: str
    base_url: str


@dataclass(frozen=True)
class StoredKeyRow:
    """A stored key as the database has it."""

    id: int
    account_id: int
    profile: str
    base_url: str
    encrypted: bytes
    created_at: datetime

    @property
    def place(self) -> Place:
        return Place(self.account_id, self.profile, self.base_url)


@dataclass(frozen=True)
class ListedKey:
    """A stored key as its account sees it. `last_characters` None: it cannot be decrypted; empty: it is too short."""

    id: int
    profile: str
    base_url: str
    last_characters: str | None
    created_at: datetime


@dataclass(frozen=True)
class UsableKey:
    """A key, and the only endpoint that it may be sent to."""

    key: SecretStr
    profile: str
    base_url: str
