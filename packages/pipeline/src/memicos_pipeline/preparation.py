"""Everything that `memicos generate` checks and loads before the first forward pass."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.source_ids import check_source_id
from memicos_dataset.wording import quantity
from memicos_engine.errors import LoadError
from memicos_engine.model import hub
from memicos_engine.model.hook_points import residual_layer
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.selftest.execution_modes import with_execution_modes
from memicos_engine.sources.source import Source
from memicos_engine.sources.source_loading import load_source
from transformers.utils import logging as transformers_log

from memicos_pipeline.config import CollectionConfig, ConfigError, CorpusConfig, GenerateConfig, ReleaseConfig
from memicos_pipeline.corpus.contexts import Contexts, cut_contexts
from memicos_pipeline.corpus.origin import find_corpus
from memicos_pipeline.corpus.texts import Document, read_documents, read_texts
from memicos_pipeline.dashboards.unembedding import check_direction
from memicos_pipeline.progress import Progress
from memicos_pipeline.selected_sources import SelectedSource, load_sources, sae_config, set_id

UNKNOWN_LICENSE = "unknown"
"""Licence of texts that neither the configuration nor their origin states."""
MAX_CONTEXT_SIZE = 2**15 - 1
"""Positions are stored in 16 bits."""


@dataclass(frozen=True)
class GenerateInputs:
    """The complete configuration, the loaded model and sources, and the contexts cut from the corpus."""

    config: GenerateConfig
    """With the ids and sizes that are made from those of the sources."""
    model: LanguageModel
    selected: list[SelectedSource]
    contexts: Contexts

    @property
    def sources(self) -> list[Source]:
        return [item.source for item in self.selected]

    @property
    def prepends_bos(self) -> bool:
        """Whether column 0 of the contexts is BOS."""
        return self.sources[0].recipe.prepend_bos and self.model.bos_token_id is not None


def prepare(config: GenerateConfig, progress: Progress) -> GenerateInputs:
    """Load model and sources and cut the corpus into contexts, after `check_folders`.

    Raises:
        ConfigError: a folder is missing, the sources do not fit the model, or they disagree on BOS, so that they
            cannot share contexts.
        CorpusError: the corpus cannot be used.
        OSError: the model cannot be loaded.
    """
    corpus = config.corpus
    model = load_language_model(config)
    if (corpus.context_size or 0) > model.max_context:
        raise ConfigError(
            f"corpus.context_size: {corpus.context_size} tokens; the model accepts at most {model.max_context}"
        )
    selected = select_and_load(config, model)
    sources = [item.source for item in selected]
    config = _completed(config, model, sources)
    for source in sources:
        if problem := check_source_id(source.id, config.source_set.id or "", source.layer):
            raise ConfigError(f"source_set: {problem}")
        check_direction(model, source)
    if len({source.recipe.prepend_bos for source in sources}) > 1:
        raise ConfigError("the sources disagree on prepend_bos; generate them into separate datasets")
    config.work.mkdir(parents=True, exist_ok=True)
    documents = _documents(corpus)
    with progress.stage("reading text", None, "documents") as stage:
        contexts = cut_contexts(
            documents,
            lambda text: model.token_ids(text, prepend_bos=False),
            model.bos_token_id if sources[0].recipe.prepend_bos else None,
            config.corpus.context_size or model.max_context,
            {collection.name: collection.contexts for collection in config.corpus.collections},
            config.corpus.seed,
            config.corpus.short_texts,
            _separator(config, model),
            at_most=config.corpus.tokens is not None,
            folder=config.work,
            on_document=lambda tokens: stage.advance(1, tokens),
        )
    if corpus.tokens is not None and len(contexts.token_ids) < config.corpus.collections[0].contexts:
        progress(
            f"{corpus.file}: has fewer than {corpus.tokens:,} tokens in full contexts; all "
            f"{quantity(len(contexts.token_ids), 'context')} of it are used"
        )
    return GenerateInputs(config, model, selected, contexts)


def _documents(corpus: CorpusConfig) -> Iterator[Document]:
    if corpus.collections:
        return read_documents(Path(corpus.file))
    found = find_corpus(corpus.file)
    return chain.from_iterable(read_texts(path, corpus.id, found.column) for path in found.files)


def load_language_model(config: GenerateConfig) -> LanguageModel:
    """Raises OSError where the model cannot be loaded."""
    if not sys.stderr.isatty():
        # transformers shows a bar also where there is no terminal
        transformers_log.disable_progress_bar()
    return with_execution_modes(
        load_model(config.model.id, config.model.folder, config.model.device, config.model.dtype)
    )


def select_and_load(config: GenerateConfig, model: LanguageModel) -> list[SelectedSource]:
    """The sources of the configuration. Raises ConfigError where one cannot be loaded or does not fit the model."""
    if config.source_set.saes:
        return load_sources(config, model)
    return [_load_source(config, name, model) for name in config.source_set.sources]


def _completed(config: GenerateConfig, model: LanguageModel, sources: list[Source]) -> GenerateConfig:
    """The configuration with what it leaves to the model and the sources."""
    corpus, source_set = config.corpus, config.source_set
    size = corpus.context_size or min(sources[0].recipe.context_size, model.max_context, MAX_CONTEXT_SIZE)
    collections = corpus.collections
    if corpus.tokens is not None:
        found = find_corpus(corpus.file)
        width = size - (sources[0].recipe.prepend_bos and model.bos_token_id is not None)
        collections = [
            CollectionConfig(
                name=corpus.id,
                contexts=max(1, corpus.tokens // width),
                license=corpus.license or found.license or UNKNOWN_LICENSE,
                url=corpus.url or found.url,
                attribution=corpus.attribution or found.attribution or "",
            )
        ]
    name = source_set.id or set_id([source.id for source in sources])
    source_set = source_set.model_copy(update={"id": name, "name": source_set.name or name})
    release = config.release or ReleaseConfig(
        id=name, name=source_set.name or name, description=f"{name} on {config.model.name}", creator="unknown"
    )
    chat = model.has_chat_template if config.model.chat is None else config.model.chat
    return config.model_copy(
        update={
            "corpus": corpus.model_copy(update={"context_size": size, "collections": collections}),
            "source_set": source_set,
            "release": release,
            "model": config.model.model_copy(update={"chat": chat}),
        }
    )


def _separator(config: GenerateConfig, model: LanguageModel) -> int | None:
    """The end-of-text token, where texts are packed. Raises ConfigError where the tokenizer has none."""
    if config.corpus.short_texts != "pack":
        return None
    end: Any = model.tokenizer.eos_token_id
    if end is None:
        raise ConfigError(
            'corpus.short_texts: "pack" needs an end-of-text token, and the tokenizer has no EOS; use "pad"'
        )
    return int(end)


def _load_source(config: GenerateConfig, name: str, model: LanguageModel) -> SelectedSource:
    folder = (config.source_set.folder or Path()) / name
    source = load_source(folder, name, config.model.device)
    if source.d_in != model.d_model:
        raise ConfigError(
            f"source {name} reads activations of width {source.d_in}; the model's width is {model.d_model}"
        )
    if residual_layer(source.hook_name) is None or source.layer >= model.n_layers:
        raise ConfigError(f"source {name}: its hook {source.hook_name} is not a residual stream of this model")
    if config.source_set.id and (problem := check_source_id(name, config.source_set.id, source.layer)):
        raise ConfigError(f"source_set.sources: {problem}")
    return SelectedSource(source, name, sae_config(source, folder))


def _check_device(name: str) -> None:
    """Raises ConfigError where torch cannot use the device."""
    try:
        torch.empty(0, device=name)
    # torch asserts that it was built for CUDA
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        devices += ["mps"] if torch.backends.mps.is_available() else []
        raise ConfigError(
            f"model.device: there is no device {name!r} that torch can use here, only {', '.join(devices)}"
        ) from error


def check_folders(config: GenerateConfig) -> None:
    """Check what the configuration names, and fetch a model and a corpus of the hub.

    Raises:
        ConfigError: a folder or a file is missing, or of another kind, or torch has no such device.
        CorpusError: the corpus cannot be found or fetched.
    """
    _check_device(config.model.device)
    folder = Path(config.model.folder)
    looks_local = folder.is_absolute() or config.model.folder.startswith(".") or config.model.folder.count("/") > 1
    if looks_local and not (folder / "config.json").is_file():
        raise ConfigError(f"model.folder: {folder} holds no model (config.json is missing)")
    if not folder.is_dir():
        try:
            hub.fetch(config.model.folder, os.environ.get("HF_TOKEN"), lambda description, share: None, 0)
        except LoadError as error:
            raise ConfigError(f"model.folder: there is no folder {config.model.folder}. {error}") from error
    if config.corpus.is_local_file and not Path(config.corpus.file).is_file():
        raise ConfigError(f"corpus.file: {config.corpus.file} is missing")
    find_corpus(config.corpus.file)
    for name in config.source_set.sources:
        path = (config.source_set.folder or Path()) / name / "cfg.json"
        if not path.is_file():
            raise ConfigError(f"source_set: {path} is missing; sources are folders in SAELens' format")
    if config.out.exists() and not (config.out / FILE_NAME).is_file() and any(config.out.iterdir()):
        raise ConfigError(f"out: {config.out} is not a dataset, so it is not replaced; name another folder")
