"""The configuration file of `memicos generate`."""

import tomllib
from pathlib import Path

from memicos_dataset.manifest import WebAddress
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memicos_pipeline.corpus import ShortTexts
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
    dtype: str = Field(
        pattern="^(float32|float16|bfloat16)$", description="dtype of the model: float32, float16 or bfloat16"
    )
    chat: bool = Field(description="whether the model is a chat model")
    license: str = Field(description="licence of the weights")
    url: WebAddress | None = Field(default=None, description="page about the model")
    device: str = Field(default="cpu", description="PyTorch device, such as `cpu` or `cuda`")


class SourceSetConfig(_Strict):
    """`[source_set]`: the SAEs, which are folders `<layer>-<set>` in SAELens' format."""

    id: str = Field(description="name of the set, such as `res-4k`")
    name: str = Field(description="title on pages")
    description: str = Field(description="one sentence")
    folder: Path = Field(description="folder that holds the SAEs' folders")
    sources: list[str] = Field(min_length=1, description="names of the SAEs' folders, which become source ids")


class CollectionConfig(_Strict):
    """`[[corpus.collections]]`: a body of text with one licence."""

    name: str = Field(description="value of `collection` in the corpus file")
    contexts: int = Field(gt=0, description="contexts that are drawn from it")
    license: str = Field(description="licence of the text, shown on pages that quote it")
    url: WebAddress = Field(description="where the text is published")
    attribution: str = Field(description="credit, shown on pages that quote the text")


class CorpusConfig(_Strict):
    """`[corpus]`: the text that examples are drawn from."""

    id: str = Field(description="name of the corpus")
    description: str = Field(description="one sentence")
    file: Path = Field(description="JSON Lines with `title`, `collection` and `text`")
    # positions are stored in 16 bits
    context_size: int = Field(gt=1, le=2**15 - 1, description="tokens of a context, BOS included")
    short_texts: ShortTexts = Field(
        default="drop",
        description="tokens at the end of a text that do not fill a context, and so texts shorter than one: `drop` "
        "leaves them out, `pad` makes a shorter context of them, `pack` joins the texts of a collection before they "
        "are cut, with an end-of-text token between two",
    )
    seed: int = Field(default=0, description="seed of the draw of contexts")
    collections: list[CollectionConfig] = Field(min_length=1, description="the collections, one table each")


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
    threads: int | None = Field(default=None, ge=1, description="threads of PyTorch; by default as PyTorch chooses")
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


class GenerateConfig(_Strict):
    """Top-level keys. Relative paths are relative to the working folder."""

    out: Path = Field(description="folder of the dataset; an older dataset there is replaced")
    work: Path = Field(
        description="folder for activations, 8 bytes for each active feature of each token, kept for the next run"
    )
    release: ReleaseConfig
    model: ModelConfig
    source_set: SourceSetConfig
    corpus: CorpusConfig
    dashboard: DashboardConfig = DashboardConfig()
    execution: ExecutionConfig = ExecutionConfig()


def read_config(path: Path) -> GenerateConfig:
    """Read the configuration in the TOML file `path`.

    Raises:
        ConfigError: it is missing, not TOML, or a key is wrong.
    """
    try:
        return GenerateConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {key}: {first['msg']}") from error


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
