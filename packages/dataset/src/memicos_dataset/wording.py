"""Numbers in messages."""


def quantity(number: int, noun: str) -> str:
    """A number and what it counts: `1 fault`, `12,288 features`; `noun` is singular and takes an s."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
