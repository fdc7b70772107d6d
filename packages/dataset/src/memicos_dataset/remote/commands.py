"""`memicos publish`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.own_files import check_own_files
from memicos_dataset.progress_lines import ProgressLines
from memicos_dataset.public_layout.metadata import MetadataOptions
from memicos_dataset.remote.publish import PublishOptions, publish
from memicos_dataset.remote.put import PARALLEL, PATIENCE_SECONDS, PutOptions
from memicos_dataset.remote.work_folder import DEFAULT_WORK


def publish_dataset(
    dataset: Annotated[str, typer.Argument(help="a dataset in any format: a folder or URL")],
    to: Annotated[str, typer.Option(help="folder of the layout's `v1`: s3://bucket/prefix, gs://…, or a local folder")],
    source: Annotated[list[str] | None, typer.Option("--source", help="a source of it; may be repeated")] = None,
    work: Annotated[Path, typer.Option(help="folder in which the dataset is converted")] = DEFAULT_WORK,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="files that are sent at the same time")] = PARALLEL,
    patience: Annotated[
        float, typer.Option(min=0, help="seconds for which a request is repeated while the server does not answer")
    ] = PATIENCE_SECONDS,
    replace: Annotated[bool, typer.Option("--replace", help="replace another version of a source")] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="read files outside of the folder, to which links in it lead")
    ] = False,
    layers: Annotated[int | None, typer.Option(min=1, help="layers of the model, if the files lack it")] = None,
    d_model: Annotated[int | None, typer.Option("--d-model", min=1, help="width of the model, likewise")] = None,
    counted_tokens: Annotated[int | None, typer.Option(min=1, help="tokens that densities are shares of")] = None,
    license: Annotated[str | None, typer.Option(help="licence of the texts")] = None,
    corpus_url: Annotated[str | None, typer.Option(help="page where the texts are published")] = None,
) -> None:
    """Convert a dataset to the public layout and put it into a bucket, at TO/v1/<model>/<source>/.

    The same command goes on after any interruption: files that are there with the same size and checksum are not sent
    again. At the end all files are compared. A source's files of one row are put last, so that no reader takes it for
    complete before it is. docs/upload.md says how to give credentials.
    """
    conversion = Options(
        tuple(source or ()),
        MetadataOptions(
            layers=layers, d_model=d_model, counted_tokens=counted_tokens, license=license, corpus_url=corpus_url
        ),
    )
    options = PublishOptions(conversion, PutOptions(parallel, patience, replace), work)
    lines = ProgressLines()

    def report(line: str) -> None:
        lines.end()
        typer.echo(line)

    try:
        target = Folder.of(to)
        folder = Folder.of(dataset)
        if not follow_links:
            check_own_files(folder, conversion.sources)
        publish(folder, target, options, report, lambda sent: lines.sent(sent.done, sent.total))
    except (DatasetError, OSError) as error:
        lines.end()
        sys.exit(f"publish: {error}")
    except KeyboardInterrupt:
        lines.end()
        sys.exit("publish: interrupted; the same command goes on")
