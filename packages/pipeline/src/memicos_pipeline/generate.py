"""`memicos generate`: run a corpus through a model and its SAEs and write a dataset."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from memicos_dataset import manifest as m
from memicos_dataset.publish import finish_interrupted, publish, staging_folder
from memicos_dataset.schema import TOP_GROUP
from memicos_engine.capture.positions import ignored_positions, recipe_has_bos
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import SaeSource

from memicos_pipeline import token_statistics
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.corpus import PADDING
from memicos_pipeline.dashboards.correlations import MAX_PASSES, correlated_features, passes_needed
from memicos_pipeline.dashboards.feature_statistics import FeatureStatistics, feature_statistics
from memicos_pipeline.dashboards.logit_effects import DESCRIPTION as LOGIT_EFFECT
from memicos_pipeline.dashboards.logit_effects import logit_effects
from memicos_pipeline.dashboards.neighbours import decoder_neighbours
from memicos_pipeline.dashboards.unembedding import final_norm_gain, unembedding_matrix
from memicos_pipeline.dataset_writer import corpus_files, explanation_file, feature_files
from memicos_pipeline.harvest import BYTES_OF_ACTIVATION, ShardShape, StoredActivations, harvest
from memicos_pipeline.preparation import GenerateInputs, prepare
from memicos_pipeline.residual_norm import residual_norm
from memicos_pipeline.work_folder import lock_dataset, lock_work_folder, work_folder

ReportLine = Callable[[str], None]


def generate(config: GenerateConfig, report: ReportLine, harvest_only: bool = False) -> None:
    """Make the dataset that `config` describes; with `harvest_only` only harvest activations, the long part.

    After an interruption the next run continues where the last one stopped. `config.out` is replaced when the new
    dataset is complete; readers find the old dataset or the new one at every moment.

    Raises:
        ConfigError, CorpusError, OSError: as `prepare`; `config.out` is unchanged.
        ConfigError: another run is using the work folder, or writes the same dataset.
    """
    with lock_dataset(config.out):
        _generate(config, report, harvest_only)


def _generate(config: GenerateConfig, report: ReportLine, harvest_only: bool) -> None:
    if finish_interrupted(config.out):
        report(f"{config.out}: completed the interrupted replacement of an earlier run")
    execution = config.execution
    if execution.threads is not None:
        torch.set_num_threads(execution.threads)
    inputs = prepare(config)
    shape = ShardShape(execution.shard_contexts, execution.batch_contexts)
    work = work_folder(config.work, inputs.model.hf, inputs.sources, inputs.contexts.token_ids, shape)
    with lock_work_folder(work):
        report(f"activations in {work}")
        harvest(inputs.model, inputs.sources, inputs.contexts.token_ids, work, report, shape)
        if harvest_only:
            return
        folder = staging_folder(config.out)
        shutil.rmtree(folder, ignore_errors=True)
        manifest = write_dataset(config, inputs, work, folder, report)
        publish(config.out)
    size = sum(entry.bytes for entry in manifest.files())
    report(f"{config.out}: {len(manifest.files())} files, {size / 2**20:.1f} MiB")


def write_dataset(
    config: GenerateConfig, inputs: GenerateInputs, work: Path, folder: Path, report: ReportLine
) -> m.Manifest:
    """Write a complete dataset into `folder` from the activations in `work`; the manifest is written last.

    Activations are read a part at a time, of the size that `config.execution` sets.
    """
    model, contexts, execution = inputs.model, inputs.contexts, config.execution
    max_bytes, width = execution.statistics_mib * 2**20, contexts.token_ids.shape[1]
    strings = model.single_token_strings(range(model.d_vocab))
    gain, unembedding = final_norm_gain(model), unembedding_matrix(model)
    explained = _evenly_spread(len(contexts.token_ids), execution.explained_contexts)
    collections = [inputs.documents[number].collection for number in contexts.documents[explained]]
    corpus = token_statistics.read_corpus(contexts.token_ids[explained], strings, collections)
    positions = _positions_of(explained, len(contexts.token_ids), width)
    used_ids = set(np.unique(contexts.token_ids).tolist()) - {PADDING}
    sources = []
    for source in inputs.sources:
        shape = ShardShape(execution.shard_contexts, execution.batch_contexts)
        activations = StoredActivations(work / source.id, source.d_sae, len(contexts.token_ids), width, shape)
        report(f"{source.id}: {activations.counts.sum()} activations; logits, neighbours, correlations")
        decoder = source.sae.W_dec.detach().float().cpu().numpy()
        limits = config.dashboard
        effects = logit_effects(decoder, gain, unembedding, limits.logits, limits.histogram_bins)
        neighbours = decoder_neighbours(decoder, limits.neighbours)
        correlated, correlation_tokens = _correlations(activations, limits.neighbours, max_bytes)
        report(f"{source.id}: statistics and examples")
        statistics = feature_statistics(source.id, activations, contexts.token_ids, limits, max_bytes)
        complete = _CompleteExamples()
        features = feature_files(
            folder, source.id, complete.count(statistics), source.d_sae, effects, neighbours, correlated
        )
        report(f"{source.id}: explanations")
        texts = token_statistics.explain_source(
            (activations.columns(block)[positions] for block in activations.blocks(max_bytes)),
            activations.counted_positions()[positions],
            corpus,
            effects.positive_ids.tolist(),
        )
        explanations = explanation_file(folder, source.id, texts, token_statistics.METHOD)
        used_ids.update(np.unique(effects.positive_ids).tolist(), np.unique(effects.negative_ids).tolist())
        dead = int((activations.counts == 0).sum())
        share = complete.features / source.d_sae
        report(f"{source.id}: {dead} of {source.d_sae} features dead, {share:.1%} with 10 distinct examples")
        norm = residual_norm(model, source, contexts.token_ids)
        entry = _source_entry(config, model, source, activations, features, explanations, norm)
        sources.append(entry.model_copy(update={"correlation_tokens": correlation_tokens}))
    documents, vocabulary, context_files = corpus_files(folder, inputs.documents, contexts, strings, used_ids)
    manifest = m.Manifest(
        release=m.Release(**config.release.model_dump()),
        model=_model_entry(config, model),
        source_set=m.SourceSet(
            id=config.source_set.id,
            name=config.source_set.name,
            description=config.source_set.description,
            sources=sources,
        ),
        corpus=_corpus_entry(config, inputs, documents, vocabulary, context_files),
        execution=m.Execution(
            shard_contexts=execution.shard_contexts,
            batch_contexts=execution.batch_contexts,
            threads=torch.get_num_threads(),
            explained_contexts=len(explained),
        ),
    )
    manifest.write(folder)
    return manifest


def _evenly_spread(count: int, limit: int) -> np.ndarray:
    """At most `limit` of the numbers from 0 to `count` - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).astype(np.int64))


