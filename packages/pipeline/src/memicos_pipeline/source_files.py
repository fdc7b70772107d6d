"""The files of one source: statistics, logit effects, neighbours, correlations and explanations."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from memicos_dataset import manifest as m
from memicos_dataset.schema import TOP_GROUP
from memicos_engine.capture.attribution import attribution_hooks
from memicos_engine.capture.positions import ignored_positions, recipe_has_bos
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import SaeSource

from memicos_pipeline import token_statistics
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.corpus.contexts import Contexts
from memicos_pipeline.dashboards.correlations import MAX_PASSES, correlated_features, passes_needed
from memicos_pipeline.dashboards.example_attributions import ATTRIBUTION_COLUMNS, with_attributions
from memicos_pipeline.dashboards.feature_statistics import FeatureStatistics, feature_statistics
from memicos_pipeline.dashboards.logit_effects import DESCRIPTION as LOGIT_EFFECT
from memicos_pipeline.dashboards.logit_effects import PROJECTED_DESCRIPTION as PROJECTED_LOGIT_EFFECT
from memicos_pipeline.dashboards.logit_effects import logit_effects
from memicos_pipeline.dashboards.neighbours import decoder_neighbours
from memicos_pipeline.dashboards.unembedding import (
    final_norm_gain,
    passes_output_layer,
    residual_directions,
    unembedding_matrix,
)
from memicos_pipeline.dataset_writer import explanation_file, feature_files
from memicos_pipeline.earlier_runs import FinishedSource
from memicos_pipeline.harvest import BYTES_OF_ACTIVATION, ShardShape, StoredActivations
from memicos_pipeline.progress import Progress
from memicos_pipeline.residual_norm import residual_norm
from memicos_pipeline.selected_sources import SelectedSource
from memicos_pipeline.token_statistics.feature_shares import Corpus

ENOUGH_EXAMPLES = 10
"""Distinct examples of a feature that a run counts, where it may store so many."""


class SourceWriter:
    """Writes the files of sources into `folder` from the activations in `work`.

    Explanations are counted on `explained`, contexts that are evenly spread over a large corpus.
    """

    def __init__(
        self, config: GenerateConfig, model: LanguageModel, contexts: Contexts, strings: list[str], work: Path,
        folder: Path, progress: Progress,
    ) -> None:  # fmt: skip
        self._config, self._model, self._contexts = config, model, contexts
        self._work, self._folder, self._progress = work, folder, progress
        self._gain, self._unembedding = final_norm_gain(model), unembedding_matrix(model)
        self.explained = _evenly_spread(len(contexts.token_ids), config.execution.explained_contexts)
        self._strings = strings
        self._corpus: Corpus | None = None

    def write(self, selected: SelectedSource) -> FinishedSource:
        """Write the files of one source; activations are read a part at a time, as `config.execution` sets."""
        source, contexts, limits = selected.source, self._contexts, self._config.dashboard
        execution, progress = self._config.execution, self._progress
        max_bytes, width = execution.statistics_mib * 2**20, contexts.token_ids.shape[1]
        shape = ShardShape(execution.shard_contexts, execution.batch_contexts)
        count = len(contexts.token_ids)
        activations = StoredActivations(self._work / source.id, source.d_sae, count, width, shape)
        with progress.stage(f"{source.id}: logits, neighbours, correlations", 3, "steps") as stage:
            directions = residual_directions(self._model, source)
            decoder = (
                source.decoder_rows().detach().float().cpu().numpy() if isinstance(source, SaeSource) else directions
            )
            effects = logit_effects(directions, self._gain, self._unembedding, limits.logits, limits.histogram_bins)
            stage.advance(1)
            neighbours = decoder_neighbours(decoder, limits.neighbours)
            stage.advance(1)
            correlated, correlation_tokens = _correlations(activations, limits.neighbours, max_bytes)
            stage.advance(1)
        complete = _CompleteExamples(min(ENOUGH_EXAMPLES, limits.top_examples))
        with progress.stage(f"{source.id}: statistics and examples", source.d_sae, "features") as stage:
            statistics = with_attributions(
                self._model,
                source,
                feature_statistics(source.id, activations, contexts.token_ids, limits, max_bytes),
                contexts.token_ids,
                max_bytes,
            )
            features = feature_files(
                self._folder,
                source.id,
                _counted(complete.count(statistics), stage.advance),
                source.d_sae,
                effects,
                neighbours,
                correlated,
                ATTRIBUTION_COLUMNS if attribution_hooks(self._model, source) else (),
            )
        positions = _positions_of(self.explained, count, width)
        with progress.stage(f"{source.id}: explanations", source.d_sae, "features") as stage:
            texts = token_statistics.explain_source(
                (activations.columns(block)[positions] for block in activations.blocks(max_bytes)),
                activations.counted_positions(self.explained),
                self._text(),
                effects.positive_ids.tolist(),
                stage.advance,
            )
        explanations = explanation_file(self._folder, source.id, texts, token_statistics.METHOD)
        dead = int((activations.counts == 0).sum())
        share = complete.features / source.d_sae
        progress(
            f"{source.id}: {dead} of {source.d_sae} features dead, {share:.1%} with {complete.enough} distinct examples"
        )
        norm = residual_norm(self._model, source, contexts.token_ids)
        entry = _source_entry(self._config, self._model, selected, activations, features, explanations, norm)
        return FinishedSource(
            entry=entry.model_copy(update={"correlation_tokens": correlation_tokens}),
            used_ids=np.union1d(effects.positive_ids, effects.negative_ids).tolist(),
        )

    def _text(self) -> Corpus:
        """The words of the explained contexts, read when the first source needs them."""
        if self._corpus is None:
            names = self._contexts.names
            collections = [names[number].collection for number in self._contexts.documents[self.explained].tolist()]
            ids = np.asarray(self._contexts.token_ids[self.explained])
            self._corpus = token_statistics.read_corpus(ids, self._strings, collections)
        return self._corpus


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


def _counted(statistics: Iterable[FeatureStatistics], advance: Callable[[int], None]) -> Iterator[FeatureStatistics]:
    for item in statistics:
        yield item
        advance(1)


@dataclass
class _CompleteExamples:
    """Counts the features that have `enough` distinct examples among their strongest."""

    enough: int
    features: int = 0

    def count(self, statistics: Iterable[FeatureStatistics]) -> Iterator[FeatureStatistics]:
        for item in statistics:
            self.features += sum(example.group == TOP_GROUP for example in item.examples) >= self.enough
            yield item


def _source_entry(
    config: GenerateConfig,
    model: LanguageModel,
    selected: SelectedSource,
    activations: StoredActivations,
    features: list[m.FileEntry],
    explanations: m.FileEntry,
    norm: float | None,
) -> m.Source:
    source, recipe = selected.source, selected.source.recipe
    return m.Source(
        id=source.id,
        layer=source.layer,
        recipe=m.Recipe(
            hook_name=source.hook_name,
            prepend_bos=recipe.prepend_bos,
            context_size=config.corpus.context_size or recipe.context_size,
            ignored_positions=ignored_positions(recipe, recipe_has_bos(recipe, model.bos_token_id)),
            norm_cut=recipe.norm_cut,
            dtype=config.model.dtype,
            weight_processing="none",
            sae=m.SaeRecipe(
                weights=selected.weights,
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
        sae_config=selected.sae_config,
        counted_tokens=activations.counted,
        dead_features=int((activations.counts == 0).sum()),
        residual_norm=norm,
        logit_effect=PROJECTED_LOGIT_EFFECT if passes_output_layer(model, source) else LOGIT_EFFECT,
        features=features,
        explanations=explanations,
    )
