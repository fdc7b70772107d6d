"""`memicos generate`: run a corpus through a model and its SAEs and write a dataset."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from memicos_dataset import manifest as m
from memicos_dataset.folder import Folder
from memicos_dataset.remote.native import put_native
from memicos_dataset.remote.put import PutOptions, Target
from memicos_dataset.replace_folder import finish_interrupted, replace_folder, staging_folder
from memicos_dataset.wording import quantity
from memicos_engine.model.language_model import LanguageModel

from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.corpus.contexts import PADDING, chunks
from memicos_pipeline.dataset_lock import lock_dataset
from memicos_pipeline.dataset_writer import corpus_files
from memicos_pipeline.earlier_runs import FinishedSources, inputs_digest, is_complete, note_complete, run_key
from memicos_pipeline.execution.executors import Executor, check_executor, open_executor
from memicos_pipeline.execution.worker import number_of_threads, shard_shape
from memicos_pipeline.harvest import missing_shards
from memicos_pipeline.preparation import GenerateInputs, check_folders, prepare
from memicos_pipeline.progress import Progress
from memicos_pipeline.work_folder import lock_work_folder, work_folder


def generate(config: GenerateConfig, report: Callable[[str], None], harvest_only: bool = False) -> None:
    """Make the dataset that `config` describes; with `harvest_only` only harvest activations, the long part.

    `report` takes lines; a `Progress` also shows bars. After an interruption the next run continues where the last one
    stopped. `config.out` is replaced when the new dataset is complete; readers find the old dataset or the new one at
    every moment. The model is not loaded where `config.out` is complete.

    Raises:
        ConfigError, CorpusError, OSError: as `prepare` and `check_executor`; `config.out` is unchanged.
        ConfigError: another run is using the work folder, or writes the same dataset.
        DatasetError, OSError: the dataset cannot be put to `config.out_url`; the next run goes on there.
    """
    progress = report if isinstance(report, Progress) else Progress(report)
    options = PutOptions(replace=True)
    target = Folder.of(config.out_url) if config.out_url else None
    if target:
        # before the long part
        Target(target, options).check_readable()
    with lock_dataset(config.out):
        _generate(config, progress, harvest_only)
        if target and not harvest_only:
            sent = put_native(config.out, target, options, lambda _: None)
            progress(f"{target}: is complete and verified; {quantity(sent, 'file')} sent now")


def _generate(config: GenerateConfig, progress: Progress, harvest_only: bool) -> None:
    if finish_interrupted(config.out):
        progress(f"{config.out}: completed the interrupted replacement of an earlier run")
    with number_of_threads(config.execution.threads or torch.get_num_threads()):
        _generate_with_threads(config, progress, harvest_only)


def _generate_with_threads(config: GenerateConfig, progress: Progress, harvest_only: bool) -> None:
    check_executor(config)
    check_folders(config)
    digest = inputs_digest(config)
    if digest and not harvest_only and is_complete(config, digest):
        progress(f"{config.out}: is complete, and made of the same inputs; nothing to do")
        return
    inputs = prepare(config, progress)
    config = inputs.config
    token_ids, folder = inputs.contexts.token_ids, staging_folder(config.out)
    work = work_folder(config.work, inputs.model.hf, inputs.sources, token_ids, shard_shape(config))
    with lock_work_folder(work), open_executor(config, inputs, work, folder, progress) as executor:
        progress(f"activations in {work}")
        harvest(config, inputs, work, executor, progress)
        if harvest_only:
            return
        manifest = write_dataset(config, inputs, work, folder, executor, progress)
        replace_folder(config.out)
    if digest:
        note_complete(config, digest)
    size = sum(entry.bytes for entry in manifest.files())
    progress(f"{config.out}: {quantity(len(manifest.files()), 'file')}, {size / 2**20:.1f} MiB")


def harvest(config: GenerateConfig, inputs: GenerateInputs, work: Path, executor: Executor, progress: Progress) -> None:
    """Run all contexts through the model once and store each source's activations in `work`.

    A shard whose files are complete is not run again.
    """
    count, width = inputs.contexts.token_ids.shape
    ranges = shard_shape(config).ranges(count)
    missing = missing_shards(work, [source.id for source in inputs.sources], ranges)
    with progress.stage("activations", count, "contexts") as stage:
        stage.skip(count - sum(ranges[number][1] - ranges[number][0] for number in missing))
        executor.run_shards(missing, lambda contexts: stage.advance(contexts, contexts * width))


def write_dataset(
    config: GenerateConfig, inputs: GenerateInputs, work: Path, folder: Path, executor: Executor, progress: Progress
) -> m.Manifest:
    """Write a complete dataset into `folder` from the activations in `work`; the manifest is written last.

    Sources that a killed run finished there are kept.
    """
    model, contexts, execution = inputs.model, inputs.contexts, config.execution
    finished = FinishedSources(folder, run_key(config, work))
    used_ids: set[int] = set()
    for chunk in chunks(contexts.token_ids):
        used_ids.update(np.unique(chunk).tolist())
    used_ids.discard(PADDING)
    source_ids = [source.id for source in inputs.sources]
    sources = {source_id: source for source_id in source_ids if (source := finished.find(source_id))}
    for source in executor.write_sources([source_id for source_id in source_ids if source_id not in sources]):
        finished.add(source)
        sources[source.entry.id] = source
    for source in sources.values():
        used_ids.update(source.used_ids)
    strings = model.single_token_strings(range(model.d_vocab))
    documents, vocabulary, context_files = corpus_files(folder, contexts, strings, used_ids)
    manifest = m.Manifest(
        release=m.Release.model_validate(config.release.model_dump() if config.release else {}),
        model=_model_entry(config, model),
        source_set=m.SourceSet(
            id=config.source_set.id or "",
            name=config.source_set.name or "",
            description=config.source_set.description,
            sources=[sources[source_id].entry for source_id in source_ids],
        ),
        corpus=_corpus_entry(config, inputs, documents, vocabulary, context_files),
        execution=m.Execution(
            shard_contexts=execution.shard_contexts,
            batch_contexts=execution.batch_contexts,
            threads=torch.get_num_threads(),
            explained_contexts=min(len(contexts.token_ids), execution.explained_contexts),
        ),
    )
    finished.remove()
    manifest.write(folder)
    return manifest


def _model_entry(config: GenerateConfig, model: LanguageModel) -> m.Model:
    return m.Model(
        id=config.model.id,
        name=config.model.name,
        layers=model.n_layers,
        d_model=model.d_model,
        vocabulary_size=model.d_vocab,
        chat=bool(config.model.chat),
        origin=model.origin,
        license=config.model.license,
        url=config.model.url,
    )


def _corpus_entry(
    config: GenerateConfig,
    inputs: GenerateInputs,
    documents: m.FileEntry,
    vocabulary: m.FileEntry,
    context_files: list[m.FileEntry],
) -> m.Corpus:
    count, width = inputs.contexts.token_ids.shape
    tokens = sum(int((chunk != PADDING).sum()) for chunk in chunks(inputs.contexts.token_ids))
    return m.Corpus(
        id=config.corpus.id,
        description=config.corpus.description,
        contexts=count,
        context_size=width,
        tokens=tokens - count * inputs.prepends_bos,
        collections=[
            m.Collection(**collection.model_dump(exclude={"contexts"})) for collection in config.corpus.collections
        ],
        documents=documents,
        vocabulary=vocabulary,
        context_files=context_files,
    )
