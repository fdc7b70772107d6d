"""`memicos generate`: a corpus through a model and its SAEs, into a dataset."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from memicos_dataset import manifest as m
from memicos_engine.capture.positions import ignored_positions
from memicos_engine.model.hook_points import residual_layer
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.selftest import reconstruction_record
from memicos_engine.sources.source import SaeSource, load_source

from memicos_pipeline import token_statistics
from memicos_pipeline.config import ConfigError, GenerateConfig
from memicos_pipeline.corpus import Contexts, Document, cut_contexts, read_documents
from memicos_pipeline.dashboards import FeatureStatistics, feature_statistics
from memicos_pipeline.dataset_writer import corpus_files, explanation_file, feature_files
from memicos_pipeline.directions import (
    LOGIT_EFFECT,
    LogitEffects,
    correlated_features,
    decoder_neighbours,
    logit_effects,
)
from memicos_pipeline.harvest import harvest, read_activations

Report = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """Everything that is needed before the first forward pass."""

    model: LanguageModel
    sources: list[SaeSource]
    documents: list[Document]
    contexts: Contexts


def prepare(config: GenerateConfig) -> Prepared:
    """Load model, sources and documents and cut the contexts.

    Raises:
        ConfigError: a folder is missing, the sources do not fit the model, or they do not agree on BOS, so that they
            cannot share contexts.
        CorpusError: the corpus cannot be used.
        OSError: the model cannot be loaded.
    """
    _check_folders(config)
    documents = read_documents(config.corpus.file)
    model = load_model(config.model.id, config.model.folder, config.model.device, config.model.dtype)
    if config.corpus.context_size > model.max_context:
        size = config.corpus.context_size
        raise ConfigError(f"corpus.context_size: {size} tokens, the model takes {model.max_context} at most")
    sources = []
    for name in config.source_set.sources:
        source = load_source(config.source_set.folder / name, name, config.model.device)
        if source.d_in != model.d_model:
            raise ConfigError(f"source {name} takes {source.d_in} numbers a token, the model has {model.d_model}")
        if residual_layer(source.hook_name) is None or source.layer >= model.n_layers:
            raise ConfigError(f"source {name} is at {source.hook_name}, no residual stream of this model")
        sources.append(source)
    if len({source.recipe.prepend_bos for source in sources}) > 1:
        raise ConfigError("the sources disagree on prepend_bos; generate them into separate datasets")
    contexts = cut_contexts(
        documents,
        lambda text: model.token_ids(text, prepend_bos=False),
        model.bos_token_id if sources[0].recipe.prepend_bos else None,
        config.corpus.context_size,
        {collection.name: collection.contexts for collection in config.corpus.collections},
        config.corpus.seed,
    )
    return Prepared(model, sources, documents, contexts)


def _check_folders(config: GenerateConfig) -> None:
    folder = Path(config.model.folder)
    looks_local = folder.is_absolute() or config.model.folder.startswith(".") or config.model.folder.count("/") > 1
    if looks_local and not (folder / "config.json").is_file():
        raise ConfigError(f"model.folder: {folder} holds no model (config.json is missing)")
    if not config.corpus.file.is_file():
        raise ConfigError(f"corpus.file: {config.corpus.file} is missing")
    for name in config.source_set.sources:
        path = config.source_set.folder / name / "cfg.json"
        if not path.is_file():
            raise ConfigError(f"source_set: {path} is missing; sources are folders in SAELens' format")
    if config.out.exists() and not (config.out / m.FILE_NAME).is_file() and any(config.out.iterdir()):
        raise ConfigError(f"out: {config.out} is no dataset, so it is not replaced; name another folder")


def work_folder(config: GenerateConfig, contexts: Contexts) -> Path:
    """Where harvested activations lie: named by what they depend on, so that nothing else ever mixes in."""
    key = hashlib.sha256(contexts.token_ids.tobytes())
    key.update(f"{config.model.folder} {config.model.dtype} {config.source_set.sources}".encode())
    for path in _weights(config):
        with path.open("rb") as file:
            key.update(hashlib.file_digest(file, "sha256").digest())
    return config.work / key.hexdigest()[:12]


def _weights(config: GenerateConfig) -> Iterator[Path]:
    yield from sorted(Path(config.model.folder).glob("*.safetensors"))
    for name in config.source_set.sources:
        files = (path for path in (config.source_set.folder / name).iterdir() if path.is_file())
        # what a source was seen to give is no part of it
        yield from sorted(path for path in files if path.name != reconstruction_record.FILE_NAME)


def generate(config: GenerateConfig, report: Report, harvest_only: bool = False) -> None:
    """Make the dataset that `config` describes, or with `harvest_only` its long part alone.

    A killed run goes on where it stopped; `config.out` is replaced when the new dataset is whole.

    Raises:
        ConfigError, CorpusError, OSError: as `prepare`; `config.out` is what it was before.
    """
    prepared = prepare(config)
    work = work_folder(config, prepared.contexts)
    work.mkdir(parents=True, exist_ok=True)
    report(f"activations in {work}")
    harvest(prepared.model, prepared.sources, prepared.contexts.token_ids, work, report)
    if harvest_only:
        return
    new = config.out.with_name(f".{config.out.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    manifest = _Assembly(config, prepared, work, new, report).run()
    manifest.write(new)
    _move(new, config.out)
    size = sum(entry.bytes for entry in manifest.files())
    report(f"{config.out}: {len(manifest.files())} files, {size / 2**20:.1f} MiB")


def _move(new: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)


class _Assembly:
    """Harvested activations -> the files of a dataset in `folder`, one source in memory at a time."""

    def __init__(self, config: GenerateConfig, prepared: Prepared, work: Path, folder: Path, report: Report) -> None:
        self.config, self.work, self.folder, self.report = config, work, folder, report
        self.model, self.sources = prepared.model, prepared.sources
        self.documents, self.contexts = prepared.documents, prepared.contexts
        self.strings = self.model.token_strings(list(range(self.model.d_vocab)))
        self.gain, self.unembedding = _readout(self.model)
        collections = [self.documents[number].collection for number in self.contexts.documents]
        self.words = token_statistics.read_corpus(self.contexts.token_ids, self.strings, collections)
        self.used_ids = set(np.unique(self.contexts.token_ids).tolist())

    def run(self) -> m.Manifest:
        sources = [self._source(source) for source in self.sources]
        config, model = self.config, self.model
        documents, vocabulary, context_files = corpus_files(
            self.folder, self.documents, self.contexts, self.strings, self.used_ids
        )
        count, width = self.contexts.token_ids.shape
        with_bos = self.sources[0].recipe.prepend_bos and model.bos_token_id is not None
        return m.Manifest(
            release=m.Release(**config.release.model_dump()),
            model=m.Model(
                id=config.model.id,
                name=config.model.name,
                layers=model.n_layers,
                d_model=model.d_model,
                vocabulary_size=model.d_vocab,
                chat=config.model.chat,
                origin=model.origin,
                license=config.model.license,
                url=config.model.url,
            ),
            source_set=m.SourceSet(
                id=config.source_set.id,
                name=config.source_set.name,
                description=config.source_set.description,
                sources=sources,
            ),
            corpus=m.Corpus(
                id=config.corpus.id,
                description=config.corpus.description,
                contexts=count,
                context_size=width,
                tokens=count * (width - with_bos),
                collections=[
                    m.Collection(**collection.model_dump(exclude={"contexts"}))
                    for collection in config.corpus.collections
                ],
                documents=documents,
                vocabulary=vocabulary,
                context_files=context_files,
            ),
        )

    def _source(self, source: SaeSource) -> m.Source:
        limits = self.config.dashboard
        activations = read_activations(self.work / source.id, source.d_sae)
        self.report(f"{source.id}: {activations.matrix.nnz} activations, statistics and examples")
        statistics = list(feature_statistics(source.id, activations, self.contexts.token_ids, limits))
        self.report(f"{source.id}: logits, neighbours, correlations")
        decoder = source.sae.W_dec.detach().float().cpu().numpy()
        effects = logit_effects(decoder, self.gain, self.unembedding, limits.logits, limits.histogram_bins)
        counted = int(activations.counted.sum())
        features = feature_files(
            self.folder,
            source.id,
            statistics,
            effects,
            decoder_neighbours(decoder, limits.neighbours),
            correlated_features(activations.matrix, counted, limits.neighbours),
        )
        self.report(f"{source.id}: explanations")
        texts = token_statistics.explain_source(
            activations.matrix, activations.counted, self.words, effects.positive_ids.tolist()
        )
        self._note(source, statistics, effects)
        return m.Source(
            id=source.id,
            layer=source.layer,
            recipe=m.Recipe(
                hook_name=source.hook_name,
                prepend_bos=source.recipe.prepend_bos,
                context_size=self.config.corpus.context_size,
                ignored_positions=ignored_positions(source.recipe, self.model.bos_token_id is not None),
                norm_cut=source.recipe.norm_cut,
                dtype=self.config.model.dtype,
                weight_processing="none",
                sae=m.SaeRecipe(
                    weights=source.id,
                    architecture=source.architecture,
                    dtype="float32",
                    normalize_activations=source.recipe.normalize_activations,
                    norm_scaling_factor=source.recipe.norm_scaling_factor,
                    unit_directions=source.unit_directions,
                ),
            ),
            architecture=source.architecture,
            d_in=source.d_in,
            d_sae=source.d_sae,
            sae_config=json.loads((self.config.source_set.folder / source.id / "cfg.json").read_text(encoding="utf-8")),
            counted_tokens=counted,
            dead_features=sum(item.active_tokens == 0 for item in statistics),
            logit_effect=LOGIT_EFFECT,
            features=features,
            explanations=explanation_file(self.folder, source.id, texts, token_statistics.METHOD),
        )

    def _note(self, source: SaeSource, statistics: list[FeatureStatistics], effects: LogitEffects) -> None:
        for ids in (effects.positive_ids, effects.negative_ids):
            self.used_ids.update(np.unique(ids).tolist())
        dead = sum(item.active_tokens == 0 for item in statistics)
        full = sum(sum(example.group == 0 for example in item.examples) >= 10 for item in statistics)
        share = full / len(statistics)
        self.report(f"{source.id}: {dead} of {len(statistics)} features dead, {share:.1%} with 10 distinct examples")


def _readout(model: LanguageModel) -> tuple[np.ndarray, np.ndarray]:
    """Gain of the final norm (D,) and unembedding (V, D), float32.

    The gain is read off the norm's answer to +1, -1, +1, ... (mean 0, size 1), because architectures keep it in
    different ways (Gemma's weight is the gain minus 1).
    """
    import torch

    norm = model.bridge.ln_final
    unembedding: torch.Tensor = model.hf.get_output_embeddings().weight  # pyright: ignore[reportOptionalMemberAccess]
    reconstruction_record = torch.ones(1, 1, model.d_model, dtype=torch.float32, device=model.device)
    reconstruction_record[..., 1::2] = -1
    with torch.inference_mode():
        gain = (
            (norm(reconstruction_record.to(model.dtype)).float() - norm(-reconstruction_record.to(model.dtype)).float())
            / 2
            * reconstruction_record
        )
    return gain[0, 0].cpu().numpy(), unembedding.detach().float().cpu().numpy()
