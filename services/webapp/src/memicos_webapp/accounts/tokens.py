"""Random tokens of links, sessions and API keys, and their hashes, which are stored in their place."""

import hashlib
import secrets

TOKEN_BYTES = 32
"""Random bytes of a token: too many to guess, so a fast hash without a salt is enough."""
KEY_PREFIX = "memicos_"
"""Prefix of every API key: it distinguishes them from keys of other systems, and secret scanners recognise it."""


def new_token(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
