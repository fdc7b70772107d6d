"""Errors of the engine, and detection of a full device."""

import sys

_CPU_MEMORY_MESSAGES = ("can't allocate memory", "not enough memory")
"""Messages of torch's RuntimeError when the CPU has no memory left; only accelerators have a type of their own."""


class InvalidRequestError(ValueError):
    """A request that the engine cannot carry out; the message says what is wrong and what is accepted."""


class LoadError(Exception):
    """A model or a source cannot be loaded; the message says what was wrong, where, and what to do."""


class SourceError(ValueError):
    """Files that cannot be loaded as a source; the message names their location."""


class RecipeError(ValueError):
    """A source's recipe is invalid, or lacks a required field."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that the device or the machine has no memory left."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _CPU_MEMORY_MESSAGES)
