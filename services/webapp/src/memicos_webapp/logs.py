"""How lines of the log look: as text, or as JSON for programs. For our own and for those of libraries."""

import logging
import sys
from typing import Literal, TextIO

import structlog
from asgi_correlation_id import correlation_id
from structlog.typing import EventDict, WrappedLogger

Format = Literal["text", "json"]

MOST_CHARACTERS = 20_000
"""Of a message, and of a traceback: longer ones are cut."""
NOISY = {
    **dict.fromkeys(("alembic", "httpx"), logging.WARNING),
    # a warning for each id that is not taken
    "asgi_correlation_id": logging.ERROR,
}


def set_up(log_format: Format, level: int) -> None:
    """Everything that is logged from now on goes to standard error."""
    root = logging.getLogger()
    root.handlers[:] = [handler(log_format, sys.stderr)]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name, least in NOISY.items():
        logging.getLogger(name).setLevel(least)


def handler(log_format: Format, stream: TextIO) -> logging.Handler:
    """Writes lines of this format into `stream`."""
    last = structlog.processors.JSONRenderer(ensure_ascii=False) if log_format == "json" else _as_text
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _about_request,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _cut,
            last,
        ],
    )
    made = logging.StreamHandler(stream)
    made.setFormatter(formatter)
    return made


def _about_request(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    if request_id := correlation_id.get():
        line["request_id"] = request_id
    line.pop("color_message", None)  # uvicorn's, the same with colours
    return line


def _cut(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    for name in ("event", "exception"):
        if len(text := str(line.get(name, ""))) > MOST_CHARACTERS:
            line[name] = f"{text[:MOST_CHARACTERS]} … ({len(text):,} characters)"
    return line


_logfmt = structlog.processors.LogfmtRenderer(bool_as_flag=False)


def _as_text(logger: WrappedLogger, method: str, line: EventDict) -> str:
    """`LEVEL logger: words key=value …`, below it the traceback; whoever keeps the lines has their time."""
    line.pop("timestamp")
    head = f"{line.pop('level').upper()} {line.pop('logger')}: {line.pop('event')}"
    trace = line.pop("exception", None)
    fields = _logfmt(logger, method, line)
    return "\n".join(filter(None, (f"{head} {fields}" if fields else head, trace)))
