"""`memicos generate`: run a corpus through a model and its SAEs and write a dataset."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from memicos_dataset import manifest as m
from memicos_dataset.publish import finish_interrupted, publish, staging_folder
from memicos_engine.capture.positions import ignored_positions, recipe_has_bos
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import SaeSource

from memicos_pipeline import token_statistics
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.corpus import PADDING
from memicos_pipeline.dashboards.correlations import correlated_features
from memicos_pipeline.dashboards.feature_statistics import FeatureStatistics, feature_statistics
from memicos_pipeline.dashboards.logit_effects import DESCRIPTION as LOGIT_EFFECT
from memicos_pipeline.dashboards.logit_effects import LogitEffects, logit_effects
from memicos_pipeline.dashboards.neighbours import decoder_neighbours
from memicos_pipeline.dashboards.unembedding import final_norm_gain, unembedding_matrix
from memicos_pipeline.dataset_writer import corpus_files, explanation_file, feature_files
from memicos_pipeline.harvest import Activations, harvest, read_activations
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
    inputs = prepare(config)
    source_folders = [config.source_set.folder / source.id for source in inputs.sources]
    work = work_folder(config.work, inputs.model.hf, source_folders, inputs.contexts.token_ids)
    with lock_work_folder(work):
        report(f"activations in {work}")
        harvest(inputs.model, inputs.sources, inputs.contexts.token_ids, work, report)
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
    """Write a complete dataset into `folder` from the activations in `work`, one source in memory at a time.

    The manifest is written last.
    """
    model, contexts = inputs.model, inputs.contexts
    strings = model.single_token_strings(range(model.d_vocab))
    gain, unembedding = final_norm_gain(model), unembedding_matrix(model)
    collections = [inputs.documents[number].collection for number in contexts.documents]
    corpus = token_statistics.read_corpus(contexts.token_ids, strings, collections)
    used_ids = set(np.unique(contexts.token_ids).tolist()) - {PADDING}
    sources = []
    for source in inputs.sources:
        activations = read_activations(work / source.id, source.d_sae)
        report(f"{source.id}: {activations.matrix.nnz} activations, statistics and examples")
        statistics = list(feature_statistics(source.id, activations, contexts.token_ids, config.dashboard))
        report(f"{source.id}: logits, neighbours, correlations")
        decoder = source.sae.W_dec.detach().float().cpu().numpy()
        limits = config.dashboard
        effects = logit_effects(decoder, gain, unembedding, limits.logits, limits.histogram_bins)
        features = _write_features(folder, source.id, statistics, effects, decoder, activations, limits.neighbours)
        report(f"{source.id}: explanations")
        texts = token_statistics.explain_source(
            activations.matrix, activations.counted, corpus, effects.positive_ids.tolist()
        )
        explanations = explanation_file(folder, source.id, texts, token_statistics.METHOD)
        used_ids.update(np.unique(effects.positive_ids).tolist(), np.unique(effects.negative_ids).tolist())
        report(_summary(source.id, statistics))
        norm = residual_norm(model, source, contexts.token_ids)
        sources.append(_source_entry(config, model, source, activations, statistics, features, explanations, norm))
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
    )
    manifest.write(folder)
    return manifest


def _write_features(
    folder: Path,
    source_id: str,
    statistics: list[FeatureStatistics],
    effects: LogitEffects,
    decoder: np.ndarray,
    activations: Activations,
    neighbours: int,
) -> list[m.FileEntry]:
    return feature_files(
        folder,
        source_id,
        statistics,
        effects,
        decoder_neighbours(decoder, neighbours),
        correlated_features(activations.matrix, int(activations.counted.sum()), neighbours),
    )


def _summary(source_id: str, statistics: Sequence[FeatureStatistics]) -> str:
    dead = sum(item.active_tokens == 0 for item in statistics)
    with_examples = sum(sum(example.group == 0 for example in item.examples) >= 10 for item in statistics)
    share = with_examples / len(statistics)
    return f"{source_id}: {dead} of {len(statistics)} features dead, {share:.1%} with 10 distinct examples"


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
    activations: Activations,
    statistics: Sequence[FeatureStatistics],
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
        counted_tokens=int(activations.counted.sum()),
        dead_features=sum(item.active_tokens == 0 for item in statistics),
        residual_norm=norm,
        logit_effect=LOGIT_EFFECT,
        features=features,
        explanations=explanations,
    )
