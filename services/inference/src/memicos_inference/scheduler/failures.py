"""What becomes of an error in the model's thread: an answer to who asked, or the end of the process."""

from __future__ import annotations

import logging
import os
from typing import NoReturn

from memicos_engine.errors import InvalidRequestError, LoadError, is_out_of_memory

from memicos_inference.http.errors import Fault, Unavailable

log = logging.getLogger(__name__)

EXIT_STATUS = 70
"""Of a process that cannot go on."""


def to_api_error(error: Exception) -> Exception:
    """What the engine refuses and what could not be loaded, in the request's terms; anything else as it is."""
    from torch import AcceleratorError

    if isinstance(error, InvalidRequestError):
        return Fault(400, "invalid_request", str(error))
    if isinstance(error, LoadError):
        log.error("%s", error)
        return Unavailable("load_failed", str(error), 60)
    if is_out_of_memory(error):
        return Unavailable("out_of_memory", "The device has no memory left for this request.", 10)
    if isinstance(error, AcceleratorError):
        # nothing that is run on it after that can be believed
        end_process(f"the device is broken, and this server ends: {error}")
    return error


def end_process(words: str) -> NoReturn:
    """For whoever supervises it to start it anew."""
    log.critical("%s", words, exc_info=True)
    logging.shutdown()
    os._exit(EXIT_STATUS)
