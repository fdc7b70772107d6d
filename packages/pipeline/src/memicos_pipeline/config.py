"""The file that says what `memicos generate` makes."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class ConfigError(ValueError):
    """A configuration file that cannot be used: the message names file and key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReleaseConfig(_Strict):
    id: str
    name: str
    description: str
    creator: str
    url: str | None = None


class ModelConfig(_Strict):
    id: str
    name: str
    folder: str
    """A local folder in Hugging Face layout, or a hub id."""
    dtype: str = Field(pattern="^(float32|float16|bfloat16)$")
    chat: bool
    license: str
    url: str | None = None
    device: str = "cpu"


class SourceSetConfig(_Strict):
    id: str
    name: str
    description: str
    folder: Path
    sources: list[str] = Field(min_length=1)


class CollectionConfig(_Strict):
    name: str
    contexts: int = Field(gt=0)
    license: str
    url: str
    attribution: str


class CorpusConfig(_Strict):
    id: str
    description: str
    file: Path
    context_size: int = Field(gt=1)
    seed: int = 0
    collections: list[CollectionConfig] = Field(min_length=1)


class DashboardConfig(_Strict):
    top_examples: int = Field(default=12, ge=1, description="strongest distinct examples of a feature")
    quantile_groups: int = Field(default=5, ge=1)
    examples_per_group: int = Field(default=4, ge=1)
    histogram_bins: int = Field(default=50, ge=2)
    logits: int = Field(default=10, ge=1, description="tokens shown in each direction")
    neighbours: int = Field(default=10, ge=1, description="decoder-cosine neighbours and correlated features")


class GenerateConfig(_Strict):
    out: Path
    work: Path
    release: ReleaseConfig
    model: ModelConfig
    source_set: SourceSetConfig
    corpus: CorpusConfig
    dashboard: DashboardConfig = DashboardConfig()


def read_config(path: Path) -> GenerateConfig:
    """The configuration in the TOML file `path`.

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
