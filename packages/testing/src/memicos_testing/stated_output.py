"""Compares what a command printed with the output that a document states.

`…` matches anything: part of a line of text, a whole line (any number of lines), an element of a JSON array (any
number of them), a field of a JSON object (any further fields), or a part of a JSON string. Numbers agree if they are
equal at the precision that the document prints, up to `REL_TOLERANCE`: the last digits differ between machines.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

ANYTHING = "…"
REL_TOLERANCE = 0.02

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
_STRING_OR_ANYTHING = re.compile(rf'"(?:[^"\\]|\\.)*"|{ANYTHING}')


@dataclass(frozen=True)
class Number:
    """A number of the stated JSON, as text."""

    text: str


def json_differences(stated: str, printed: str) -> list[str]:
    """Differences between the printed and the stated JSON; empty if they agree."""
    return list(_different(_elided_json(stated), json.loads(printed), "$"))


def text_differences(stated: str, printed: str) -> list[str]:
    """Stated lines that were not printed, and printed lines that are not stated; empty if there are none."""
    rest = printed.splitlines()
    open_end = False
    problems: list[str] = []
    for line in stated.splitlines():
        if line.strip() == ANYTHING:
            open_end = True
            continue
        candidates = len(rest) if open_end else min(1, len(rest))
        at = next((i for i in range(candidates) if _same_line(line, rest[i])), None)
        if at is not None:
            rest, open_end = rest[at + 1 :], False
        elif open_end or not rest:
            problems.append(f"stated, but not printed: {line!r}")
        else:
            problems.append(f"stated: {line!r}, printed: {rest.pop(0)!r}")
    return problems + ([] if open_end else [f"printed, but not stated: {line!r}" for line in rest])


def _elided_json(text: str) -> Any:
    """`…` outside of strings as the string "…", in an object as a field of that name."""
    depth: list[str] = []
    out: list[str] = []
    at = 0
    while at < len(text):
        string = _STRING_OR_ANYTHING.match(text, at)
        if string and string.group() == ANYTHING:
            before = "".join(out).rstrip()
            field = depth and depth[-1] == "{" and not before.endswith(":")
            out.append(f'"{ANYTHING}": 0' if field else f'"{ANYTHING}"')
        elif string:
            out.append(string.group())
        else:
            if text[at] in "{[":
                depth.append(text[at])
            elif text[at] in "}]":
                depth.pop()
            out.append(text[at])
        at = string.end() if string else at + 1
    return json.loads("".join(out), parse_float=Number, parse_int=Number)


def _different(stated: Any, printed: Any, path: str) -> list[str]:
    if stated == ANYTHING:
        return []
    if isinstance(stated, dict) and isinstance(printed, dict):
        named = stated.keys() - {ANYTHING}
        problems = [f"{path}.{key} is missing" for key in sorted(named - printed.keys())]
        if ANYTHING not in stated:
            problems += [f"{path}.{key} is not stated" for key in sorted(printed.keys() - named)]
        return problems + [
            problem
            for key in stated
            if key in named and key in printed
            for problem in _different(stated[key], printed[key], f"{path}.{key}")
        ]
    if isinstance(stated, list) and isinstance(printed, list):
        open_end = bool(stated) and stated[-1] == ANYTHING
        rows = stated[:-1] if open_end else stated
        if len(printed) < len(rows) or (len(printed) > len(rows) and not open_end):
            return [f"{path} has {len(printed)} elements, stated are {len(rows)}"]
        return [
            problem
            for i, (row, value) in enumerate(zip(rows, printed, strict=False))
            for problem in _different(row, value, f"{path}[{i}]")
        ]
    if isinstance(stated, Number):
        number = isinstance(printed, int | float) and not isinstance(printed, bool)
        is_same = number and _same_number(stated.text, str(printed))
        return [] if is_same else [f"{path} is {printed!r}, stated is {stated.text}"]
    if isinstance(stated, str) and isinstance(printed, str):
        is_same = _same_text(stated, printed)
    else:
        is_same = type(stated) is type(printed) and stated == printed
    return [] if is_same else [f"{path} is {printed!r}, stated is {stated!r}"]


def _same_line(stated: str, printed: str) -> bool:
    """Words agree one by one, numbers by value, and what `…` stands for is free."""
    head, elided, tail = stated.partition(ANYTHING)
    if not elided:
        words, texts = stated.split(), printed.split()
        return len(words) == len(texts) and all(map(_same_text, words, texts))
    firsts, lasts, texts = head.split(), tail.split(), printed.split()
    if len(texts) < len(firsts) + len(lasts):
        return False
    return all(map(_same_text, firsts, texts)) and all(map(_same_text, lasts[::-1], texts[::-1]))


def _same_text(stated: str, printed: str) -> bool:
    if ANYTHING in stated:
        return re.fullmatch(".*".join(map(re.escape, stated.split(ANYTHING))), printed, re.S) is not None
    if _NUMBER.sub("0", stated) != _NUMBER.sub("0", printed):
        return False
    return all(map(_same_number, _NUMBER.findall(stated), _NUMBER.findall(printed)))


def _same_number(stated: str, printed: str) -> bool:
    """Whole numbers are equal; others agree at the stated precision, or within REL_TOLERANCE."""
    if not _NUMBER.fullmatch(printed):
        return False
    a, b = (float(number.replace(",", "")) for number in (stated, printed))
    if "." not in stated and "e" not in stated:
        return a == b
    decimals = len(stated.partition(".")[2].partition("e")[0])
    unit = 10.0**-decimals if "e" not in stated else 0.0
    return math.isclose(a, b, rel_tol=REL_TOLERANCE, abs_tol=unit)
