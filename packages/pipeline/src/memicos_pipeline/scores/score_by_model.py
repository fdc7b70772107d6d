"""`memicos score --method …`: scores of a dataset's explanations by a language model, within a budget."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memicos_autointerp_core.bulk.batch_run import run_batch_task
from memicos_autointerp_core.bulk.run import Failure, Outcome
from memicos_autointerp_core.bulk.state import FailedItem, WorkState, digest
from memicos_autointerp_core.bulk.task import Task, progress_line, run_task
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_autointerp_core.scorers.interface import BreakdownRow, Score, ScoredText, missing_texts
from memicos_autointerp_core.scorers.language_model import ScoringModel
from memicos_autointerp_core.scorers.registry import LanguageModelScorer
from memicos_dataset import manifest as m
from memicos_dataset import read
from memicos_dataset.replace_folder import finish_interrupted
from memicos_dataset.wording import quantity

from memicos_pipeline.bulk.batches import BatchRun, BatchUse, open_batches
from memicos_pipeline.bulk.language_model import STATE_FILE, BulkModel, ModelChoice, agreement, open_model
from memicos_pipeline.bulk.model_requests import ModelRequests
from memicos_pipeline.bulk.replace_tables import SCORES, replace_tables
from memicos_pipeline.bulk.selection import Selection, chosen_sources, explanations, labels, select
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.dataset_lock import lock_dataset
from memicos_pipeline.scores.dataset_texts import feature_examples, read_corpus
from memicos_pipeline.scores.protocol import ScoreProtocol
from memicos_pipeline.scores.score_rows import score_row, with_scores
from memicos_pipeline.scores.text_pool import read_pool

WHAT = "explanations"
"""What the run counts."""
Key = tuple[str, int]
"""Source and number of the explanation's row."""


@dataclass(frozen=True)
class ScoreRun:
    """What the command does.

    Attributes:
        every_explanation: score all explanations of the selected features, not their labels alone.
        retry_failed: only explanations whose last attempt failed.
        yes: the cost needs no agreement.
        work: folder of the stored answers.
        batches: whether requests are sent as batches, or batches of interrupted runs cancelled.
    """

    config: GenerateConfig
    scorer: LanguageModelScorer
    protocol: ScoreProtocol
    selection: Selection
    choice: ModelChoice
    work: Path
    every_explanation: bool = False
    retry_failed: bool = False
    yes: bool = False
    batches: BatchUse = BatchUse.NONE


@dataclass(frozen=True)
class ExplanationToScore:
    source: str
    number: int
    description: str
    texts: list[ScoredText]

    @property
    def name(self) -> str:
        return f"{self.source}/{self.number}"


async def score_by_model(
    run: ScoreRun, settings: ProviderSettings, ask: Callable[[str], bool], report: Callable[[str], None]
) -> tuple[Outcome, list[FailedItem]]:
    """Score explanations of the dataset `run.config.out`, and replace it by one that has the scores too.

    Returns the outcome, and the failures of all runs of this method and model, of explanations without a score by them.

    Raises:
        ConfigError, ProfileError, DatasetError, CacheError, OSError: dataset, profile or stored answers cannot be used.
    """
    folder = run.config.out
    with lock_dataset(folder):
        finish_interrupted(folder)
        manifest = read.read_manifest(folder)
        sources = chosen_sources(manifest, run.selection)
        parts: dict[str, object] = {
            "method": run.scorer.name,
            "protocol": asdict(run.protocol),
            "selection": asdict(run.selection),
            "every": run.every_explanation,
        }
        async with open_model(settings, run.choice, run.work, parts, report) as model:
            state = WorkState(run.work / STATE_FILE, _work(run, manifest, model))
            try:
                keys = _keys(run, sources, state)
                report(f"{quantity(len(keys), 'explanation')} to score by {run.scorer.name} with {model.model}")
                async with open_batches(run.batches, model, settings, run.work, report) as batches:
                    outcome = await _score(run, settings, manifest, sources, keys, model, batches, state, ask, report)
                _publish(folder, manifest, state)
                return outcome, list(state.failures().values())
            finally:
                state.close()


def _work(run: ScoreRun, manifest: m.Manifest, model: BulkModel) -> str:
    """Names what results depend on; explanations are named by the number of their row, so of their files too."""
    files = [
        entry.sha256
        for source in manifest.source_set.sources
        for entry in [*source.features, *([source.explanations] if source.explanations else [])]
    ]
    parts = {"model": model.work, "method": run.scorer.name, "protocol": asdict(run.protocol), "files": files}
    return digest(parts)


