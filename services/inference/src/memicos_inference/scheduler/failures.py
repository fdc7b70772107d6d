"""Errors in the model's thread: as the error of a request, or as the end of the process."""

from __future__ import annotations

import logging
import os
from typing import NoReturn

from memicos_engine.errors import InvalidRequestError, LoadError, is_out_of_memory

from memicos_inference.http.errors import Fault, Unavailable

log = logging.getLogger(__name__)

EXIT_STATUS = 70
"""Exit status of a process that ends on an internal error (EX_SOFTWARE)."""


def to_api_error(error: Exception) -> Exception:
    """The API error for what the engine refuses and for what cannot be loaded; any other error unchanged.

    An error of the device ends the process: no result that is computed after it is valid.
    """
    from torch import AcceleratorError

    if isinstance(error, InvalidRequestError):
        return Fault(400, "invalid_request", str(error))
    if isinstance(error, LoadError):
        log.error("%s", error)
        return Unavailable("load_failed", str(error), 60)
    if is_out_of_memory(error):
        return Unavailable("out_of_memory", "The device has no memory left for this request.", 10)
    if isinstance(error, AcceleratorError):
        end_process(f"the device is broken, and this server ends: {error}")
    return error


def end_process(message: str) -> NoReturn:
    """Log the error and end the process, so that its supervisor starts it anew."""
    log.critical("%s", message, exc_info=True)
    logging.shutdown()
    os._exit(EXIT_STATUS)
