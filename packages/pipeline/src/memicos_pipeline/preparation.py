"""Everything that `memicos generate` checks and loads before the first forward pass."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.source_ids import check_source_id
from memicos_engine.model.hook_points import residual_layer
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.selftest.execution_modes import with_execution_modes
from memicos_engine.sources.source import SaeSource
from memicos_engine.sources.source_loading import load_source

from memicos_pipeline.config import ConfigError, GenerateConfig
from memicos_pipeline.corpus import Contexts, Document, cut_contexts, read_documents


@dataclass(frozen=True)
class GenerateInputs:
    """The loaded model, its sources in the configuration's order, the documents, and the contexts cut from them."""

    model: LanguageModel
    sources: list[SaeSource]
    documents: list[Document]
    contexts: Contexts

    @property
    def prepends_bos(self) -> bool:
        """Whether column 0 of the contexts is BOS."""
        return self.sources[0].recipe.prepend_bos and self.model.bos_token_id is not None


def prepare(config: GenerateConfig) -> GenerateInputs:
    """Load model, sources and documents and cut the contexts.

    Raises:
        ConfigError: a folder is missing, the sources do not fit the model, or they disagree on BOS, so that they
            cannot share contexts.
        CorpusError: the corpus cannot be used.
        OSError: the model cannot be loaded.
    """
    _check_folders(config)
    documents = read_documents(config.corpus.file)
    model = with_execution_modes(
        load_model(config.model.id, config.model.folder, config.model.device, config.model.dtype)
    )
    if config.corpus.context_size > model.max_context:
        raise ConfigError(
            f"corpus.context_size: {config.corpus.context_size} tokens; the model accepts at most {model.max_context}"
        )
    sources = [_load_source(config, name, model) for name in config.source_set.sources]
    if len({source.recipe.prepend_bos for source in sources}) > 1:
        raise ConfigError("the sources disagree on prepend_bos; generate them into separate datasets")
    contexts = cut_contexts(
        documents,
        lambda text: model.token_ids(text, prepend_bos=False),
        model.bos_token_id if sources[0].recipe.prepend_bos else None,
        config.corpus.context_size,
        {collection.name: collection.contexts for collection in config.corpus.collections},
        config.corpus.seed,
        config.corpus.short_texts,
        _separator(config, model),
    )
    return GenerateInputs(model, sources, documents, contexts)


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


def _load_source(config: GenerateConfig, name: str, model: LanguageModel) -> SaeSource:
    source = load_source(config.source_set.folder / name, name, config.model.device)
    if source.d_in != model.d_model:
        raise ConfigError(
            f"source {name} reads activations of width {source.d_in}; the model's width is {model.d_model}"
        )
    if residual_layer(source.hook_name) is None or source.layer >= model.n_layers:
        raise ConfigError(f"source {name}: its hook {source.hook_name} is not a residual stream of this model")
    if problem := check_source_id(name, config.source_set.id, source.layer):
        raise ConfigError(f"source_set.sources: {problem}")
    return source


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
    if config.out.exists() and not (config.out / FILE_NAME).is_file() and any(config.out.iterdir()):
        raise ConfigError(f"out: {config.out} is not a dataset, so it is not replaced; name another folder")
