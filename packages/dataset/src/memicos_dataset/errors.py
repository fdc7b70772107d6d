"""Errors of reading a dataset."""

from pathlib import Path


class DatasetError(ValueError):
    """A dataset that cannot be used: `path` is the file or its URL, the message has the problem and what to do."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class RowError(DatasetError):
    """A row that cannot be used; `row` counts from 0 in the file `path`; `reason` is without the place."""

    def __init__(self, path: Path | str, row: int, column: str, problem: str) -> None:
        super().__init__(path, f"row {row}, column {column}: {problem}")
        self.reason = problem
        self.row = row
        self.column = column


class LineError(DatasetError):
    """A row of a text file that cannot be used; `line` counts from 1. `unit` is what `line` counts.

    `reason` is without the place, but for a `unit` that is no line.
    """

    def __init__(self, path: Path | str, line: int, column: str, problem: str, unit: str = "line") -> None:
        place = f"{unit} {line}, column {column}" if column else f"{unit} {line}"
        super().__init__(path, f"{place}: {problem}")
        self.reason = problem if unit == "line" else f"{unit} {line}: {problem}"
        self.line = line
        self.column = column
