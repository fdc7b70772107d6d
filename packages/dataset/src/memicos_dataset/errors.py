"""What can be wrong with a dataset."""

from pathlib import Path


class DatasetError(ValueError):
    """A dataset that cannot be used: `path` is the file, the message says what is wrong and what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
