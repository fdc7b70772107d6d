"""Headers that every response has: those of an application, and those of the server itself."""

JSON_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Content security policy of responses that are no pages."""


def security_headers(policy: str = JSON_POLICY) -> dict[str, str]:
    """Names and values; `policy` is the content security policy."""
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }
