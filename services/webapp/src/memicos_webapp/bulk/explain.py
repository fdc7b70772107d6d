"""The job `explain`: a language model explains selected features of stored sources.

Each explanation is stored as it comes, so that pages show it and the server embeds it for search. Answers are stored
before: a job that was interrupted goes on with the features that have no explanation, and pays for no answer again.
"""

from collections.abc import AsyncIterator, Sequence

import asyncpg
from memicos_autointerp_core.bulk.run import Failure, Outcome
from memicos_autointerp_core.bulk.task import Task
from memicos_autointerp_core.explainers.registry import EXPLAINERS, find_explainer
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_dataset.wording import quantity

from memicos_webapp.accounts.identity import LOCAL_OWNER
from memicos_webapp.bulk.cancel_batches import add_where_open
from memicos_webapp.bulk.features import BulkFeature, explained, read_features, select_features
from memicos_webapp.bulk.job_task import Agree, JobTask, always_agree, check_budget
from memicos_webapp.bulk.language_model import BulkModel, find_profile, open_model, read_provider_settings
from memicos_webapp.bulk.notes import JobNotes, Report
from memicos_webapp.bulk.options import ExplainOptions
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, Fault, NotFound
from memicos_webapp.explanations import repository as explanations
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.settings import Settings, read
from memicos_webapp.stored_sources import selection


def check(options: ExplainOptions) -> None:
    """
    Raises:
        BadInput, NotConfigured: there is no such method or profile, or no price although there is a budget.
    """
    if find_explainer(options.method) is None:
        raise BadInput(f"There is no method {options.method!r}, only {', '.join(EXPLAINERS)}.")
    find_profile(read_provider_settings(), options)


async def add(connection: asyncpg.Connection, address: str, options: ExplainOptions) -> int:
    """Queue the explanation of features of `model/source` or `model/set`; returns the number of the job.

    Raises:
        NotFound: there is no such source.
        BadInput, NotConfigured: see `check`.
    """
    check(options)
    chosen = await selection.select(connection, address)
    return await job_service.add(connection, EXPLAIN.name, chosen.label, options.as_json())


async def _run(run: JobRun) -> None:
    # nobody agrees to the cost of a job in the background: its budget limits it, also where a command's job is resumed
    check_budget(ExplainOptions.from_json(run.options))
    await explain(run, always_agree, lambda line: None)


async def explain(run: JobRun, agree: Agree, report: Report) -> Outcome:
    """Explain the features of a started job.

    Args:
        agree: whether the cost of what follows the sample is agreed to.
        report: is called with lines of progress.

    Raises:
        Stopped: by the budget, a missing agreement, or a fault of the provider that every request has.
        Suspended: a batch is in progress, and the job is in the background.
        Fault: sources, method or language model cannot be used.
    """
    options = ExplainOptions.from_json(run.options)
    check(options)
    settings = read("explain")
    providers = read_provider_settings()
    chosen = await selection.select(run.connection, run.location)
    await jobs.describe(run.connection, run.id, chosen.label)
    if not run.continued:
        await file_repository.delete_rejects(run.connection, run.id)
    database, notes = Database(run.url, settings), JobNotes(run, report)
    try:
        async with open_model(providers, options, database, run.id, notes) as model:
            await model.finish_open(interrupted=not run.continued)
            return await _Explanation(run, options, settings, providers, database, model, notes).run(chosen, agree)
    finally:
        await database.close()


class _Explanation:
    def __init__(
        self,
        run: JobRun,
        options: ExplainOptions,
        settings: Settings,
        providers: ProviderSettings,
        database: Database,
        model: BulkModel,
        notes: JobNotes,
    ) -> None:
        explainer = find_explainer(options.method)
        assert explainer is not None  # `check`
        self._run, self._options, self._settings, self._database = run, options, settings, database
        self._explainer, self._model = explainer, model
        self._notes = notes
        self._task = JobTask(run, database, "features", "Explained", notes)
        self._explainer_options = providers.explainer_options
        self._sources: list[SourceInfo] = []

    async def run(self, chosen: selection.Selection, agree: Agree) -> Outcome:
        keys: list[tuple[str, int]] = []
        failed = await self._task.failed_before()
        async with self._database.snapshot() as session:
            for name in chosen.sources:
                source = await catalog.source(session, LOCAL_OWNER, chosen.model, name)
                if source is None:
                    raise NotFound(f"{chosen.model}/{name} was deleted.")
                self._sources.append(source)
                done = await explained(session, source, self._explainer.name, self._model.model)
                selected = await select_features(session, source, self._options.selection)
                keys += [(name, index) for index in selected if index not in done and (name, index) not in failed]
        model = self._model
        if not self._run.continued:
            line = f"{quantity(len(keys), 'feature')} to explain by {self._explainer.name} with {model.model}"
            await self._notes.stage(line)
        task = Task(keys, self._load, self._explain, self._failed, lambda item: (item.source.name, item.index))
        return await self._task.run(task, model, agree)

    def _load(self, keys: Sequence[tuple[str, int]]) -> AsyncIterator[BulkFeature]:
        settings = self._settings
        negatives = settings.explain_negatives if self._options.contrastive else 0
        return read_features(
            self._database, self._sources, keys, settings.explain_activations, settings.explain_tokens, negatives
        )

    async def _explain(self, feature: BulkFeature) -> None:
        options, model = self._options, self._model
        found = await self._explainer.explain(
            feature.evidence, model.chat, model.model, self._explainer_options, options.attempt
        )
        async with self._database.transaction() as session:
            await explanations.add_from_job(
                session, options.author, feature.source, feature.index, found, model.model, model.profile.name
            )

    async def _failed(self, failure: Failure[BulkFeature]) -> None:
        await self._task.fail(failure.item.source, failure.item.index, failure)


EXPLAIN = JobKind("explain", _run, refusals=(Fault,), after=add_where_open)
