"""Reads an env file with the standard library alone: `make init-env` and `make doctor` run without `.venv`."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)


class EnvFileError(Exception):
    """An env file that cannot be used; the text names the line and never shows a value."""


class Assignment(NamedTuple):
    name: str
    value: str
    line: int
    """Line number, from 1."""


def parse(text: str) -> list[Assignment]:
    """Assignments of an env file in their order; comments and empty lines are left out.

    Raises:
        EnvFileError: a line is not NAME=value, or its quotation mark is not closed.
    """
    assignments = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _NAME.fullmatch(stripped)
        if match is None:
            raise EnvFileError(f"line {number} is not NAME=value")
        assignments.append(Assignment(match.group(1), _value(match.group(2).strip(), number), number))
    return assignments


def _value(text: str, number: int) -> str:
    quote = text[:1]
    if quote in ("'", '"'):
        end = text.find(quote, 1)
        if end < 0:
            raise EnvFileError(f"line {number} has a quotation mark that is not closed")
        rest = text[end + 1 :].strip()
        if rest and not rest.startswith("#"):
            raise EnvFileError(f"line {number} has text after its quotation mark")
        return text[1:end]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