def _keys(run: ScoreRun, sources: Sequence[m.Source], state: WorkState) -> dict[Key, tuple[int, str]]:
    """Feature index and text of the explanations to score."""
    done, failures = state.done(), state.failures()
    keys: dict[Key, tuple[int, str]] = {}
    for source in sources:
        rows = explanations(run.config.out, source)
        chosen = set(select(run.config.out, source, run.selection))
        for row in rows if run.every_explanation else labels(rows).values():
            name = f"{source.id}/{row.number}"
            if row.index in chosen and name not in done and (not run.retry_failed or name in failures):
                keys[source.id, row.number] = (row.index, row.description)
    return keys


async def _score(
    run: ScoreRun,
    settings: ProviderSettings,
    manifest: m.Manifest,
    sources: Sequence[m.Source],
    keys: dict[Key, tuple[int, str]],
    model: BulkModel,
    batches: BatchRun | None,
    state: WorkState,
    ask: Callable[[str], bool],
    report: Callable[[str], None],
) -> Outcome:
    if batches and (stopped := await batches.finish_open()):
        return Outcome(stopped=stopped)
    if not keys:
        return Outcome()
    chat = batches.chat if batches else model.meter
    corpus = read_corpus(run.config.out, manifest)
    indices: dict[str, set[int]] = {}
    for (source_id, _), (index, _) in keys.items():
        indices.setdefault(source_id, set()).add(index)
    pool = read_pool(run.config, manifest, corpus, run.protocol, report, indices)
    failures = state.failures()

    async def load(chosen: Sequence[Key]) -> AsyncIterator[ExplanationToScore]:
        for source in sources:
            numbers: dict[int, list[int]] = {}
            for key in chosen:
                if key[0] == source.id:
                    numbers.setdefault(keys[key][0], []).append(key[1])
            if not numbers:
                continue
            for example in feature_examples(run.config.out, source, corpus, run.protocol.around, set(numbers)):
                drawn = pool.draw(run.protocol, source, example.index, example.texts)
                for number in numbers[example.index]:
                    yield ExplanationToScore(source.id, number, keys[source.id, number][1], drawn)

    def attempt(item: ExplanationToScore) -> int:
        failure = failures.get(item.name)
        return failure.next_attempt if failure else 0

    async def score(item: ExplanationToScore) -> None:
        # before anything is paid
        requests = None
        if reason := missing_texts(item.texts):
            rows = [BreakdownRow(text, text.active) for text in item.texts]
            found = Score(run.scorer.name, model.model, None, reason, run.protocol.seed, rows)
        else:
            asked = ScoringModel(chat, model.model, settings.max_tokens, settings.temperature, attempt(item))
            found = await run.scorer.score(item.description, item.texts, asked, run.protocol.seed)
            found.raise_without_answers()
            parameters = {
                "attempt": attempt(item),
                "max_tokens": settings.max_tokens,
                "temperature": settings.temperature,
            }
            requests = ModelRequests(
                run.scorer.template_version, model.profile.name, parameters, asked.counted_usage, asked.paid
            )
        state.store(item.name, score_row(item.number, found, run.protocol, requests))

    async def failed(failure: Failure[ExplanationToScore]) -> None:
        state.fail(FailedItem(failure.item.name, failure.cause, failure.message, attempt(failure.item)))

    shown = ""

    async def progress(outcome: Outcome) -> None:
        nonlocal shown
        line = progress_line(outcome, len(keys), model.meter, WHAT)
        # the wait for a batch takes hours, in which nothing changes
        if line != shown:
            shown = line
            report(line)

    agree = agreement(model, run.choice, run.yes, ask, report, WHAT)
    task = Task(list(keys), load, score, failed, lambda item: (item.source, item.number))
    if batches:
        return await run_batch_task(task, batches.chat, model.meter, model.model, agree, progress, model.samples)
    return await run_task(task, model.meter, model.profile, model.model, agree, progress, model.samples)


def _publish(folder: Path, manifest: m.Manifest, state: WorkState) -> None:
    """Add the results to the dataset's scores, in place of those of the same explanation, method and model."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, row in state.results():
        found.setdefault(name.rpartition("/")[0], []).append(row)
    tables = {
        source.id: with_scores(folder, source, found[source.id])
        for source in manifest.source_set.sources
        if source.id in found
    }
    if tables:
        replace_tables(folder, manifest, SCORES, tables)
