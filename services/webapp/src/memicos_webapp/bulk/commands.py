"""`memicos sources explain` and `memicos sources score`: explain many features of a database, score their labels."""

from typing import Annotated

import typer
from asyncpg import Connection

from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.bulk import explain, score
from memicos_webapp.bulk.job_command import run_command
from memicos_webapp.bulk.job_task import next_attempt
from memicos_webapp.bulk.options import BulkOptions, ExplainOptions, FeatureSelection, ScoreOptions, read_indices
from memicos_webapp.scores.methods import METHODS

Address = Annotated[str, typer.Argument(help="model/source, or model/set for all sources of the set")]
Profile = Annotated[str | None, typer.Option(help="provider, of AUTOINTERP_PROFILES_FILE")]
Model = Annotated[str | None, typer.Option(help="language model; default: the profile's first")]
MinDensity = Annotated[float, typer.Option(min=0, max=1, help="smallest share of active tokens")]
MaxDensity = Annotated[float, typer.Option(min=0, max=1, help="largest share of active tokens")]
ScoreBelow = Annotated[float | None, typer.Option(help="only features whose label has a lower score")]
ScoreMethod = Annotated[str, typer.Option(help="of --score-below")]
Indices = Annotated[str, typer.Option(help="only these, as 3,7,10-20")]
FailedIn = Annotated[int | None, typer.Option(help="only features that this job listed as failed")]
Budget = Annotated[
    float | None, typer.Option(min=0, help="most US dollars to pay, interruptions included; asks no question")
]
Batch = Annotated[
    bool, typer.Option("--batch", help="send what follows the sample as batches, for the batch price of the profile")
]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask whether the cost is agreed to")]


def explain_sources(
    address: Address,
    method: Annotated[str, typer.Option(help="explainer")] = "eleuther_acts_top20",
    profile: Profile = None,
    model: Model = None,
    min_density: MinDensity = 0.0,
    max_density: MaxDensity = 1.0,
    contrastive: Annotated[
        bool, typer.Option("--contrastive", help="show texts of similar features as well, as ones not to describe")
    ] = False,
    unexplained: Annotated[
        bool, typer.Option("--unexplained", help="only features without an explanation other than token statistics")
    ] = False,
    score_below: ScoreBelow = None,
    score_method: ScoreMethod = "eleuther_embedding",
    indices: Indices = "",
    failed_in: FailedIn = None,
    budget: Budget = None,
    batch: Batch = False,
    yes: Yes = False,
) -> None:
    """Explain features of a database with a language model; pages show each explanation as it comes.

    The cost is measured on 20 features first. A killed run continues, and pays for no answer again.
    """

    async def options(connection: Connection) -> BulkOptions:
        chosen = FeatureSelection(
            min_density, max_density, unexplained, score_below, score_method, read_indices(indices), failed_in
        )
        attempt = await next_attempt(connection, failed_in, explain.EXPLAIN.name)
        made = ExplainOptions(method, OWNER_ID, profile, model, budget, attempt, chosen, contrastive, batch=batch)
        explain.check(made)
        return made

    asks = not yes and budget is None
    run_command("sources explain", explain.EXPLAIN, explain.explain, address, options, asks)


def score_sources(
    address: Address,
    method: Annotated[str, typer.Option(help=", ".join(METHODS))] = "eleuther_embedding",
    near_misses: Annotated[
        bool,
        typer.Option("--near-misses", help="take half of the texts without the feature from similar features"),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of every random choice")] = 0,
    profile: Profile = None,
    model: Model = None,
    min_density: MinDensity = 0.0,
    max_density: MaxDensity = 1.0,
    unscored: Annotated[
        bool, typer.Option("--unscored", help="only labels without a score by this method and model")
    ] = False,
    score_below: ScoreBelow = None,
    score_method: ScoreMethod = "eleuther_embedding",
    indices: Indices = "",
    failed_in: FailedIn = None,
    budget: Budget = None,
    batch: Batch = False,
    yes: Yes = False,
) -> None:
    """Score the labels of features of a database; pages show each score as it comes.

    The texts come from the database and an inference server that has the sources. With a language model the cost is
    measured on 20 labels first. A killed run continues, and pays for no answer again.
    """

    async def options(connection: Connection) -> BulkOptions:
        chosen = FeatureSelection(
            min_density, max_density, False, score_below, score_method, read_indices(indices), failed_in
        )
        attempt = await next_attempt(connection, failed_in, score.SCORE.name)
        made = ScoreOptions(
            method, OWNER_ID, profile, model, budget, attempt, chosen, unscored, near_misses, seed, batch=batch
        )
        score.check(made)
        return made

    known = METHODS.get(method)
    asks = not yes and budget is None and known is not None and known.asks_language_model
    run_command("sources score", score.SCORE, score.score, address, options, asks)
