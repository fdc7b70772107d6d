"""Logging of the server and its commands: the common format, with the libraries that log too much held back."""

import logging

from memicos_service import logs
from memicos_service.logs import LogFormat

LIBRARY_LEVELS = dict.fromkeys(["httpx2", "httpcore2", "transformer_lens", "sae_lens"], logging.WARNING)


def configure(log_format: LogFormat, level: int) -> None:
    """Send every log line of at least `level` to standard error."""
    logs.configure(log_format, level, LIBRARY_LEVELS)