def _positions_of(contexts: np.ndarray, count: int, width: int) -> np.ndarray | slice:
    """Index of the positions of `contexts` among those of all `count` contexts of `width` positions."""
    if len(contexts) == count:
        # without a copy
        return slice(None)
    return (contexts[:, None] * width + np.arange(width)).ravel()


def _correlations(
    activations: StoredActivations, count: int, max_bytes: int
) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    """Correlated features of each feature, and the number of tokens that the correlations are over.

    These are all counted tokens where MAX_PASSES over the activations suffice, else those of evenly spread contexts
    whose activations fit in `max_bytes`.
    """
    features = activations.features
    if passes_needed(features, max_bytes) <= MAX_PASSES:
        counted = activations.counted
        return correlated_features(activations.shards, features, counted, count, max_bytes), counted
    every = max(1, -(-int(activations.counts.sum()) * BYTES_OF_ACTIVATION // max_bytes))
    sample, counted = activations.sample(every)
    return correlated_features(lambda: iter([sample]), features, counted, count, max_bytes), counted


@dataclass
class _CompleteExamples:
    """Counts the features that have 10 distinct examples among their strongest."""

    features: int = 0

    def count(self, statistics: Iterable[FeatureStatistics]) -> Iterator[FeatureStatistics]:
        for item in statistics:
            self.features += sum(example.group == TOP_GROUP for example in item.examples) >= 10
            yield item


def _model_entry(config: GenerateConfig, model: LanguageModel) -> m.Model:
    return m.Model(
        id=config.model.id,
        name=config.model.name,
        layers=model.n_layers,
        d_model=model.d_model,
        vocabulary_size=model.d_vocab,
        chat=config.model.chat,
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
    tokens = int((inputs.contexts.token_ids != PADDING).sum())
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


def _source_entry(
    config: GenerateConfig,
    model: LanguageModel,
    source: SaeSource,
    activations: StoredActivations,
    features: list[m.FileEntry],
    explanations: m.FileEntry,
    norm: float | None,
) -> m.Source:
    recipe = source.recipe
    return m.Source(
        id=source.id,
        layer=source.layer,
        recipe=m.Recipe(
            hook_name=source.hook_name,
            prepend_bos=recipe.prepend_bos,
            context_size=config.corpus.context_size,
            ignored_positions=ignored_positions(recipe, recipe_has_bos(recipe, model.bos_token_id)),
            norm_cut=recipe.norm_cut,
            dtype=config.model.dtype,
            weight_processing="none",
            sae=m.SaeRecipe(
                weights=source.id,
                architecture=source.architecture,
                dtype="float32",
                normalize_activations=recipe.normalize_activations,
                norm_scaling_factor=recipe.norm_scaling_factor,
                unit_directions=source.unit_directions,
            ),
        ),
        architecture=source.architecture,
        d_in=source.d_in,
        d_sae=source.d_sae,
        sae_config=json.loads((config.source_set.folder / source.id / "cfg.json").read_text(encoding="utf-8")),
        counted_tokens=activations.counted,
        dead_features=int((activations.counts == 0).sum()),
        residual_norm=norm,
        logit_effect=LOGIT_EFFECT,
        features=features,
        explanations=explanations,
    )
