"""Check results as text: a table for the terminal, a phrase for logs and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imports torch
    from memicos_engine.selftest.checks import CheckResult

HEADING = f"{'':<7}{'check':<26}{'measured':>9}{'at most':>9}  what was compared"
"""Heading of the table whose lines `table_line` makes."""


def table_line(check: CheckResult) -> str:
    verdict = {True: "ok", False: "FAILED", None: "-"}[check.passed]
    measured = "-" if check.measured is None else f"{check.measured:.1e}"
    return f"{verdict:<7}{check.name:<26}{measured:>9}{check.tolerance:>9.0e}  {check.detail}"


def describe_check(check: CheckResult) -> str:
    measured = "" if check.measured is None else f"{check.measured:.2g}, at most {check.tolerance:.0e} is right "
    return f"{check.name}: {measured}({check.detail})"
