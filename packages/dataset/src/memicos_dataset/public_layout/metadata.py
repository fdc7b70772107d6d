"""The four files of one row of each source, and the manifest that is made of them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from memicos_dataset import manifest as m
from memicos_dataset.errors import DatasetError
from memicos_dataset.public_layout import saedashboard
from memicos_dataset.public_layout.files import METADATA, SourceFolder
from memicos_dataset.source_ids import NEURONS_SET, check_source_id

UNKNOWN = "unknown"
"""Text of the manifest where the files do not say it."""

_SOURCE_ID = re.compile(r"(\d{1,4}|e)(?:-(.+?))?(?:__.+)?", re.ASCII)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s]*")


@dataclass(frozen=True)
class MetadataOptions:
    """What the user says where the files do not."""

    layers: int | None = None
    d_model: int | None = None
    vocabulary_size: int | None = None
    counted_tokens: int | None = None
    license: str | None = None
    """Licence of the texts."""
    corpus_url: str | None = None


@dataclass(frozen=True)
class SourceRows:
    """The rows beside a source's batches; empty where there is no such file."""

    release: Mapping[str, Any]
    model: Mapping[str, Any]
    sourceset: Mapping[str, Any]
    source: Mapping[str, Any]
    config: Mapping[str, Any]
    """`saelensConfig` of the source, parsed."""
    id: str
    model_id: str
    set_id: str
    layer: int

    @property
    def counted_tokens(self) -> int | None:
        """Tokens that densities are shares of: our own rows say it, otherwise all tokens of the prompts."""
        if counted := _whole(self.source.get("countedTokens")):
            return counted
        prompts, tokens = (_whole(self.source.get(name)) for name in ("num_prompts", "num_tokens_in_prompt"))
        return prompts * tokens if prompts and tokens else None


def read_rows(folder: SourceFolder) -> SourceRows:
    """Read the rows beside a source's batches.

    Raises:
        DatasetError: they contradict the source's id, or the id is none.
    """
    rows = {name: dict(folder.metadata(name)) for name in METADATA}
    if folder.dashboard:
        rows["source"] = saedashboard.source_row(folder.folder, folder.batches[0].path) | rows["source"]
    source = rows["source"]
    source_id = str(source.get("id") or folder.id)
    match = _SOURCE_ID.fullmatch(source_id)
    location = folder.folder.locate("source.jsonl")
    if match is None:
        raise DatasetError(
            location,
            f"{source_id!r} is no id of a source, <layer>-<set>; name the folder by its id, or give source.jsonl the "
            "field `id`",
        )
    set_id = str(source.get("setName") or match[2] or NEURONS_SET)
    layer = 0 if match[1] == "e" else int(match[1])
    problem = check_source_id(source_id, set_id, layer)
    if problem:
        raise DatasetError(location, problem)
    model_id = str(source.get("modelId") or rows["model"].get("id") or folder.model_id)
    config = source.get("saelensConfig")
    if isinstance(config, str):
        try:
            config = orjson.loads(config)
        except orjson.JSONDecodeError as error:
            raise DatasetError(location, f"saelensConfig is not JSON ({error})") from error
    return SourceRows(
        rows["release"],
        rows["model"],
        rows["sourceset"],
        source,
        config if isinstance(config, dict) else {},
        source_id,
        model_id,
        set_id,
        layer,
    )


def read_all_rows(
    sources: Sequence[SourceFolder], metadata_options: MetadataOptions
) -> list[tuple[SourceFolder, SourceRows]]:
    """The rows of each source, in the order of layers.

    Raises:
        DatasetError: they contradict a source's id, are of several sets, or have an address that no page can show.
    """
    pairs = [(source, read_rows(source)) for source in sources]
    pairs.sort(key=lambda pair: (pair[1].layer, pair[1].id))
    _check_one_set(pairs[0][0], [rows for _, rows in pairs])
    corpus_url(pairs[0][1], metadata_options)
    return pairs


def _check_one_set(folder: SourceFolder, sources: Sequence[SourceRows]) -> None:
    """A dataset has the sources of one set of one model.

    Raises:
        DatasetError: `sources` are of several.
    """
    for name in ("model_id", "set_id"):
        values = sorted({getattr(source, name) for source in sources})
        if len(values) > 1:
            what = "models" if name == "model_id" else "sets"
            raise DatasetError(
                folder.folder.parent.root,
                f"has sources of the {what} {', '.join(values)}; a dataset has one: name the sources with --source",
            )


@dataclass(frozen=True)
class SourceFiles:
    """Files and figures of a converted source."""

    features: list[m.FileEntry]
    explanations: m.FileEntry | None
    dead_features: int
    largest_index: int
    """Largest index of a feature, or of a feature that a list names."""
    vector_length: int
    """Numbers of a decoder vector; 0 where there are none."""
    hook_name: str | None
    counted_tokens: int


@dataclass(frozen=True)
class CorpusFiles:
    documents: m.FileEntry
    vocabulary: m.FileEntry
    contexts: list[m.FileEntry]
    count: int
    longest: int
    tokens: int
    known_ids: bool
    same_first_token: bool
    """All contexts begin with the same token, which is BOS."""


def manifest(
    rows: Sequence[SourceRows], files: Sequence[SourceFiles], corpus: CorpusFiles, metadata_options: MetadataOptions
) -> m.Manifest:
    """The manifest of a converted set.

    Raises:
        DatasetError: an entry is not valid, such as an address that is none.
    """
    first = rows[0]
    model = _model(first, metadata_options)
    return m.Manifest(
        release=_release(first),
        model=model,
        source_set=m.SourceSet(
            id=first.set_id,
            name=str(first.sourceset.get("description") or first.set_id),
            description=str(first.sourceset.get("type") or first.sourceset.get("description") or first.set_id),
            sources=[_source(own, own_files, corpus, model) for own, own_files in zip(rows, files, strict=True)],
        ),
        corpus=_corpus(first, corpus, metadata_options),
    )


