"""Atomic writes of text files."""

import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` through a temporary file: readers see the old content or the new. Line ends are kept.

    Missing folders are created, a symbolic link is followed, and an existing file keeps its permissions.

    Raises:
        OSError: the file cannot be written; the old content is unchanged.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", newline="", dir=path.parent, prefix=".", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(text)
            file.close()
            if path.exists():
                shutil.copymode(path, temporary)
            else:
                temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
