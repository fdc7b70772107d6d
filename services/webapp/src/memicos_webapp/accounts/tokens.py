"""Random tokens of links, sessions and API keys, and the hashes of them that are stored."""

import hashlib
import secrets

TOKEN_BYTES = 32
"""Random bytes of a token: too many to guess, so a fast hash without a salt is enough."""
KEY_PREFIX = "memicos_"
"""Start of every API key: it tells a key of memicos from one of another system, and scanners for secrets find it."""


def new_token(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
