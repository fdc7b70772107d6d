"""The folder of a conversion, beside its output.

Its parts are complete or absent. A conversion that was killed goes on after the last complete part; one with another
plan (files, options) begins again. The output appears in one step at the end.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from memicos_dataset.errors import DatasetError
from memicos_dataset.public_layout.metadata import MetadataOptions
from memicos_dataset.replace_folder import finish_interrupted, replace_folder, staging_folder

ProgressCallback = Callable[[str], object]
"""Called with a line about the progress."""


@dataclass(frozen=True)
class Options:
    """What a conversion needs to know besides its input."""

    sources: tuple[str, ...] = ()
    """Sources of a folder; empty: all."""
    metadata_options: MetadataOptions = field(default_factory=MetadataOptions)
    skip_rows: int = 0
    """Rows that cannot be stored and may be left out, before the conversion ends with an error."""
    replace: bool = False
    """Whether an output that exists is replaced."""
    shape_needed: bool = False
    """Whether a model whose layers, width or vocabulary are unknown is refused, as by an import."""


class ConversionFolder:
    """The folder of a conversion. `files` becomes the output."""

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(f".{out.name}.convert")
        self.files = self.folder / "files"

    def part(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of `make`, which is not called where an earlier run has noted it."""
        note = self.folder / "parts" / f"{name}.json"
        if note.exists():
            return orjson.loads(note.read_bytes())
        result = make()
        note.parent.mkdir(parents=True, exist_ok=True)
        unfinished = note.with_name(f"{note.name}.part")
        unfinished.write_bytes(orjson.dumps(result))
        unfinished.rename(note)
        return result


@contextmanager
def conversion_folder(out: Path, plan: dict[str, Any], replace: bool) -> Iterator[ConversionFolder]:
    """The folder of a conversion to `out`, while no other writes it; at the end its `files` are shown at `out`.

    Raises:
        DatasetError: `out` exists and is not to be replaced, or another conversion writes it.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out.with_name(f".{out.name}.convert.lock"), timeout=0):
            finish_interrupted(out)
            if out.exists() and not replace:
                raise DatasetError(out, "exists; name another folder, or replace it with --replace")
            work = ConversionFolder(out)
            _start(work, orjson.dumps(plan, default=str, option=orjson.OPT_SORT_KEYS))
            yield work
            staging = staging_folder(out)
            shutil.rmtree(staging, ignore_errors=True)
            work.files.rename(staging)
            replace_folder(out)
            shutil.rmtree(work.folder)
    except Timeout:
        raise DatasetError(out, "another conversion is writing it; wait for its end") from None


def _start(work: ConversionFolder, plan: bytes) -> None:
    """Keep the parts of an earlier run with the same plan, and delete others."""
    note = work.folder / "plan.json"
    if not (note.exists() and note.read_bytes() == plan and work.files.exists()):
        shutil.rmtree(work.folder, ignore_errors=True)
        work.files.mkdir(parents=True)
        note.write_bytes(plan)
