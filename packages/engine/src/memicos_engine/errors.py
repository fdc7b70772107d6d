"""What the engine refuses, and how a full device is known."""

import sys

_CPU_IS_FULL = ("can't allocate memory", "not enough memory")
"""What torch's RuntimeError says there; it has a type of its own for accelerators only."""


class InvalidRequestError(ValueError):
    """A request that the engine cannot do; the message tells the caller what was wrong and what would do."""


class LoadError(Exception):
    """A model or a source cannot be loaded; the message says what was wrong, where, and what to do."""


class SourceError(ValueError):
    """Files that are not a source which can be loaded; the message names the place."""


class RecipeError(ValueError):
    """What is said of a source's recipe, or not said, so that it cannot be used."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no memory left."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_IS_FULL)
