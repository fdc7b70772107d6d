"""Random tokens of links, sessions and API keys, and their hashes, which are stored in their place."""

import hashlib
import hmac
import secrets

TOKEN_BYTES = 32
"""Random bytes of a token: too many to guess, so a fast hash without a salt is enough."""
KEY_PREFIX = "memicos_"
"""Prefix of every API key: it distinguishes them from keys of other systems, and secret scanners recognise it."""


def new_token(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def keyed_hash(secret: bytes, digest: bytes) -> bytes:
    """The hash of an API key that is stored: HMAC-SHA-256 of `token_hash` of the key, with the server's secret.

    A reader of the database who lacks the secret can neither test a guess nor add a key. It is of the hash rather than
    of the key, so that hashes which were stored without a secret could be converted.
    """
    return hmac.digest(secret, digest, "sha256")
