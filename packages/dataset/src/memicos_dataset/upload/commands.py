"""`memicos upload`."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.progress_lines import ProgressLines
from memicos_dataset.public_layout.metadata import MetadataOptions
from memicos_dataset.upload.client import UploadOptions, follow, upload
from memicos_dataset.upload.errors import UploadError, shown
from memicos_dataset.upload.files import check_metadata
from memicos_dataset.upload.server import Server, check_address, new_session
from memicos_dataset.wording import quantity

KEY_VARIABLE = "MEMICOS_API_KEY"


def upload_dataset(
    dataset: Annotated[str, typer.Argument(help="a dataset in any format: a folder or URL")],
    to: Annotated[str, typer.Option(help="address of the server, such as https://sae.example")],
    key_file: Annotated[
        Path | None, typer.Option(help=f"file with the API key; without, the environment variable {KEY_VARIABLE}")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="parts that are sent at the same time")] = 4,
    patience: Annotated[
        float, typer.Option(min=0, help="seconds for which a request is repeated while the server does not answer")
    ] = 300,
    keep_missing: Annotated[
        bool, typer.Option("--keep-missing", help="keep showing sources of the set that the dataset lacks")
    ] = False,
    retire_missing: Annotated[
        bool, typer.Option("--retire-missing", help="hide sources of the set that the dataset lacks")
    ] = False,
    move_sources: Annotated[
        bool, typer.Option("--move-sources", help="move sources into this set that are shown in another set")
    ] = False,
    layers: Annotated[int | None, typer.Option(min=1, help="layers of the model, if the files lack it")] = None,
    d_model: Annotated[int | None, typer.Option("--d-model", min=1, help="width of the model, likewise")] = None,
    vocabulary_size: Annotated[int | None, typer.Option(min=1, help="entries of the vocabulary, likewise")] = None,
    counted_tokens: Annotated[int | None, typer.Option(min=1, help="tokens that densities are shares of")] = None,
    license: Annotated[str | None, typer.Option(help="licence of the texts")] = None,
    corpus_url: Annotated[str | None, typer.Option(help="page where the texts are published")] = None,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="send the API key to an http:// address that is not this machine")
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="read files outside of the folder, to which links in it lead")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="follow the import until it ends")] = True,
) -> None:
    """Send a dataset to a memicos server, which imports it.

    The same command goes on after any interruption, of this program or of the server. The sha256 of every part and of
    every file is checked.

    The server's owner makes the API key: memicos key new NAME --scope datasets:write.
    """
    if keep_missing and retire_missing:
        raise typer.BadParameter("give --keep-missing or --retire-missing, not both")
    metadata_options = MetadataOptions(layers, d_model, vocabulary_size, counted_tokens, license, corpus_url)
    metadata = {
        "layers": layers,
        "dModel": d_model,
        "vocabularySize": vocabulary_size,
        "countedTokens": counted_tokens,
        "license": license,
        "corpusUrl": corpus_url,
    }
    request: dict[str, Any] = {
        "missing": "keep" if keep_missing else "retire" if retire_missing else "refuse",
        "moveSources": move_sources,
        "metadata": {name: value for name, value in metadata.items() if value is not None} or None,
    }
    try:
        key = _key(key_file)
        address = check_address(to, key is not None, allow_http)
        check_metadata(Folder.of(dataset), metadata_options)
        ended_well = asyncio.run(
            _run(Folder.of(dataset), address, key, UploadOptions(parallel, follow_links, request), patience, wait)
        )
    except (DatasetError, UploadError, OSError) as error:
        sys.exit(f"upload: {error}")
    except KeyboardInterrupt:
        sys.exit("upload: interrupted; the same command goes on")
    if not ended_well:
        sys.exit(1)


def _key(file: Path | None) -> str | None:
    try:
        key = (file.read_text(encoding="utf-8") if file else os.environ.get(KEY_VARIABLE, "")).strip()
    except UnicodeDecodeError:
        raise UploadError(f"{file} holds no API key: it is not text.") from None
    except OSError as error:
        raise UploadError(f"the API key cannot be read: {file}: {error.strerror}") from None
    if key and not (key.isascii() and key.isprintable()):
        raise UploadError("the API key has characters that no key has.")
    if file and not key:
        raise UploadError(f"{file} holds no API key: it is empty.")
    return key or None


async def _run(
    folder: Folder, address: str, key: str | None, options: UploadOptions, patience: float, wait: bool
) -> bool:
    """Upload, and follow the import unless `wait` is false; returns whether it did not fail."""
    lines = ProgressLines()
    async with new_session(address, key) as session:
        server = Server(address, session, patience)
        upload_id, job_id = await upload(folder, server, options, lambda own: lines.sent(own.sent, own.total))
        lines.end()
        _print(f"{folder} is complete at {address}: job {job_id} imports it")
        if not wait:
            return True
        job = await follow(server, {"uploadId": upload_id}, lambda job: lines.show(_imported(job)))
        lines.end()
        if job["state"] != "done":
            _print(f"job {job_id}: {shown(job['state'])}{': ' + shown(job['error']) if job['error'] else ''}")
            return False
        left_out = f", {job['rejects']} left out" if job["rejects"] else ""
        _print(f"job {job_id}: done, {quantity(job['rowsDone'], 'row')}{left_out}")
        return True


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _imported(job: Mapping[str, Any]) -> str:
    return f"job {job['id']}: {shown(job['state'])}, {job['filesDone']} of {job['files']} files"
