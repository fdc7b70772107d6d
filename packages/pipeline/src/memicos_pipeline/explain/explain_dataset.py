"""Explains the features of a dataset on disk, and adds the explanations to it."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from memicos_autointerp_core.bulk.batch_run import run_batch_task
from memicos_autointerp_core.bulk.run import Failure, Outcome
from memicos_autointerp_core.bulk.state import FailedItem, WorkState, digest
from memicos_autointerp_core.bulk.task import Task, progress_line, run_task
from memicos_autointerp_core.explainers.interface import Explainer
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_dataset import manifest as m
from memicos_dataset import read, schema
from memicos_dataset.replace_folder import finish_interrupted
from memicos_dataset.wording import quantity

from memicos_pipeline.bulk.batches import BatchRun, BatchUse, open_batches
from memicos_pipeline.bulk.language_model import STATE_FILE, BulkModel, ModelChoice, agreement, open_model
from memicos_pipeline.bulk.model_requests import ModelRequests
from memicos_pipeline.bulk.replace_tables import EXPLANATIONS, replace_tables
from memicos_pipeline.bulk.selection import Selection, chosen_sources, explanations, select
from memicos_pipeline.dataset_lock import lock_dataset
from memicos_pipeline.explain.evidence import Corpus, Feature, features

TEXTS = 10
AROUND = 24
"""Texts of a feature, and tokens on both sides of the strongest one, as in the webapp."""
NEGATIVES = 5
"""Texts of similar features in a contrastive prompt, as in the webapp."""


@dataclass(frozen=True)
class ExplainRun:
    """What `memicos explain` does.

    Attributes:
        texts, around, negatives: see `evidence.features`.
        retry_failed: only features whose last attempt failed.
        yes: the cost needs no agreement.
        work: folder of the stored answers.
        batches: whether requests are sent as batches, or batches of interrupted runs cancelled.
    """

    dataset: Path
    work: Path
    explainer: Explainer
    selection: Selection
    choice: ModelChoice
    texts: int = TEXTS
    around: int = AROUND
    retry_failed: bool = False
    yes: bool = False
    batches: BatchUse = BatchUse.NONE
    negatives: int = 0


@dataclass(frozen=True)
class Report:
    """`added`: explanations that the dataset has now and had not before; `failures`: of all runs of this method and
    model, of features without an explanation by them."""

    outcome: Outcome
    added: int
    failures: list[FailedItem]


async def explain_dataset(
    run: ExplainRun, settings: ProviderSettings, ask: Callable[[str], bool], report: Callable[[str], None]
) -> Report:
    """Explain the selected features of `run.dataset`, and replace it by one that has the explanations too.

    Answers are stored in `run.work` as they come: a run that was killed pays for none of them again.

    Raises:
        ConfigError, ProfileError, DatasetError, CacheError, OSError: dataset, profile or stored answers cannot be used.
    """
    with lock_dataset(run.dataset):
        finish_interrupted(run.dataset)
        manifest = read.read_manifest(run.dataset)
        sources = chosen_sources(manifest, run.selection)
        identity: dict[str, object] = {
            "method": run.explainer.name,
            "texts": (run.texts, run.around, run.negatives),
            "selection": asdict(run.selection),
        }
        async with open_model(settings, run.choice, run.work, identity, report) as model:
            state = WorkState(run.work / STATE_FILE, _work(run, manifest, model))
            try:
                async with open_batches(run.batches, model, settings, run.work, report) as batches:
                    outcome = await _explain(run, settings, manifest, sources, model, batches, state, ask, report)
                added = _publish(run, manifest, model, state)
                return Report(outcome, added, list(state.failures().values()))
            finally:
                state.close()


def _work(run: ExplainRun, manifest: m.Manifest, model: BulkModel) -> str:
    """Names what results depend on: another dataset, prompt or model gives others."""
    files = [entry.sha256 for source in manifest.source_set.sources for entry in source.features]
    return digest(
        {
            "model": model.work,
            "method": run.explainer.name,
            "template": run.explainer.template_version,
            "texts": (run.texts, run.around, run.negatives),
            "files": files,
        }
    )


async def _explain(
    run: ExplainRun,
    settings: ProviderSettings,
    manifest: m.Manifest,
    sources: Sequence[m.Source],
    model: BulkModel,
    batches: BatchRun | None,
    state: WorkState,
    ask: Callable[[str], bool],
    report: Callable[[str], None],
) -> Outcome:
    if batches and (stopped := await batches.finish_open()):
        return Outcome(stopped=stopped)
    chat = batches.chat if batches else model.meter
    done, failures = state.done(), state.failures()
    keys: list[tuple[str, int]] = []
    for source in sources:
        stored = {
            row.index
            for row in explanations(run.dataset, source)
            if (row.method, row.model) == (run.explainer.name, model.model)
        }
        keys += [
            (source.id, index)
            for index in select(run.dataset, source, run.selection)
            if index not in stored
            and f"{source.id}/{index}" not in done
            and (not run.retry_failed or f"{source.id}/{index}" in failures)
        ]
    report(f"{quantity(len(keys), 'feature')} to explain by {run.explainer.name} with {model.model}")
    corpus = Corpus(run.dataset, manifest)
    options = settings.explainer_options

    async def load(chosen: Sequence[tuple[str, int]]) -> AsyncIterator[Feature]:
        for source in sources:
            wanted = {index for name, index in chosen if name == source.id}
            if wanted:
                for feature in features(run.dataset, source, wanted, corpus, run.texts, run.around, run.negatives):
                    yield feature

    def attempt(feature: Feature) -> int:
        failure = failures.get(feature.name)
        return failure.next_attempt if failure else 0

    async def explain(feature: Feature) -> None:
        found = await run.explainer.explain(feature.evidence, chat, model.model, options, attempt(feature))
        # PostgreSQL's text type, where datasets are imported to, cannot store NUL
        text = found.text.replace("\0", "␀")
        # the cost is also of an answer that an interrupted run paid for
        requests = ModelRequests(found.template_version, model.profile.name, found.parameters, found.usage, found.cost)
        state.store(feature.name, {"description": text, **requests.columns()})

    async def failed(failure: Failure[Feature]) -> None:
        state.fail(FailedItem(failure.item.name, failure.cause, failure.message, attempt(failure.item)))

    shown = ""

    async def progress(outcome: Outcome) -> None:
        nonlocal shown
        line = progress_line(outcome, len(keys), model.meter)
        # the wait for a batch takes hours, in which nothing changes
        if line != shown:
            shown = line
            report(line)

    agree = agreement(model, run.choice, run.yes, ask, report)
    task = Task(keys, load, explain, failed, lambda feature: (feature.source, feature.index))
    if batches:
        return await run_batch_task(task, batches.chat, model.meter, model.model, agree, progress, model.samples)
    return await run_task(task, model.meter, model.profile, model.model, agree, progress, model.samples)


def _publish(run: ExplainRun, manifest: m.Manifest, model: BulkModel, state: WorkState) -> int:
    """Add all results that the dataset lacks to it; returns their number. Files that stay the same are linked."""
    results: dict[str, list[tuple[int, dict[str, object]]]] = {}
    for name, result in state.results():
        source, _, index = name.rpartition("/")
        results.setdefault(source, []).append((int(index), result))
    tables: dict[str, pa.Table] = {}
    added = 0
    for source in manifest.source_set.sources:
        stored = {
            row.index
            for row in explanations(run.dataset, source)
            if (row.method, row.model) == (run.explainer.name, model.model)
        }
        new = [
            {"index": index, "method": run.explainer.name, "model": model.model, **result}
            for index, result in sorted(results.get(source.id, []), key=lambda item: item[0])
            if index not in stored
        ]
        if new:
            added += len(new)
            old = [batch.rows for batch in read.explanation_batches(run.dataset, source)]
            before = pa.Table.from_batches(old) if old else schema.EXPLANATIONS.empty_table()
            # behind the others: scores name explanations by the number of their row
            rows = pa.Table.from_pylist(new, schema=schema.EXPLANATION_TABLE.with_optional(schema.REQUEST_COLUMNS))
            tables[source.id] = pa.concat_tables([before, rows], promote_options="default")
    if tables:
        replace_tables(run.dataset, manifest, EXPLANATIONS, tables)
    return added
