"""The `memicos` command."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Dashboards of SAE features: make them, bring them in."""


@app.command()
def generate(
    config: Annotated[Path, typer.Argument(help="TOML file, for example demo/generate.toml")],
    harvest_only: Annotated[bool, typer.Option(help="stop after the activations are harvested")] = False,
) -> None:
    """Run a corpus through a model and its SAEs and write a dataset. A killed run goes on where it stopped."""
    try:
        from memicos_pipeline.generate import harvest_corpus
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"{error}; install memicos[generate]") from error
    from memicos_pipeline.config import read_config

    settings = read_config(config)
    harvest_corpus(settings, typer.echo)
    if harvest_only:
        return
