"""The sub-commands `memicos generate` and `memicos recompute`. Torch is imported inside them only."""

from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended, as shells have it."""


def generate(
    config: Annotated[
        Path | None, typer.Argument(help="TOML file, for example demo/generate.toml; options win over its keys")
    ] = None,
    model: Annotated[str | None, typer.Option(help="folder or hub id of the model")] = None,
    sae: Annotated[
        list[str] | None,
        typer.Option(help="SAEs as in SAE_SETS: path:<folder>, hf:<owner>/<name>/<folder>, saelens:<release>, neurons"),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            help="file of texts: .jsonl, .txt or .parquet, also .gz, .zst; hf:<owner>/<name>[:<split>[:<column>]]; "
            "package:<package>/<path>"
        ),
    ] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="tokens that are drawn from the corpus")] = None,
    out: Annotated[
        str | None, typer.Option(help="folder of the dataset, or its URL, such as s3://bucket/dataset")
    ] = None,
    work: Annotated[str | None, typer.Option(help="folder for activations")] = None,
    context_size: Annotated[int | None, typer.Option(min=2, help="tokens of a context")] = None,
    corpus_license: Annotated[str | None, typer.Option(help="licence of the text")] = None,
    corpus_url: Annotated[str | None, typer.Option(help="where the text is published")] = None,
    corpus_attribution: Annotated[str | None, typer.Option(help="credit of the text")] = None,
    dtype: Annotated[str | None, typer.Option(help="dtype of the model: float32, float16 or bfloat16")] = None,
    device: Annotated[str | None, typer.Option(help="PyTorch device, such as cpu or cuda")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="threads of each worker")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; more than one need --threads")] = None,
    executor: Annotated[
        str | None, typer.Option(help="where workers run: local (processes of this machine) or ray (RAY_ADDRESS)")
    ] = None,
    harvest_only: Annotated[
        bool, typer.Option("--harvest-only", help="stop after the activations are harvested, the long part")
    ] = False,
) -> None:
    """Run a corpus through a model and its SAEs and write a dataset of feature dashboards.

    A killed run continues where it stopped. The output folder is replaced when the new dataset is complete, never
    before. docs/dataset.md describes CONFIG. Without it, --model, --sae, --corpus, --tokens and --out are needed.
    """
    from memicos_dataset.errors import DatasetError
    from rich.console import Console

    from memicos_pipeline.command_options import merged_config, with_option_names
    from memicos_pipeline.config import ConfigError
    from memicos_pipeline.corpus.texts import CorpusError
    from memicos_pipeline.execution.errors import WorkerError
    from memicos_pipeline.progress import Progress

    options = {
        "model": model, "sae": sae, "corpus": corpus, "tokens": tokens, "out": out, "work": work,
        "context_size": context_size, "corpus_license": corpus_license, "corpus_url": corpus_url,
        "corpus_attribution": corpus_attribution, "dtype": dtype, "device": device, "threads": threads,
        "workers": workers, "executor": executor,
    }  # fmt: skip

    try:
        settings = merged_config(config, options)
        # imports torch: a wrong configuration is refused before
        from memicos_pipeline.generate import generate

        console = Console(stderr=True)
        generate(settings, Progress(typer.echo, terminal=console if console.is_terminal else None), harvest_only)
    except (ConfigError, CorpusError, DatasetError, WorkerError, OSError) as error:
        line = with_option_names(_reason(error), options).strip().partition("\n")[0]
        typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on where this one stopped", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _reason(error: Exception) -> str:
    """The message of an error; of one of the system its file first, without its number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def recompute(
    feature: Annotated[
        str, typer.Argument(help="a feature's page, or model/source/index on the server at 127.0.0.1:3000")
    ],
    text: Annotated[str | None, typer.Option(help="compare the values on this text, not on the examples")] = None,
    messages: Annotated[
        str | None,
        typer.Option(
            help="compare the values on this conversation, in the model's chat template: a JSON list such as "
            '[{"role": "user", "content": "Hello"}], or a file with one'
        ),
    ] = None,
    prepend_bos: Annotated[
        bool | None,
        typer.Option(
            "--prepend-bos/--no-prepend-bos",
            help="put BOS before the prompt if it does not begin with it; by default a text as the source was trained, "
            "a conversation as the chat template writes it",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="folder or hub id of the model's weights")] = None,
    sae: Annotated[str | None, typer.Option(help="folder of the SAE's weights, or hf:<owner>/<name>/<path>")] = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="largest accepted relative difference; by default that of the dtype")
    ] = None,
) -> None:
    """Recompute the values that a server shows for a feature with plain transformers and numpy; print the difference.

    Exit status: 0 where the values agree, 1 where they do not, 2 where nothing could be compared. docs/dataset.md
    lists what is covered.
    """
    from memicos_pipeline.recompute import server_values
    from memicos_pipeline.recompute.errors import RecomputeError
    from memicos_pipeline.recompute.own_prompt import OwnPrompt, read_messages

    try:
        address = server_values.address(feature)
        if text is not None and messages is not None:
            raise RecomputeError("--text and --messages are alternatives: give one of them")
        if text is None and messages is None:
            if prepend_bos is not None:
                raise RecomputeError("--prepend-bos is an option of --text and --messages")
            server_feature = server_values.examples(address)
        else:
            prompt = OwnPrompt(text or "", () if messages is None else read_messages(messages), prepend_bos)
            server_feature = server_values.own_prompt(address, prompt)
        # imports torch: a wrong address is refused before
        from memicos_pipeline.recompute import report

        agrees = report.recompute(address, server_feature, model, sae, tolerance, typer.echo)
    except RecomputeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(0 if agrees else 1)
