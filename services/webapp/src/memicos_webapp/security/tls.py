"""TLS of the connections to the other services."""

import ssl
from functools import cache

import httpx


@cache
def tls_context() -> ssl.SSLContext:
    """Verifies certificates by certifi's list, which takes 15 ms to read: all clients of a process share it."""
    return httpx.create_ssl_context(trust_env=False)
