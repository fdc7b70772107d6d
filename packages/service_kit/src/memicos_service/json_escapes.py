"""Escapes of characters in JSON that some programs treat as line breaks."""

_ESCAPES = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\u0085\u2028\u2029"}
"""Unescaped in JSON; the other line breaks, U+000A to U+000D and U+001C to U+001E, are control characters, which JSON
escapes itself."""


def escape_line_breaks(json: bytes) -> bytes:
    """Equal JSON that has no line break in a string, however a client splits lines (Python's `splitlines` too)."""
    for character, escape in _ESCAPES.items():
        json = json.replace(character, escape)
    return json
