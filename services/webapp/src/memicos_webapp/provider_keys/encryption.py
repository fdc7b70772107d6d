"""Encryption of stored keys: AES-256-GCM by a key that HKDF-SHA-256 (RFC 5869) derives from the server's secret.

Account, profile and base URL are authenticated with the key: who can write to the database can move no key to another
account or endpoint.
"""

import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from memicos_webapp.provider_keys.rows import Place

PURPOSE = b"memicos: keys for providers of language models, 1"
"""Separates the derived key from other uses of the server's secret; the number is that of the format."""
KEY_BYTES = 32
NONCE_BYTES = 12
"""At random for each encryption; it precedes the encrypted text."""


def encrypt(secret: bytes, place: Place, key: str) -> bytes:
    """The key, encrypted for its place."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(secret).encrypt(nonce, key.encode(), _associated(place))


def decrypt(secret: bytes, place: Place, encrypted: bytes) -> str | None:
    """The key; None where it was encrypted with another secret or for another place, or is damaged."""
    nonce, text = encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:]
    try:
        return _cipher(secret).decrypt(nonce, text, _associated(place)).decode()
    # ValueError: fewer bytes than a nonce has
    except (InvalidTag, ValueError):
        return None


def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(secret))


def _associated(place: Place) -> bytes:
    return json.dumps([place.account_id, place.profile, place.base_url]).encode()
