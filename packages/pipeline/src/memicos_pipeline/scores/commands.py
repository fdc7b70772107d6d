"""The sub-command `memicos score`. Torch is imported inside it only."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from memicos_pipeline.scores.protocol import ScoreProtocol

_DEFAULT = ScoreProtocol()


def score(
    config: Annotated[Path, typer.Argument(help="TOML file of `memicos generate`; the dataset is its `out`")],
    active: Annotated[int, typer.Option(min=1, help="texts on which the feature is active")] = _DEFAULT.active,
    inactive: Annotated[int, typer.Option(min=1, help="texts on which it is not")] = _DEFAULT.inactive,
    around: Annotated[int, typer.Option(min=1, max=1000, help="tokens on both sides of a text's middle")] = (
        _DEFAULT.around
    ),
    pool_contexts: Annotated[
        int, typer.Option(min=1, help="contexts that texts on which the feature is not active are cut from")
    ] = _DEFAULT.pool_contexts,
    seed: Annotated[int, typer.Option(min=0, help="seed of every random choice")] = _DEFAULT.seed,
    threads: Annotated[int, typer.Option(min=1, help="threads of the embedder")] = 2,
) -> None:
    """Score every explanation of a dataset by `eleuther_embedding`, without a language model and without a key.

    A killed run embeds no text twice. The dataset is replaced when all scores are there.
    """
    from memicos_dataset.errors import DatasetError
    from memicos_embeddings.embedder import EmbedderError

    from memicos_pipeline.command_options import merged_config
    from memicos_pipeline.config import ConfigError

    protocol = ScoreProtocol(active, inactive, around, pool_contexts, seed)
    try:
        settings = merged_config(config, {})
        from memicos_pipeline.scores.score_dataset import score_dataset

        asyncio.run(score_dataset(settings, protocol, threads, typer.echo))
    except (ConfigError, DatasetError, EmbedderError, OSError) as error:
        line = str(error).strip().partition("\n")[0]
        typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1) from error
