"""The job `score`: scores the labels of selected features of stored sources.

Each score is stored as it comes, so that pages show it. Answers of language models are stored before: a job that was
interrupted goes on with the labels that it has not scored, on the same texts, and pays for no answer again. Methods by
embeddings use the local embedder; texts on which a feature is not active, and steered ones, need an inference server.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
from memicos_autointerp_core.bulk.run import Failure, Outcome
from memicos_autointerp_core.bulk.state import UNREADABLE
from memicos_autointerp_core.bulk.task import Task
from memicos_autointerp_core.explainers.interface import MissingEvidence
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_autointerp_core.scorers import eleuther_embedding, output_effects
from memicos_autointerp_core.scorers.interface import NEAR_MISS, Score, missing_texts
from memicos_autointerp_core.scorers.language_model import ScoringModel
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.minilm import MiniLmEmbedder

from memicos_webapp.accounts.identity import LOCAL_OWNER
from memicos_webapp.bulk.cancel_batches import add_where_open
from memicos_webapp.bulk.features import labels_to_score, select_features
from memicos_webapp.bulk.job_task import Agree, JobTask, always_agree, check_budget, failures
from memicos_webapp.bulk.language_model import BulkModel, find_profile, open_model, read_provider_settings
from memicos_webapp.bulk.notes import JobNotes, Report
from memicos_webapp.bulk.options import ScoreOptions
from memicos_webapp.bulk.score_texts import LabelKey, LabelToScore, TextReader
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, Fault, NotConfigured, NotFound
from memicos_webapp.explanations import repository as explanations
from memicos_webapp.inference.service import Inference
from memicos_webapp.inference_hosts.background import opened_hosts
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.scores import repository as scores
from memicos_webapp.scores.methods import METHODS, OUTPUT_TEXTS
from memicos_webapp.scores.scoring.new_score import ModelUse, new_score
from memicos_webapp.scores.scoring.output_texts import OutputTexts, raised_tokens, steered_texts
from memicos_webapp.settings import Settings, read
from memicos_webapp.stored_sources import selection

WHAT = "labels"
"""What the job counts."""


def check(options: ScoreOptions, with_budget: bool = False) -> None:
    """
    Args:
        with_budget: refuse a language model with a price and no budget.

    Raises:
        BadInput: there is no such method or profile, no price although there is a budget, or an option is of other
            methods.
        NotConfigured: the file of profiles is wrong.
    """
    method = METHODS.get(options.method)
    if method is None:
        raise BadInput(f"There is no score type {options.method!r}; available: {', '.join(METHODS)}.")
    if method.of_output and options.near_misses:
        raise BadInput(f"{method.name} looks at the output: texts of similar features are not for it.")
    if method.asks_language_model:
        if with_budget:
            check_budget(options)
        find_profile(read_provider_settings(), options)
    elif options.profile or options.model or options.budget is not None or options.batch:
        raise BadInput(f"{method.name} asks no language model: leave out profile, model, budget and batch.")


async def add(connection: asyncpg.Connection, address: str, options: ScoreOptions) -> int:
    """Queue the scores of labels of `model/source` or `model/set`; returns the number of the job.

    Raises:
        NotFound: there is no such source.
        BadInput, NotConfigured: see `check`.
    """
    check(options, with_budget=True)
    chosen = await selection.select(connection, address)
    return await job_service.add(connection, SCORE.name, chosen.label, options.as_json())


async def _run(run: JobRun) -> None:
    # nobody agrees to the cost of a job in the background: its budget limits it, also where a command's job is resumed
    check(ScoreOptions.from_json(run.options), with_budget=True)
    await score(run, always_agree, lambda line: None)


async def score(run: JobRun, agree: Agree, report: Report) -> Outcome:
    """Score the labels of a started job.

    Args:
        agree: whether the cost of what follows the sample is agreed to; asked for methods with a language model.
        report: is called with lines of progress.

    Raises:
        Stopped: by the budget, a missing agreement, or a fault of the provider that every request has.
        Suspended: a batch is in progress, and the job is in the background.
        Fault: sources, method, language model, embedder or inference cannot be used.
    """
    options = ScoreOptions.from_json(run.options)
    check(options)
    settings, providers = read("score"), read_provider_settings()
    chosen = await selection.select(run.connection, run.location)
    await jobs.describe(run.connection, run.id, chosen.label)
    if not run.continued:
        await file_repository.delete_rejects(run.connection, run.id)
    database, notes = Database(run.url, settings), JobNotes(run, report)
    try:
        async with _judge(database, run.id, providers, settings, options, notes) as judge:
            if judge.model is not None:
                await judge.model.finish_open(interrupted=not run.continued)
            async with opened_hosts(database, settings) as hosts:
                inference = Inference(hosts, lambda call: call)
                job = _Scoring(run, options, settings, providers, database, inference, judge, notes)
                return await job.run(chosen, agree)
    finally:
        await database.close()


@dataclass(frozen=True)
class _Judge:
    """The language model or the embedder; the other one is None."""

    model: BulkModel | None
    embedder: MiniLmEmbedder | None

    @property
    def name(self) -> str:
        """As scores name it."""
        if self.model is not None:
            return self.model.model
        assert self.embedder is not None
        return self.embedder.title


@asynccontextmanager
async def _judge(
    database: Database,
    job_id: int,
    providers: ProviderSettings,
    settings: Settings,
    options: ScoreOptions,
    notes: JobNotes,
) -> AsyncIterator[_Judge]:
    """
    Raises:
        BadInput, NotConfigured: see `open_model`; or the embedder is not installed.
    """
    if METHODS[options.method].asks_language_model:
        async with open_model(providers, options, database, job_id, notes) as model:
            yield _Judge(model, None)
        return
    try:
        embedder = MiniLmEmbedder(settings.embedder_threads)
    except EmbedderError as error:
        raise NotConfigured(str(error)) from error
    yield _Judge(None, embedder)


class _Scoring:
    def __init__(
        self,
        run: JobRun,
        options: ScoreOptions,
        settings: Settings,
        providers: ProviderSettings,
        database: Database,
        inference: Inference,
        judge: _Judge,
        notes: JobNotes,
    ) -> None:
        self._run, self._options, self._settings, self._providers = run, options, settings, providers
        self._database, self._inference, self._judge = database, inference, judge
        self._method = METHODS[options.method]
        self._viewer = Viewer(options.author)
        self._notes = notes
        self._task = JobTask(run, database, WHAT, "Scored", notes)
        self._texts = TextReader(database, inference, settings, options, self._method.of_output, {})
        self._sources: list[SourceInfo] = []
        self._failed_before: dict[tuple[str, int], str] = {}

    async def run(self, chosen: selection.Selection, agree: Agree) -> Outcome:
        options, keys = self._options, list[LabelKey]()
        if options.selection.failed_in is not None:
            self._failed_before = await failures(self._database, options.selection.failed_in)
        failed = await self._task.failed_before()
        async with self._database.snapshot() as session:
            for name in chosen.sources:
                source = await catalog.source(session, LOCAL_OWNER, chosen.model, name)
                if source is None:
                    raise NotFound(f"{chosen.model}/{name} was deleted.")
                self._sources.append(source)
                labels = await labels_to_score(
                    session, source, options.method, self._judge.name, options.unscored, self._run.id
                )
                selected = await select_features(session, source, options.selection)
                keys += [
                    LabelKey(name, index, labels[index])
                    for index in selected
                    if index in labels and (name, index) not in failed
                ]
        if not self._run.continued:
            await self._notes.stage(f"{len(keys):,} {WHAT} to score by {options.method} with {self._judge.name}")
        task = Task(keys, self._load, self._score, self._failed, lambda label: label.key)
        return await self._task.run(task, self._judge.model, agree)

    def _load(self, keys: Sequence[LabelKey]) -> AsyncIterator[LabelToScore]:
        return self._texts.read(self._sources, keys)

    async def _score(self, label: LabelToScore) -> None:
        """
        Raises:
            ProviderError: the language model did not answer.
            MissingEvidence: there are too few texts for a score, or the label was deleted meanwhile.
        """
        around = self._settings.score_tokens
        # before anything is paid
        missing = missing_texts(label.texts)
        if missing and not self._method.of_output:
            raise MissingEvidence(missing)
        found, parameters, use = await self._judged(label)
        found.raise_without_answers()
        if found.estimate is None:
            raise MissingEvidence(found.reason or "There is no score.")
        new = new_score(
            label.explanation,
            None if self._method.of_output else label.source.corpus_id,
            found,
            found.estimate,
            0 if self._method.of_output else around,
            {**parameters, "attempt": self._attempt(label), "job": self._run.id},
            use,
        )
        async with self._database.transaction() as session:
            if await explanations.explanation(session, LOCAL_OWNER, label.explanation) is None:
                raise MissingEvidence(f"Explanation {label.explanation} was deleted while it was scored.")
            await scores.put(session, self._viewer, new)

    async def _judged(self, label: LabelToScore) -> tuple[Score, dict[str, Any], ModelUse | None]:
        """The score, how its texts were chosen, and the language model that was asked."""
        options = self._options
        model, embedder, seed = self._judge.model, self._judge.embedder, options.seed
        if model is not None:
            providers = self._providers
            asked = ScoringModel(
                model.chat, model.model, providers.max_tokens, providers.temperature, self._attempt(label)
            )
            scorer = LANGUAGE_MODEL_SCORERS[options.method]
            found = await scorer.score(label.description, label.texts, asked, seed)
            parameters = {"max_tokens": providers.max_tokens, "temperature": providers.temperature}
            use = ModelUse(model.profile.name, scorer.template_version, asked.counted_usage, asked.paid)
            return found, self._parameters(label) | parameters, use
        assert embedder is not None
        try:
            if not self._method.of_output:
                found = await eleuther_embedding.score(
                    label.description, label.texts, embedder.embed, embedder.title, seed
                )
                return found, self._parameters(label), None
            outputs = await self._outputs(label)
            method = cast(output_effects.Method, options.method)
            found = await output_effects.score(
                method, label.description, outputs.raised, outputs.others, embedder.embed, embedder.title, seed
            )
            return found, outputs.parameters, None
        except EmbedderError as error:
            raise NotConfigured(f"The embedder failed: {error}") from error

    def _parameters(self, label: LabelToScore) -> dict[str, Any]:
        return {
            "texts": self._settings.score_texts,
            "near_misses": sum(text.distance == NEAR_MISS for text in label.texts),
        }

    async def _outputs(self, label: LabelToScore) -> OutputTexts:
        seed = self._options.seed
        if self._options.method != OUTPUT_TEXTS:
            return await raised_tokens(self._database, self._settings, LOCAL_OWNER, label.source, label.row, seed)

        async def steer() -> OutputTexts:
            steered = steered_texts(self._inference, self._settings, label.source, label.row, seed)
            async with aclosing(steered) as parts:
                return [found async for found in parts][-1]

        return await self._texts.while_unavailable(steer)

    def _attempt(self, label: LabelToScore) -> int:
        """Number of the requests of a label (`ChatRequest.attempt`).

        After a failure by an unreadable answer, which has to be asked again, it is that of the job; after another one,
        that of the job that failed, whose stored answers are used again.
        """
        attempt = self._options.attempt
        cause = self._failed_before.get((label.source.name, label.row.index))
        return attempt if cause in (None, UNREADABLE) else max(attempt - 1, 0)

    async def _failed(self, failure: Failure[LabelToScore]) -> None:
        await self._task.fail(failure.item.source, failure.item.row.index, failure)


SCORE = JobKind("score", _run, refusals=(Fault,), after=add_where_open)
