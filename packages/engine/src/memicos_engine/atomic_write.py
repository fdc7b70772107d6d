"""Files that are written whole or not at all."""

import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_text_atomically(path: Path, text: str) -> None:
    """Put `text` at `path`, where readers find either what was there or all of it. Line ends stay as they are.

    Folders are made, a link is followed, and a file that is there keeps its permissions.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", newline="", dir=path.parent, prefix=".", delete=False) as file:
        written = Path(file.name)
        try:
            file.write(text)
            file.close()
            if path.exists():
                shutil.copymode(path, written)
            else:
                written.chmod(0o644)
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)
