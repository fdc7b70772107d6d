"""`memicos generate`: a corpus through a model and its SAEs, into a dataset."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from memicos_engine.model import LanguageModel, load_model
from memicos_engine.sources import Source, load_source

from memicos_pipeline.config import ConfigError, GenerateConfig
from memicos_pipeline.corpus import Contexts, Document, cut_contexts, read_documents
from memicos_pipeline.harvest import harvest


def prepare(config: GenerateConfig) -> tuple[LanguageModel, list[Source], list[Document], Contexts]:
    """Load model, sources and documents and cut the contexts.

    Raises:
        ConfigError: the sources do not agree on BOS, so that they cannot share contexts.
    """
    model = load_model(config.model.id, config.model.folder, config.model.device, config.model.dtype)
    sources = [
        load_source(config.source_set.folder / name, name, config.model.device) for name in config.source_set.sources
    ]
    if len({source.recipe.prepend_bos for source in sources}) > 1:
        raise ConfigError("the sources disagree on prepend_bos; generate them into separate datasets")
    documents = read_documents(config.corpus.file)
    contexts = cut_contexts(
        documents,
        lambda text: model.token_ids(text, prepend_bos=False),
        model.bos_token_id if sources[0].recipe.prepend_bos else None,
        config.corpus.context_size,
        {collection.name: collection.contexts for collection in config.corpus.collections},
        config.corpus.seed,
    )
    return model, sources, documents, contexts


def work_folder(config: GenerateConfig, contexts: Contexts) -> Path:
    """Where harvested activations lie: named by what they depend on, so that another corpus never mixes in."""
    key = hashlib.sha256(contexts.token_ids.tobytes())
    key.update(f"{config.model.folder} {config.model.dtype} {config.source_set.sources}".encode())
    return config.work / key.hexdigest()[:12]


def harvest_corpus(config: GenerateConfig, report: Callable[[str], None]) -> Path:
    """The long part alone: fill the work folder, or finish what a killed run left."""
    model, sources, _, contexts = prepare(config)
    work = work_folder(config, contexts)
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "contexts.npy", contexts.token_ids)
    harvest(model, sources, contexts.token_ids, work, report)
    return work
