"""Format of log lines, of our own loggers and of libraries: text for people, or one JSON object per line."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

import structlog
from asgi_correlation_id import correlation_id
from structlog.typing import EventDict, WrappedLogger

from memicos_service.logs.repeated_faults import RepeatedFaults

LogFormat = Literal["text", "json"]

MAX_CHARACTERS = 20_000
"""Longest message and longest traceback of a line; longer ones are cut."""


def configure(log_format: LogFormat, level: int, library_levels: Mapping[str, int] | None = None) -> None:
    """Send log lines to standard error in `log_format`; a fault that occurs again and again is one line a minute.

    Args:
        log_format: text or json.
        level: lowest level that is written.
        library_levels: lowest level of single loggers, by name, for libraries that log too much.
    """
    root = logging.getLogger()
    handler = make_handler(log_format, sys.stderr)
    handler.addFilter(_is_no_cancelled_request)
    handler.addFilter(RepeatedFaults())
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    # asgi_correlation_id warns of every request id that it replaces
    for name, lowest in {"asgi_correlation_id": logging.ERROR, **(library_levels or {})}.items():
        logging.getLogger(name).setLevel(lowest)


def make_handler(log_format: LogFormat, stream: TextIO) -> logging.Handler:
    """A handler that writes lines of `log_format` to `stream`."""
    renderer = structlog.processors.JSONRenderer(ensure_ascii=False) if log_format == "json" else _render_text
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_request_id,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _cut_long_texts,
            renderer,
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    return handler


def _is_no_cancelled_request(record: logging.LogRecord) -> bool:
    """False for uvicorn's traceback of each request that a shutdown cancels: another line has their number."""
    return record.name != "uvicorn.error" or not (record.exc_info and record.exc_info[0] is asyncio.CancelledError)


def _add_request_id(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    if request_id := correlation_id.get():
        line["request_id"] = request_id
    line.pop("color_message", None)  # uvicorn's second copy of its message, with terminal colours
    return line


def _cut_long_texts(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    for name in ("event", "exception"):
        if len(text := str(line.get(name, ""))) > MAX_CHARACTERS:
            line[name] = f"{text[:MAX_CHARACTERS]} … ({len(text):,} characters)"
    return line


_render_fields = structlog.processors.LogfmtRenderer(bool_as_flag=False)


def _render_text(logger: WrappedLogger, method: str, line: EventDict) -> str:
    """`LEVEL logger: message key=value …`, then the traceback. No time: journald or docker add it."""
    line.pop("timestamp")
    head = f"{line.pop('level').upper()} {line.pop('logger')}: {line.pop('event')}"
    traceback = line.pop("exception", None)
    fields = _render_fields(logger, method, line)
    return "\n".join(filter(None, (f"{head} {fields}" if fields else head, traceback)))
