"""Near misses of a dataset's features: examples of similar features, on which the model shows the feature inactive."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memicos_autointerp_core.scorers.interface import NEAR_MISS, NOT_ACTIVE
from memicos_autointerp_core.scorers.sampling import NEIGHBOURS
from memicos_dataset import manifest as m
from memicos_dataset import read
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.generate import generate
from memicos_pipeline.harvest import run_shard
from memicos_pipeline.preparation import load_language_model, select_and_load
from memicos_pipeline.scores import active_windows
from memicos_pipeline.scores.dataset_texts import CorpusTexts, feature_examples, read_corpus
from memicos_pipeline.scores.protocol import ScoreProtocol
from memicos_pipeline.scores.score_dataset import score_dataset
from memicos_pipeline.scores.text_pool import TextPool, read_pool
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config

PROTOCOL = ScoreProtocol(active=6, inactive=6, around=3, pool_contexts=24, near_misses=True)
CONTEXTS = 80


@dataclass
class Scored:
    """A dataset; `active`: (contexts, tokens, features) of its only source, of all contexts in one run."""

    config: GenerateConfig
    manifest: m.Manifest
    source: m.Source
    corpus: CorpusTexts
    features: dict[int, dict[str, Any]]
    active: np.ndarray


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    folder = tmp_path_factory.mktemp("near-misses")
    small_model(folder / "model")
    small_sae(folder / "saes" / "1-res", 1, 24, seed=1)
    config = tiny_config(folder, ["1-res"], 12, CONTEXTS)
    generate(config, lambda line: None)
    manifest = read.read_manifest(config.out)
    (source,) = manifest.source_set.sources
    corpus = read_corpus(config.out, manifest)
    model = load_language_model(config)
    (sae,) = (selected.source for selected in select_and_load(config, model))
    found = run_shard(model, [sae], corpus.token_ids, 8)[source.id]
    active = np.zeros((corpus.token_ids.size, sae.d_sae), bool)
    for index in range(sae.d_sae):
        active[found.tokens[found.offsets[index] : found.offsets[index + 1]], index] = True
    rows = [row for batch in read.features(config.out, source) for row in batch.to_pylist()]
    shape = (*corpus.token_ids.shape, sae.d_sae)
    return Scored(config, manifest, source, corpus, {row["index"]: row for row in rows}, active.reshape(shape))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is run on the contexts in several parts."""
    monkeypatch.setattr(active_windows, "SHARD_CONTEXTS", 16)


def pool_of(scored: Scored, protocol: ScoreProtocol, chosen: set[int] | None = None) -> TextPool:
    by_source = None if chosen is None else {scored.source.id: chosen}
    return read_pool(scored.config, scored.manifest, scored.corpus, protocol, lambda line: None, by_source)


def test_near_misses_are_silent_examples_of_neighbours(scored: Scored) -> None:
    pool = pool_of(scored, PROTOCOL)
    found = 0
    for example in feature_examples(scored.config.out, scored.source, scored.corpus, PROTOCOL.around):
        row = scored.features[example.index]
        neighbours = {
            (context, position)
            for index in row["neighbour_indices"][:NEIGHBOURS]
            for context, position in zip(
                scored.features[index]["example_contexts"], scored.features[index]["example_positions"], strict=True
            )
        }
        texts = pool.draw(PROTOCOL, scored.source, example.index, example.texts)
        near = [text for text in texts if text.distance == NEAR_MISS]
        assert len(near) <= 3 and len({tuple(text.tokens) for text in texts if not text.active}) == sum(
            not text.active for text in texts
        )
        for text in near:
            assert text.context is not None and text.position is not None
            assert (text.context, text.position) in neighbours and text.context not in row["example_contexts"]
            start = max(1, text.position - PROTOCOL.around)
            shown = scored.active[text.context, start : text.position + PROTOCOL.around + 1, example.index]
            assert len(shown) == len(text.tokens) and not shown.any()
        found += len(near)
    assert found > len(scored.features)


def test_places_where_the_feature_is_active_are_left_out(scored: Scored) -> None:
    """Every place that is not a near miss is one where the model shows the feature active."""
    pool = pool_of(scored, PROTOCOL)
    everything = pool_of(scored, replace(PROTOCOL, inactive=200))
    left_out = 0
    for index, places in everything.near["1-res"].items():
        kept = {(place.context, place.position) for place in places}
        assert {(place.context, place.position) for place in pool.near["1-res"][index]} <= kept
        row = scored.features[index]
        for neighbour in row["neighbour_indices"][:NEIGHBOURS]:
            other = scored.features[neighbour]
            for place in zip(other["example_contexts"], other["example_positions"], strict=True):
                if place[0] in row["example_contexts"] or place in kept:
                    continue
                start = max(1, place[1] - PROTOCOL.around)
                assert scored.active[place[0], start : place[1] + PROTOCOL.around + 1, index].any()
                left_out += 1
    assert left_out


def test_other_texts_and_other_features_stay_the_same(scored: Scored) -> None:
    with_near, without = pool_of(scored, PROTOCOL, {3}), pool_of(scored, replace(PROTOCOL, near_misses=False))
    assert set(with_near.near["1-res"]) == {3} and without.near == {}
    for example in feature_examples(scored.config.out, scored.source, scored.corpus, PROTOCOL.around):
        first = with_near.draw(PROTOCOL, scored.source, example.index, example.texts)
        second = without.draw(PROTOCOL, scored.source, example.index, example.texts)
        assert [text for text in first if text.active] == [text for text in second if text.active]
        assert example.index == 3 or first == second


def test_scores_are_stored_with_their_near_misses(scored: Scored, tmp_path: Path) -> None:
    asyncio.run(score_dataset(scored.config, PROTOCOL, 1, lambda line: None))
    manifest = read.read_manifest(scored.config.out)
    read.verify(scored.config.out, manifest)
    batches = read.score_batches(scored.config.out, manifest.source_set.sources[0])
    distances = [row["text_distances"] for batch in batches for row in batch.rows.to_pylist()]
    assert any(NEAR_MISS in row for row in distances) and all(row.count(NEAR_MISS) <= 3 for row in distances)
    assert all(row.count(NEAR_MISS) + row.count(NOT_ACTIVE) <= 6 for row in distances)
