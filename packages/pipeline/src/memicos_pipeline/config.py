"""The configuration file of `memicos generate`."""

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Literal

from memicos_dataset.folder import Folder
from memicos_dataset.manifest import WebAddress
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from memicos_pipeline.corpus.contexts import ShortTexts
from memicos_pipeline.dashboards.histograms import HISTOGRAM_BINS


class ConfigError(ValueError):
    """A configuration file that cannot be used: the message names file and key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReleaseConfig(_Strict):
    """`[release]`: the publication that the dataset belongs to."""

    id: str = Field(description="identifier in addresses")
    name: str = Field(description="title on pages")
    description: str = Field(description="one or two sentences")
    creator: str = Field(description="person or organisation")
    url: WebAddress | None = Field(default=None, description="paper or post")


class ModelConfig(_Strict):
    """`[model]`: the language model that the corpus is run through."""

    id: str = Field(description="identifier in addresses, such as `smollm2-135m-it`")
    name: str = Field(description="name on pages")
    folder: str = Field(description="local folder in Hugging Face's layout, or a hub id")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        description="dtype of the model: float32, float16 or bfloat16"
    )
    chat: bool | None = Field(
        default=None, description="whether the model is a chat model; by default whether it has a chat template"
    )
    license: str = Field(description="licence of the weights")
    url: WebAddress | None = Field(default=None, description="page about the model")
    device: str = Field(default="cpu", description="PyTorch device, such as `cpu` or `cuda`")


class SourceSetConfig(_Strict):
    """`[source_set]`: the SAEs, either `saes`, or `folder` and `sources`."""

    id: str | None = Field(default=None, description="name of the set, such as `res-4k`; by default that of its ids")
    name: str | None = Field(default=None, description="title on pages; by default the id")
    description: str = Field(default="", description="one sentence")
    saes: list[str] = Field(
        default=[],
        description="entries as in [`SAE_SETS`](own-sae.md): `path:<folder>`, `hf:<owner>/<name>/<folder>`, "
        "`saelens:<release>/<sae_id>`, a set's name, `neurons`",
    )
    folder: Path | None = Field(default=None, description="folder with folders `<layer>-<set>` of SAELens' format")
    sources: list[str] = Field(default=[], description="names of these folders, which become source ids")

    @model_validator(mode="after")
    def _one_way(self) -> "SourceSetConfig":
        if bool(self.saes) == (self.folder is not None and bool(self.sources)):
            raise ValueError("needs either saes, or folder and sources")
        return self


class CollectionConfig(_Strict):
    """`[[corpus.collections]]`: a body of text with one licence."""

    name: str = Field(description="value of `collection` in the corpus file")
    contexts: int = Field(gt=0, description="contexts that are drawn from it")
    license: str = Field(description="licence of the text, shown on pages that quote it")
    url: WebAddress | None = Field(default=None, description="where the text is published")
    attribution: str = Field(description="credit, shown on pages that quote the text")


class CorpusConfig(_Strict):
    """`[corpus]`: the text that examples are drawn from."""

    id: str = Field(description="name of the corpus")
    description: str = Field(description="one sentence")
    file: str = Field(
        min_length=1,
        description="JSON Lines with `title`, `collection` and `text`; with `tokens` also with `text` alone, plain "
        "text (`.txt`), Parquet or Arrow with a column `text`, of which `.gz` and `.zst` are decompressed, a data set "
        "(`hf:…`) or a text of a package (`package:…`), see [below](#texts-of-the-hub-and-of-packages)",
    )
    # positions are stored in 16 bits
    context_size: int | None = Field(
        default=None,
        gt=1,
        le=2**15 - 1,
        description="tokens of a context, BOS included; by default as the sources were trained",
    )
    tokens: int | None = Field(
        default=None, gt=0, description="tokens that are drawn from the file, as one collection; or all that it has"
    )
    license: str | None = Field(
        default=None,
        description="with `tokens`: licence of the text; by default that of the data set's card or of the package, "
        "else `unknown`",
    )
    url: WebAddress | None = Field(default=None, description="with `tokens`: where the text is published, likewise")
    attribution: str | None = Field(default=None, description="with `tokens`: credit, likewise")
    short_texts: ShortTexts = Field(
        default="drop",
        description="tokens at the end of a text that do not fill a context, and so texts shorter than one: `drop` "
        "leaves them out, `pad` makes a shorter context of them, `pack` joins the texts of a collection before they "
        "are cut, with an end-of-text token between two",
    )
    seed: int = Field(default=0, description="seed of the draw of contexts")
    collections: list[CollectionConfig] = Field(default=[], description="the collections, one table each")

    @model_validator(mode="after")
    def _one_division(self) -> "CorpusConfig":
        if bool(self.collections) == (self.tokens is not None):
            raise ValueError("needs either tokens or collections")
        if self.collections and not self.is_local_file:
            raise ValueError("hf: and package: need tokens in place of collections")
        return self

    @property
    def is_local_file(self) -> bool:
        return not self.file.startswith(("hf:", "package:"))


class DashboardConfig(_Strict):
    """`[dashboard]`: how much is stored of each feature. The table is optional."""

    top_examples: int = Field(default=12, ge=1, description="strongest distinct examples")
    # group numbers are stored in 8 bits
    quantile_groups: int = Field(
        default=5, ge=1, le=127, description="equal intervals of activation values, each with its own examples"
    )
    examples_per_group: int = Field(default=4, ge=1, description="examples of each interval")
    histogram_bins: int = Field(default=HISTOGRAM_BINS, ge=2, description="bins of the activation and logit histograms")
    logits: int = Field(default=10, ge=1, description="tokens with the largest logit effect, in each direction")
    neighbours: int = Field(
        default=10, ge=1, description="features with the most similar decoder rows, and as many correlated features"
    )


class ExecutionConfig(_Strict):
    """`[execution]`: memory and threads. The table is optional."""

    shard_contexts: int = Field(
        default=512, ge=1, description="contexts of a shard, which is run again as a whole after an interruption"
    )
    batch_contexts: int = Field(default=8, ge=1, description="contexts of a forward pass")
    workers: int = Field(default=1, ge=1, description="processes that run shards and write sources; needs `threads`")
    executor: Literal["local", "ray"] = Field(
        default="local", description="where workers run: `local`, processes of this machine; `ray`, Ray's"
    )
    attempts: int = Field(
        default=3, ge=0, description="how often a shard or a source is run again whose worker was lost"
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="threads of each worker, which sums of floats depend on; by default, with one worker, as PyTorch "
        "chooses",
    )
    statistics_mib: int = Field(
        default=512,
        ge=16,
        description="MiB of activations that statistics read at once, and of a block of the matrix of correlations",
    )
    explained_contexts: int = Field(
        default=16384,
        ge=1,
        description="contexts, evenly spread over a larger corpus, that explanations are counted on",
    )

    @model_validator(mode="after")
    def _stated_threads(self) -> "ExecutionConfig":
        if self.threads is None and (self.workers > 1 or self.executor != "local"):
            raise ValueError(
                "several workers, and those of Ray, need threads, the number of threads of each, which the dataset's "
                "bytes depend on: --threads 1, say"
            )
        return self


_NOT_CONTENTS: dict[str, Any] = {"out": True, "work": True, "execution": {"workers", "executor", "attempts"}}
"""Keys that the dataset does not depend on."""


class GenerateConfig(_Strict):
    """Top-level keys. Relative paths are relative to the working folder."""

    out: Path = Field(
        description="folder of the dataset, or its URL, such as `s3://bucket/dataset`; an older dataset there is "
        "replaced"
    )
    out_url: str | None = Field(default=None, exclude=True)
    work: Path = Field(
        description="folder for activations, 8 bytes for each active feature of each token, kept for the next run"
    )
    release: ReleaseConfig | None = Field(default=None)
    model: ModelConfig
    source_set: SourceSetConfig
    corpus: CorpusConfig
    dashboard: DashboardConfig = DashboardConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @model_validator(mode="before")
    @classmethod
    def _local_out(cls, content: Any) -> Any:
        """A dataset at a URL is written into a folder in `work` first."""
        if not isinstance(content, dict) or not isinstance(content.get("out"), str):
            return content
        if "out_url" in content:
            raise ValueError("out_url is no key: give the URL to out")
        folder = Folder.of(content["out"])
        if isinstance(folder.root, Path):
            return content | {"out": str(folder.root)}
        name = hashlib.sha256(folder.root.encode()).hexdigest()[:12]
        return content | {"out": str(Path(str(content.get("work", ""))) / f"out-{name}"), "out_url": folder.root}

    def contents_json(self) -> str:
        """The keys that the dataset depends on, as JSON."""
        return self.model_dump_json(exclude=_NOT_CONTENTS)


def read_config(path: Path) -> GenerateConfig:
    """Read the configuration in the TOML file `path`.

    Raises:
        ConfigError: it is missing, not TOML, or a key is wrong.
    """
    try:
        return validate(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def validate(content: dict[str, Any], location: str) -> GenerateConfig:
    """The configuration with the keys `content`, which are from `location`.

    Raises:
        ConfigError: a key is missing or wrong.
    """
    try:
        return GenerateConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{location}: {key}: {first['msg'].removeprefix('Value error, ')}") from error


def settings_tables() -> str:
    """Tables of all keys as Markdown, for docs/dataset.md: one for each table of the file."""
    classes: tuple[type[_Strict], ...] = (
        GenerateConfig, ReleaseConfig, ModelConfig, SourceSetConfig, CorpusConfig, CollectionConfig, DashboardConfig,
        ExecutionConfig,
    )  # fmt: skip
    return "\n".join(_settings_table(settings) for settings in classes)


def _settings_table(settings: type[_Strict]) -> str:
    lines = [settings.__doc__ or "", "", "| key | default | |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        if field.description:
            default = "required" if field.is_required() else "" if field.default is None else f"`{field.default}`"
            lines.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"
