"""The sub-command `memicos explain`."""

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

LISTED_FAILURES = 20
"""Failures that are printed; all of them are in the state."""


def explain(
    dataset: Annotated[Path, typer.Argument(help="folder of the dataset; the explanations are added to it")],
    method: Annotated[str | None, typer.Option(help="explainer; default: eleuther_acts_top20")] = None,
    profile: Annotated[str | None, typer.Option(help="provider, of AUTOINTERP_PROFILES_FILE")] = None,
    model: Annotated[str | None, typer.Option(help="language model; default: the profile's first")] = None,
    source: Annotated[list[str] | None, typer.Option(help="only this source; repeatable")] = None,
    min_density: Annotated[float, typer.Option(min=0, max=1, help="smallest share of active tokens")] = 0.0,
    max_density: Annotated[float, typer.Option(min=0, max=1, help="largest share of active tokens")] = 1.0,
    unexplained: Annotated[
        bool, typer.Option("--unexplained", help="only features without an explanation other than token statistics")
    ] = False,
    score_below: Annotated[float | None, typer.Option(help="only features whose label has a lower score")] = None,
    score_method: Annotated[str, typer.Option(help="of --score-below")] = "eleuther_embedding",
    indices: Annotated[str | None, typer.Option(help="only these, as 3,7,10-20, or @FILE with one a line")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="only features whose last attempt failed")
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
    texts: Annotated[int, typer.Option(min=1, max=64, help="texts of a feature in the prompt")] = 10,
    around: Annotated[int, typer.Option(min=1, help="tokens on both sides of the strongest one")] = 24,
    contrastive: Annotated[
        bool, typer.Option("--contrastive", help="show texts of similar features as well, as ones not to describe")
    ] = False,
    work: Annotated[
        Path | None, typer.Option(help="folder of stored answers; default: beside the dataset, NAME.explain")
    ] = None,
    executor: Executor = "local",
    replicas: Replicas = 1,
    vllm_model: VllmModel = None,
    vllm_gpus: VllmGpus = 1,
    vllm_argument: VllmArguments = None,
) -> None:
    """Explain features of a dataset with a language model.

    The cost is measured on 20 features first. A killed run continues, and pays for no answer again.
    """
    from memicos_autointerp_core.explainers.registry import EXPLAINERS, find_explainer
    from memicos_autointerp_core.providers.answer_cache import CacheError
    from memicos_autointerp_core.providers.profile import ProfileError
    from memicos_autointerp_core.providers.settings import ProviderSettings
    from memicos_dataset.errors import DatasetError
    from memicos_service.settings import read_or_exit

    from memicos_pipeline.bulk.batches import BatchUse
    from memicos_pipeline.bulk.language_model import ModelChoice
    from memicos_pipeline.bulk.selection import Selection, read_indices
    from memicos_pipeline.config import ConfigError
    from memicos_pipeline.explain.explain_dataset import NEGATIVES, ExplainRun, explain_dataset

    if batch and cancel_batch:
        raise typer.BadParameter("give --batch or --cancel-batch, not both", param_hint="--cancel-batch")
    if not yes and budget is None and not cancel_batch and not sys.stdin.isatty():
        typer.echo("error: nobody can be asked whether the cost is agreed to: give --budget or --yes", err=True)
        raise typer.Exit(1)
    # the list of failures has them
    logging.getLogger("memicos_autointerp_core").setLevel(logging.ERROR)
    settings = read_or_exit("explain", ProviderSettings)
    explainer = find_explainer(method)
    if explainer is None:
        raise typer.BadParameter(f"there is no method {method}, only {', '.join(EXPLAINERS)}", param_hint="--method")
    try:
        selection = Selection(
            tuple(source or ()),
            min_density,
            max_density,
            unexplained,
            score_below,
            score_method,
            read_indices(indices) if indices is not None else None,
        )
        plan = chosen_replicas(
            settings, executor, replicas, vllm_model, vllm_gpus, vllm_argument, profile, model, batch or cancel_batch
        )
        folder = dataset.resolve()
        run = ExplainRun(
            folder,
            (work or folder.with_name(f"{folder.name}.explain")).resolve(),
            explainer,
            selection,
            ModelChoice(profile, model, budget, plan),
            texts,
            around,
            retry_failed,
            yes,
            BatchUse.CANCEL if cancel_batch else BatchUse.SEND if batch else BatchUse.NONE,
            NEGATIVES if contrastive else 0,
        )
        report = asyncio.run(explain_dataset(run, settings, _ask, typer.echo))
    except (ConfigError, ProfileError, DatasetError, CacheError, OSError) as error:
        line = str(error).strip().partition("\n")[0]
        typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("interrupted; repeat the command to continue: answers that have arrived are stored", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{quantity(report.added, 'explanation')} added to {dataset}")
    for failure in report.failures[:LISTED_FAILURES]:
        typer.echo(f"failed: {failure.item}: {failure.cause}: {failure.message}", err=True)
    if len(report.failures) > LISTED_FAILURES:
        typer.echo(f"and {len(report.failures) - LISTED_FAILURES:,} more", err=True)
    if report.failures:
        typer.echo("retry these alone with --retry-failed", err=True)
    if report.outcome.stopped:
        typer.echo(f"stopped: {report.outcome.stopped}", err=True)
    if report.outcome.stopped or report.failures:
        raise typer.Exit(1)


def _ask(question: str) -> bool:
    return typer.confirm(question, err=True)
