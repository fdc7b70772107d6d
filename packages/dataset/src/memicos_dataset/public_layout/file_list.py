"""The list of a published source's files, `files.jsonl`: one line for each, with path, bytes and sha256.

`memicos publish` puts it before the files, so that a reader knows of a source that is published by half. Sources of
other programs have none.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memicos_dataset import read
from memicos_dataset.errors import DatasetError, LineError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FileEntry

FILE_LIST = "files.jsonl"


class ListedFile(BaseModel):
    """A file of the source; `path` is relative to its folder."""

    model_config = ConfigDict(frozen=True)

    path: Annotated[str, Field(pattern=r"^[a-z]+(/batch-[0-9]{1,12})?\.jsonl(\.gz)?$")]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def file_list(files: Iterable[ListedFile]) -> bytes:
    """The content of `files.jsonl`."""
    return "".join(f"{file.model_dump_json()}\n" for file in files).encode()


def read_file_list(folder: Folder) -> tuple[ListedFile, ...]:
    """The files that a source's list names.

    Raises:
        DatasetError: the list cannot be read, or a line is none of its entries.
    """
    location = folder.locate(FILE_LIST)
    try:
        content = folder.read(FILE_LIST)
    except OSError as error:
        raise DatasetError(location, f"cannot be read ({error})") from error
    files = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            files.append(ListedFile.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            column = ".".join(str(part) for part in first["loc"])
            raise LineError(location, number, column, first["msg"]) from error
    return tuple(files)


def check_present(folder: Folder, listed: Iterable[ListedFile], present: Iterable[str]) -> None:
    """
    Raises:
        DatasetError: a file of the list is not among those `present`.
    """
    names = set(present)
    files = list(listed)
    missing = [file.path for file in files if file.path not in names]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DatasetError(
            folder.root,
            f"lacks {len(missing)} of the {len(files)} files that its {FILE_LIST} names ({shown}): its publication is "
            "in progress or was interrupted; wait, or complete it with the same memicos publish command",
        )


def check_sizes(folder: Folder, listed: Iterable[ListedFile], sizes: Mapping[str, int | None]) -> None:
    """Compare the sizes of files with the list, where both are known.

    Raises:
        DatasetError: a file has another size than the list says.
    """
    for file in listed:
        size = sizes.get(file.path)
        if size is not None and size != file.bytes:
            raise DatasetError(
                folder.locate(file.path),
                f"has {size} bytes, and {FILE_LIST} says {file.bytes}: complete its publication with memicos publish, "
                f"or delete {FILE_LIST} if the file was changed on purpose",
            )


def damaged_files(folder: Folder, listed: Iterable[ListedFile]) -> Iterator[DatasetError]:
    """An error for each file whose size or sha256 is not that of the list."""
    for file in listed:
        try:
            read.verify_file(folder, FileEntry(path=file.path, rows=0, bytes=file.bytes, sha256=file.sha256))
        except DatasetError as error:
            yield error
