class RecomputeError(ValueError):
    """Nothing can be compared; the message says why, in a line."""


def in_a_line(error: BaseException) -> str:
    """The error's text in one line."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
