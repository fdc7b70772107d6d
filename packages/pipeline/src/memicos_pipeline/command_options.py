"""The configuration of `memicos generate` from a TOML file, from options of the command line, or from both."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memicos_dataset.folder import Folder

from memicos_pipeline.config import ConfigError, GenerateConfig, validate
from memicos_pipeline.corpus.origin import corpus_name
from memicos_pipeline.corpus.texts import stem

_NOT_IN_ID = re.compile(r"[^a-z0-9._-]+")

_KEYS = {
    "model": "model.folder",
    "dtype": "model.dtype",
    "device": "model.device",
    "sae": "source_set.saes",
    "corpus": "corpus.file",
    "tokens": "corpus.tokens",
    "context_size": "corpus.context_size",
    "corpus_license": "corpus.license",
    "corpus_url": "corpus.url",
    "corpus_attribution": "corpus.attribution",
    "out": "out",
    "work": "work",
    "threads": "execution.threads",
    "workers": "execution.workers",
    "executor": "execution.executor",
}
"""The key of the file that each option sets."""


def merged_config(path: Path | None, options: Mapping[str, Any]) -> GenerateConfig:
    """The configuration in the TOML file `path`, with `options` (those that are not None) in place of its keys.

    Without a file, names and descriptions are made from those of the model, the corpus and the sources.

    Raises:
        ConfigError: the file is missing, not TOML, or a key is missing or wrong.
    """
    content = {} if path is None else _read(path)
    for option, value in options.items():
        if value is not None:
            *tables, key = _KEYS[option].split(".")
            table = content
            for name in tables:
                table = table.setdefault(name, {})
            table[key] = value
    if options.get("sae"):
        # entries in place of the file's folders
        for key in ("folder", "sources"):
            content["source_set"].pop(key, None)
    if options.get("tokens") is not None or options.get("corpus"):
        # another corpus, or another number of tokens, than the file's collections divide
        content["corpus"].pop("collections", None)
    if path is None:
        _check_options(content)
    _add_names(content)
    return validate(content, str(path) if path is not None else "options")


def with_option_names(message: str, options: Mapping[str, Any]) -> str:
    """A message about the configuration, with the option in place of a key of the file that an option has set."""
    text = message.removeprefix("options: ")
    for option, key in _KEYS.items():
        if options.get(option) is not None and text.startswith(f"{key}: "):
            return f"--{option.replace('_', '-')}: {text.removeprefix(f'{key}: ')}"
    return message


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _check_options(content: dict[str, Any]) -> None:
    """Raises ConfigError where neither a file nor options give what every run needs."""
    required = ("model", "sae", "corpus", "tokens", "out")
    missing = [f"--{option}" for option in required if not _value(content, _KEYS[option])]
    if missing:
        raise ConfigError(f"{', '.join(missing)}: give a configuration file or these options")


def _value(content: dict[str, Any], key: str) -> Any:
    value: Any = content
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _add_names(content: dict[str, Any]) -> None:
    """Add the keys that have a default of this run: ids and titles, and where activations are kept."""
    model, corpus = content.setdefault("model", {}), content.setdefault("corpus", {})
    if "folder" in model:
        name = Path(str(model["folder"])).expanduser().resolve().name if model["folder"] else ""
        model.setdefault("id", _as_id(name))
        model.setdefault("name", name)
    model.setdefault("dtype", "float32")
    model.setdefault("license", "unknown")
    if "file" in corpus:
        name = corpus_name(str(corpus["file"]))
        corpus.setdefault("id", _as_id(stem(name)))
        corpus.setdefault("description", f"Texts of {name}.")
    if "out" in content:
        folder = Folder.of(str(content["out"])).root
        parent = folder.parent if isinstance(folder, Path) else Path()
        content.setdefault("work", str(parent / ".memicos-generate"))


def _as_id(name: str) -> str:
    return _NOT_IN_ID.sub("-", name.lower()).strip("-") or "unnamed"