def model_shape(rows: SourceRows, metadata_options: MetadataOptions) -> dict[str, int | None]:
    """Layers, width and vocabulary of the model; None where neither the rows nor `metadata_options` say it."""
    return {
        # the known converter writes 0 where it does not know
        "layers": metadata_options.layers or _whole(rows.model.get("layers")),
        "d_model": metadata_options.d_model or _whole(rows.model.get("dimension")),
        # datasets of other programs do not say it
        "vocabulary_size": metadata_options.vocabulary_size or _whole(rows.model.get("vocabularySize")),
    }


def unknown_figures(shape: Mapping[str, int | None]) -> list[str]:
    """Names of the figures that a model's shape lacks."""
    return [name for name, value in shape.items() if value is None]


def missing_shape(shape: Mapping[str, int | None]) -> str | None:
    """What a model's shape lacks, and the options that give it; None where it is complete."""
    unknown = unknown_figures(shape)
    if not unknown:
        return None
    options = " ".join(f"--{name.replace('_', '-')} N" for name in unknown)
    return f"model: the dataset does not say {', '.join(unknown)}; import or convert it with {options}"


def _release(rows: SourceRows) -> m.Release:
    release = rows.release
    name = str(release.get("name") or rows.sourceset.get("releaseName") or rows.set_id)
    return m.Release(
        id=name,
        name=str(release.get("description") or name),
        description=str(release.get("descriptionShort") or release.get("description") or name),
        creator=str(release.get("creatorName") or rows.sourceset.get("creatorName") or UNKNOWN),
        url=_address(*_list(release.get("urls")), *_list(rows.sourceset.get("urls"))),
    )


def _model(rows: SourceRows, metadata_options: MetadataOptions) -> m.Model:
    model = rows.model
    return m.Model(
        id=rows.model_id,
        name=str(model.get("displayName") or rows.model_id),
        **model_shape(rows, metadata_options),
        chat=bool(model.get("instruct")),
        origin=str(model.get("tlensId") or model.get("owner") or UNKNOWN),
        license=UNKNOWN,
        url=_address(model.get("website")),
    )


def _source(rows: SourceRows, files: SourceFiles, corpus: CorpusFiles, model: m.Model) -> m.Source:
    config = rows.config
    prepend_bos = config.get("prepend_bos")
    return m.Source(
        id=rows.id,
        layer=rows.layer,
        recipe=m.Recipe(
            hook_name=str(files.hook_name or config.get("hook_name") or config.get("hook_point") or UNKNOWN),
            prepend_bos=prepend_bos if isinstance(prepend_bos, bool) else corpus.same_first_token,
            context_size=corpus.longest,
            ignored_positions=[],
            norm_cut=None,
            dtype=str(config.get("dtype") or UNKNOWN),
            weight_processing=UNKNOWN,
        ),
        architecture=str(config.get("architecture") or UNKNOWN),
        d_in=_whole(config.get("d_in")) or files.vector_length or model.d_model,
        d_sae=max(_whole(config.get("d_sae")) or 1, files.largest_index + 1),
        sae_config=dict(config),
        counted_tokens=files.counted_tokens,
        dead_features=files.dead_features,
        logit_effect="as published; the files do not say how it was computed",
        features=files.features,
        explanations=files.explanations,
        public_rows={name: dict(getattr(rows, name)) for name in METADATA if getattr(rows, name)},
    )


def corpus_url(rows: SourceRows, metadata_options: MetadataOptions) -> str | None:
    """Where the texts are published; None where neither the rows nor `metadata_options` say it.

    Raises:
        DatasetError: the address of `metadata_options` is no address.
    """
    if metadata_options.corpus_url is not None:
        if not _WEB_ADDRESS.fullmatch(metadata_options.corpus_url):
            raise DatasetError(
                "--corpus-url", f"{metadata_options.corpus_url!r} is no address with http:// or https://"
            )
        return metadata_options.corpus_url
    name = corpus_name(rows)
    hub = f"https://huggingface.co/datasets/{name}" if _HUB_ID.fullmatch(name) else None
    return _address(rows.source.get("datasetUrl"), name, hub, *_list(rows.release.get("urls")))


def _corpus(rows: SourceRows, corpus: CorpusFiles, metadata_options: MetadataOptions) -> m.Corpus:
    name = corpus_name(rows)
    return m.Corpus(
        id=name,
        description=f"Texts of {name} that dashboards quote",
        contexts=corpus.count,
        context_size=corpus.longest,
        tokens=max(1, corpus.tokens - (corpus.count if corpus.same_first_token else 0)),
        collections=[
            m.Collection(
                name=name,
                license=metadata_options.license or str(rows.source.get("datasetLicense") or UNKNOWN),
                url=corpus_url(rows, metadata_options),
                attribution=str(rows.source.get("datasetAttribution") or name),
            )
        ],
        token_ids="tokenizer" if corpus.known_ids else "dataset",
        documents=corpus.documents,
        vocabulary=corpus.vocabulary,
        context_files=corpus.contexts,
    )


def corpus_name(rows: SourceRows) -> str:
    """Name of the texts of a set, which is the title of its one document too."""
    return str(rows.source.get("dataset") or UNKNOWN)


def _whole(value: object) -> int | None:
    """A whole number above 0; None where it is something else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    return value if type(value) is int and value > 0 else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _address(*values: object) -> str | None:
    """The first web address among values."""
    return next((value for value in values if isinstance(value, str) and _WEB_ADDRESS.fullmatch(value)), None)
