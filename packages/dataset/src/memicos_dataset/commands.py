"""The sub-commands `memicos dataset inspect`, `verify`, `convert` and `diff`."""

from pathlib import Path
from typing import Annotated

import typer

from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.diff import TOLERANCE, SourceDiff, diff
from memicos_dataset.conversion.formats import Format, as_native, format_of
from memicos_dataset.conversion.inspect import faults, summary
from memicos_dataset.conversion.native import to_native
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.own_files import check_own_files
from memicos_dataset.progress_lines import ProgressLines
from memicos_dataset.public_layout.metadata import MetadataOptions
from memicos_dataset.remote.native import convert_to_native
from memicos_dataset.remote.publish import PublishOptions, publish
from memicos_dataset.remote.put import PutOptions, Sent
from memicos_dataset.remote.work_folder import DEFAULT_WORK
from memicos_dataset.wording import quantity

DIFFERENT, UNUSABLE = 1, 2
"""Exit statuses: there are differences or faults; the datasets could not be compared."""

_LOCATION = "a folder or URL: a native dataset, the public layout (of a source or a model), or SAEDashboard's output"
Location = Annotated[str, typer.Argument(help=_LOCATION)]
Sources = Annotated[list[str] | None, typer.Option("--source", help="a source of a model's folder; may be repeated")]


def inspect_dataset(dataset: Location) -> None:
    """Print what a dataset has: sources, features, explanations, scores, texts, and their sizes."""
    try:
        for line in summary(Folder.of(dataset)):
            typer.echo(line)
    except (DatasetError, OSError) as error:
        _exit(error)


def verify_dataset(
    dataset: Location,
    source: Sources = None,
    counted_tokens: Annotated[int | None, typer.Option(min=1, help="as for convert")] = None,
    corpus_url: Annotated[str | None, typer.Option(help="as for convert")] = None,
) -> None:
    """Check all files and rows of a dataset; print each fault.

    A native dataset: rows, bytes and sha256 of each file, and the rules for rows. Other formats: what a conversion
    would leave out or refuse. Exit status: 0 without faults, 1 with faults.
    """
    metadata_options = MetadataOptions(counted_tokens=counted_tokens, corpus_url=corpus_url)
    count = 0
    try:
        for fault in faults(
            Folder.of(dataset), Options(sources=tuple(source or ()), metadata_options=metadata_options)
        ):
            typer.echo(str(fault))
            count += 1
    except OSError as error:
        _exit(error)
    typer.echo(quantity(count, "fault") if count else "no faults")
    raise typer.Exit(DIFFERENT if count else 0)


def convert_dataset(
    dataset: Location,
    out: Annotated[str, typer.Argument(help="folder to write, or its URL, such as s3://bucket/prefix")],
    to: Annotated[Format | None, typer.Option(help="native or public; by default the other one")] = None,
    source: Sources = None,
    layers: Annotated[int | None, typer.Option(min=1, help="layers of the model")] = None,
    d_model: Annotated[int | None, typer.Option("--d-model", min=1, help="width of the model")] = None,
    vocabulary_size: Annotated[int | None, typer.Option(min=1, help="entries of the model's vocabulary")] = None,
    counted_tokens: Annotated[
        int | None, typer.Option(min=1, help="tokens that densities are shares of, where the files do not say it")
    ] = None,
    license: Annotated[str | None, typer.Option(help="licence of the texts")] = None,
    corpus_url: Annotated[str | None, typer.Option(help="page where the texts are published")] = None,
    skip_rows: Annotated[int, typer.Option(min=0, help="rows that cannot be stored and may be left out")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="replace OUT if it exists")] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="read files outside of the folder, to which links in it lead")
    ] = False,
    work: Annotated[Path, typer.Option(help="local folder of the conversion, where OUT is a URL")] = DEFAULT_WORK,
) -> None:
    """Convert a dataset between the native format and the public layout; SAEDashboard's output becomes native.

    A conversion that was killed goes on when the same command is run again. OUT appears when it is complete; at a URL
    the files that say so are put last.
    docs/dataset.md says what each format has.
    """
    metadata_options = MetadataOptions(layers, d_model, vocabulary_size, counted_tokens, license, corpus_url)
    options = Options(tuple(source or ()), metadata_options, skip_rows, replace)
    folder = Folder.of(dataset)
    try:
        if not follow_links:
            check_own_files(folder, options.sources)
        native = format_of(folder, options.sources) is Format.NATIVE
        if to not in (None, Format.PUBLIC if native else Format.NATIVE):
            raise DatasetError(folder.root, f"cannot be converted to {to}: native becomes public, others native")
        target = Folder.of(out)
        if isinstance(target.root, Path):
            (to_public if native else to_native)(folder, target.root, options, typer.echo)
        else:
            _convert_to_url(folder, target, native, options, work)
    except (DatasetError, OSError) as error:
        _exit(error)
    typer.echo(f"{out} is complete")


def _convert_to_url(dataset: Folder, out: Folder, to_public_layout: bool, options: Options, work: Path) -> None:
    lines, put = ProgressLines(), PutOptions(replace=options.replace)

    def report_sent(sent: Sent) -> None:
        lines.sent(sent.done, sent.total)

    try:
        if to_public_layout:
            publish(dataset, out, PublishOptions(options, put, work), typer.echo, report_sent)
        else:
            convert_to_native(dataset, out, options, put, typer.echo, report_sent, work)
    finally:
        lines.end()


def diff_datasets(
    first: Location,
    second: Location,
    source: Sources = None,
    tolerance: Annotated[float, typer.Option(min=0, help="largest relative difference of equal numbers")] = TOLERANCE,
    corpus_url: Annotated[str | None, typer.Option(help="as for convert")] = None,
) -> None:
    """Compare two datasets of any format: sources, features, columns and values.

    Contexts are compared by their tokens. Exit status: 0 if they are equal, 1 if not, 2 if they could not be read.
    """
    options = Options(sources=tuple(source or ()), metadata_options=MetadataOptions(corpus_url=corpus_url))
    different = False
    try:
        with (
            as_native(Folder.of(first), options, _quiet) as left,
            as_native(Folder.of(second), options, _quiet) as right,
        ):
            for result in diff(left, right, tolerance, options.sources):
                different = different or bool(result)
                _print_diff(result)
    except (DatasetError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(UNUSABLE) from error
    raise typer.Exit(DIFFERENT if different else 0)


def _print_diff(result: str | SourceDiff) -> None:
    if isinstance(result, str):
        typer.echo(result)
        return
    if not result:
        typer.echo(f"source {result.source}: {quantity(result.features, 'feature')} equal")
        return
    typer.echo(f"source {result.source}: {quantity(result.features, 'feature')} in both")
    for name, indices in (("first", result.only_first), ("second", result.only_second)):
        if indices:
            shown = ", ".join(map(str, indices[:10])) + (", ..." if len(indices) > 10 else "")
            typer.echo(f"  features in the {name} only: {len(indices):,} ({shown})")
    for column, count in result.columns.most_common():
        typer.echo(f"  {column}: differs in {quantity(count, 'feature')}")
    for example in result.examples:
        typer.echo(f"  {example}")
    for what, counts in (
        ("explanations", (result.explanations_only_first, result.explanations_only_second)),
        ("scores", (result.scores_only_first, result.scores_only_second)),
    ):
        if any(counts):
            typer.echo(f"  {what} in the first only: {counts[0]:,}; in the second only: {counts[1]:,}")


def _quiet(line: str) -> None:
    """Progress is not shown."""


def _exit(error: Exception) -> None:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from error
