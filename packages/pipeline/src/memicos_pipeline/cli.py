"""The `memicos` command."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from memicos_pipeline.config import GenerateConfig

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Make datasets of feature dashboards; have sources of your own served, and numbers proved."""


@app.command()
def generate(
    config: Annotated[Path, typer.Argument(help="TOML file, for example demo/generate.toml")],
    harvest_only: Annotated[
        bool, typer.Option("--harvest-only", help="stop when the activations are harvested, the long part")
    ] = False,
) -> None:
    """Run a corpus through a model and its SAEs and write a dataset of feature dashboards.

    A killed run goes on where it stopped. The output folder is replaced when the new dataset is whole, never before.
    docs/dataset.md says what CONFIG has.
    """
    from memicos_pipeline.config import ConfigError, read_config
    from memicos_pipeline.corpus import CorpusError

    try:
        settings = read_config(config)
        _generate(settings, harvest_only)
    except (ConfigError, CorpusError, OSError) as error:
        line = str(error).strip().partition("\n")[0]
        typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1) from error


def _generate(settings: "GenerateConfig", harvest_only: bool) -> None:
    from memicos_pipeline.config import ConfigError

    try:
        # imports torch, which reading a wrong configuration must not wait for
        from memicos_pipeline.generate import generate
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}; install memicos[generate]") from error
    generate(settings, typer.echo, harvest_only)


@app.command()
def recompute(
    feature: Annotated[
        str, typer.Argument(help="a feature's page, or model/source/index on the server at 127.0.0.1:3000")
    ],
    text: Annotated[str | None, typer.Option(help="compare the values on this text, not on the examples")] = None,
    model: Annotated[str | None, typer.Option(help="folder or hub id of the model's weights")] = None,
    sae: Annotated[str | None, typer.Option(help="folder of the SAE's weights, or hf:<owner>/<name>/<path>")] = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="largest relative difference that is agreement, by dtype if left out")
    ] = None,
) -> None:
    """Recompute what a server shows of a feature, by plain transformers and numpy, and print the difference.

    The status is 1 where it does not agree, 2 where nothing could be compared. docs/dataset.md says what is covered.
    """
    from memicos_pipeline.recompute import server_values
    from memicos_pipeline.recompute.errors import RecomputeError

    try:
        where = server_values.address(feature)
        found = server_values.examples(where) if text is None else server_values.own_text(where, text)
        try:
            # imports torch, which a wrong address must not wait for
            from memicos_pipeline.recompute import report
        except ModuleNotFoundError as error:
            raise RecomputeError(f"{error}; install memicos[recompute]") from error
        agrees = report.recompute(where, found, model, sae, tolerance, typer.echo)
    except RecomputeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(0 if agrees else 1)


@app.command()
def selftest(
    env_file: Annotated[
        Path | None, typer.Option(help="inference's settings, for example .env.inference.smollm2-135m-it.res-4k")
    ] = None,
) -> None:
    """Prove the numbers of a model and its sources: device, batch, cache, weights, sources.

    Loads what inference would serve with these settings, and compares two ways to the same numbers. The status is 1
    where a check failed. docs/inference.md says what is compared.
    """
    raise typer.Exit(_inference("--self-test", *(["--env-file", str(env_file)] if env_file else [])))


sae = typer.Typer(no_args_is_help=True, help="Sources of your own.")
model = typer.Typer(no_args_is_help=True, help="Models.")
app.add_typer(sae, name="sae")
app.add_typer(model, name="model")


@sae.command("add")
def sae_add(
    spec: Annotated[
        str, typer.Argument(help="an entry of SAE_SETS: path:FOLDER, hf:OWNER/NAME, the name of a set, or neurons")
    ],
    env_file: Annotated[
        Path | None, typer.Option(help="add to this env file of inference, which names the model")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="a hub id or folder instead; makes .env.inference.<model>.<set> here")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="add it though its figures say that weights and hook do not belong together")
    ] = False,
) -> None:
    """Check an SAE against its model, record what it gives on a known text, and have inference serve it.

    Prints L0, explained variance and norms beside what is expected. One that does not fit is refused with the reason,
    and nothing is written. docs/own-sae.md has formats, ids, and what each refusal means.
    """
    options = [f"--env-file={env_file}"] if env_file else []
    options += [f"--model={model}"] if model else []
    raise typer.Exit(_inference("sae", "add", *options, *(["--force"] if force else []), "--", spec))


@model.command("check")
def model_check(
    model: Annotated[str, typer.Argument(help="a hub id, a short name such as gpt2-small, or a local folder")],
) -> None:
    """Say what a model is and needs, from its configuration alone: memory, BOS, hooks, and the lines of an env file."""
    raise typer.Exit(_inference("model", "check", "--", model))


def _inference(*arguments: str) -> int:
    """A program of its own: this command and the server share no code."""
    return subprocess.run([sys.executable, "-m", "memicos_inference", *arguments]).returncode
