"""The sub-command `memicos score`. Torch is imported inside it only."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from memicos_dataset.wording import quantity

from memicos_pipeline.replicas.options import (
    Executor,
    Replicas,
    VllmArguments,
    VllmGpus,
    VllmModel,
    chosen_replicas,
)
from memicos_pipeline.scores.protocol import ScoreProtocol

_DEFAULT = ScoreProtocol()
BY_EMBEDDINGS = "eleuther_embedding"
LISTED_FAILURES = 20
"""Failures that are printed; all of them are in the state."""


def score(
    config: Annotated[Path, typer.Argument(help="TOML file of `memicos generate`; the dataset is its `out`")],
    method: Annotated[
        str,
        typer.Option(
            help="eleuther_embedding, or by a language model eleuther_fuzz, eleuther_recall, recall_alt, simulation"
        ),
    ] = BY_EMBEDDINGS,
    active: Annotated[int, typer.Option(min=1, help="texts on which the feature is active")] = _DEFAULT.active,
    inactive: Annotated[int, typer.Option(min=1, help="texts on which it is not")] = _DEFAULT.inactive,
    around: Annotated[int, typer.Option(min=1, max=1000, help="tokens on both sides of a text's middle")] = (
        _DEFAULT.around
    ),
    pool_contexts: Annotated[
        int, typer.Option(min=1, help="contexts that texts on which the feature is not active are cut from")
    ] = _DEFAULT.pool_contexts,
    seed: Annotated[int, typer.Option(min=0, help="seed of every random choice")] = _DEFAULT.seed,
    near_misses: Annotated[
        bool,
        typer.Option("--near-misses", help="take half of the texts without the feature from similar features"),
    ] = _DEFAULT.near_misses,
    threads: Annotated[int, typer.Option(min=1, help="threads of the embedder")] = 2,
    profile: Annotated[str | None, typer.Option(help="provider, of AUTOINTERP_PROFILES_FILE")] = None,
    model: Annotated[str | None, typer.Option(help="language model; default: the profile's first")] = None,
    source: Annotated[list[str] | None, typer.Option(help="only this source; repeatable")] = None,
    min_density: Annotated[float, typer.Option(min=0, max=1, help="smallest share of active tokens")] = 0.0,
    max_density: Annotated[float, typer.Option(min=0, max=1, help="largest share of active tokens")] = 1.0,
    score_below: Annotated[float | None, typer.Option(help="only features whose label has a lower score")] = None,
    score_method: Annotated[str, typer.Option(help="of --score-below")] = BY_EMBEDDINGS,
    indices: Annotated[str | None, typer.Option(help="only these, as 3,7,10-20, or @FILE with one a line")] = None,
    every_explanation: Annotated[
        bool, typer.Option("--every-explanation", help="score all explanations of a feature, not its label alone")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="only explanations whose last attempt failed")
    ] = False,
    budget: Annotated[
        float | None, typer.Option(min=0, help="most US dollars to pay, interrupted runs included; asks no question")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask whether the cost is agreed to")] = False,
    batch: Annotated[
        bool,
        typer.Option("--batch", help="send what follows the sample as batches, for the batch price of the profile"),
    ] = False,
    cancel_batch: Annotated[
        bool, typer.Option("--cancel-batch", help="cancel the batches of an interrupted run, and keep what is answered")
    ] = False,
    executor: Executor = "local",
    replicas: Replicas = 1,
    vllm_model: VllmModel = None,
    vllm_gpus: VllmGpus = 1,
    vllm_argument: VllmArguments = None,
) -> None:
    """Score explanations of a dataset: by eleuther_embedding all of them, without a language model and without a key.

    The other methods ask a language model, score the labels of the selected features, and measure the cost on 20 of
    them first. A killed run embeds no text twice, and pays for no answer again. The dataset is replaced at the end.
    """
    from memicos_autointerp_core.providers.answer_cache import CacheError
    from memicos_autointerp_core.providers.profile import ProfileError
    from memicos_autointerp_core.providers.settings import ProviderSettings
    from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
    from memicos_dataset.errors import DatasetError
    from memicos_embeddings.embedder import EmbedderError
    from memicos_service.settings import read_or_exit

    from memicos_pipeline.bulk.batches import BatchUse
    from memicos_pipeline.bulk.language_model import ModelChoice
    from memicos_pipeline.bulk.selection import Selection, read_indices
    from memicos_pipeline.command_options import merged_config
    from memicos_pipeline.config import ConfigError

    protocol = ScoreProtocol(active, inactive, around, pool_contexts, seed, near_misses)
    if method != BY_EMBEDDINGS and method not in LANGUAGE_MODEL_SCORERS:
        known = ", ".join((BY_EMBEDDINGS, *LANGUAGE_MODEL_SCORERS))
        raise typer.BadParameter(f"there is no method {method}, only {known}", param_hint="--method")
    selects = source or indices or min_density > 0 or max_density < 1 or score_below is not None
    of_model = every_explanation or retry_failed or profile or model or budget or batch or cancel_batch
    of_model = of_model or executor != "local" or vllm_model or replicas != 1 or vllm_gpus != 1 or vllm_argument
    if method == BY_EMBEDDINGS and (selects or of_model):
        raise typer.BadParameter(
            f"{BY_EMBEDDINGS} scores all explanations without a language model: options of the selection, the language "
            "model and the budget are those of other methods",
            param_hint="--method",
        )
    if batch and cancel_batch:
        raise typer.BadParameter("give --batch or --cancel-batch, not both", param_hint="--cancel-batch")
    if method != BY_EMBEDDINGS and not yes and budget is None and not cancel_batch and not sys.stdin.isatty():
        typer.echo("error: nobody can be asked whether the cost is agreed to: give --budget or --yes", err=True)
        raise typer.Exit(1)
    # the list of failures has them
    logging.getLogger("memicos_autointerp_core").setLevel(logging.ERROR)
    try:
        settings = merged_config(config, {})
        if method == BY_EMBEDDINGS:
            from memicos_pipeline.scores.score_dataset import score_dataset

            asyncio.run(score_dataset(settings, protocol, threads, typer.echo))
            return
        from memicos_pipeline.scores.score_by_model import ScoreRun, score_by_model

        listed = read_indices(indices) if indices is not None else None
        selection = Selection(tuple(source or ()), min_density, max_density, False, score_below, score_method, listed)
        providers = read_or_exit("score", ProviderSettings)
        plan = chosen_replicas(
            providers, executor, replicas, vllm_model, vllm_gpus, vllm_argument, profile, model, batch or cancel_batch
        )
        run = ScoreRun(
            settings,
            LANGUAGE_MODEL_SCORERS[method],
            protocol,
            selection,
            ModelChoice(profile, model, budget, plan),
            settings.work / "scores",
            every_explanation,
            retry_failed,
            yes,
            BatchUse.CANCEL if cancel_batch else BatchUse.SEND if batch else BatchUse.NONE,
        )
        outcome, failures = asyncio.run(score_by_model(run, providers, _ask, typer.echo))
    except (ConfigError, DatasetError, EmbedderError, ProfileError, CacheError, OSError) as error:
        line = str(error).strip().partition("\n")[0]
        typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("interrupted; repeat the command to continue: answers that have arrived are stored", err=True)
        raise typer.Exit(130) from None
    for failure in failures[:LISTED_FAILURES]:
        typer.echo(f"failed: {failure.item}: {failure.cause}: {failure.message}", err=True)
    if failures:
        typer.echo(f"{quantity(len(failures), 'explanation')} failed; retry with --retry-failed", err=True)
    if outcome.stopped:
        typer.echo(f"stopped: {outcome.stopped}", err=True)
    if outcome.stopped or failures:
        raise typer.Exit(1)


def _ask(question: str) -> bool:
    return typer.confirm(question, err=True)
