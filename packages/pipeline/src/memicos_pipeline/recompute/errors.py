"""Errors of `memicos recompute`."""


class RecomputeError(ValueError):
    """Nothing can be compared; the message states the reason in one line."""


def in_a_line(error: BaseException) -> str:
    """The error's message in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
