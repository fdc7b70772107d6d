"""Indices of features as people list them."""

MAX_INDICES = 1_000_000
MAX_DIGITS = 9


def parse_indices(text: str) -> list[int]:
    """Indices and ranges such as `3,7,10-20`, or one a line; each once.

    Raises:
        ValueError: a part is neither, a range ends before it begins, or there are more than MAX_INDICES.
    """
    indices: list[int] = []
    for part in text.replace("\n", ",").split(","):
        part = part.strip()
        if not part:
            continue
        numbers = part.split("-")
        if len(numbers) > 2 or not all(
            number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS for number in numbers
        ):
            raise ValueError(f"{part[:40]!r} is not an index, or a range such as 10-20")
        first, last = int(numbers[0]), int(numbers[-1])
        if last < first:
            raise ValueError(f"{part[:40]!r} ends before it begins")
        if last - first >= MAX_INDICES - len(indices):
            raise ValueError(f"more than {MAX_INDICES:,} indices are listed")
        indices += range(first, last + 1)
    return list(dict.fromkeys(indices))
