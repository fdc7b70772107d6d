"""The files of a corpus: a local file, a data set in the Hugging Face hub's layout, or a text of an installed package.

    texts.jsonl.zst                        a local file
    hf:owner/name[/config][@revision]      a data set on the hub, or in its cache; `:split` and `:column` may follow
    hf:./folder                            a local folder in the hub's layout
    package:<package>/<path>               a file inside an installed Python package, which is not imported

Licence, address and credit are those of the data set's card or of the package.
"""

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from memicos_pipeline.corpus.texts import CorpusError, ending

TEXT_COLUMN = "text"
_HUB = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<config>[^@:]+))?(?:@(?P<revision>[^:]+))?(?::(?P<split>[^:]*))?(?::(?P<column>[^:]+))?"
)
_LOCAL = re.compile(r"(?P<folder>(?:\.{1,2}|~)?/[^:]*|\.{1,2}|~)(?::(?P<split>[^:]*))?(?::(?P<column>[^:]+))?")
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Names of splits in the names of files and folders, as the hub reads them."""
_SHARD = re.compile(r"(?P<name>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})")
_CARD = "README.md"
_ENDINGS = ("parquet", "arrow", "jsonl", "json", "txt")
"""Formats of a data set's files; the first one that it has is read where its card does not name the files."""
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


@dataclass(frozen=True)
class CorpusFiles:
    """Files that are read one after another as one text collection, and what is said of them. None: not known."""

    files: tuple[Path, ...]
    column: str = TEXT_COLUMN
    license: str | None = None
    url: str | None = None
    attribution: str | None = None


def corpus_name(location: str) -> str:
    """A name for a corpus, by its location: that of the file, of the data set or of the package's file."""
    kind, _, name = location.partition(":")
    if kind == "hf" and (match := _LOCAL.fullmatch(name)):
        return Path(match["folder"]).expanduser().resolve().name
    if kind == "hf" and (match := _HUB.fullmatch(name)):
        return match["repo"].partition("/")[2]
    return Path(location).name


def find_corpus(location: str) -> CorpusFiles:
    """The files of a corpus; those of a data set on the hub are fetched into its cache.

    Raises:
        CorpusError: there is no such corpus, or it has no file that can be read.
    """
    kind, _, name = location.partition(":")
    if kind == "package":
        return _of_package(name)
    if kind != "hf":
        return CorpusFiles((Path(location),))
    if match := _LOCAL.fullmatch(name):
        folder = Path(match["folder"]).expanduser()
        if not folder.is_dir():
            raise CorpusError(f"{location}: {folder} is no folder")
        return _of_folder(location, folder, _Choice(None, match["split"], match["column"]))
    match = _HUB.fullmatch(name)
    if match is None:
        raise CorpusError(f"{location}: expected hf:<owner>/<name>[/<config>][@<revision>][:<split>[:<column>]]")
    return _of_hub(
        location, match["repo"], match["revision"], _Choice(match["config"], match["split"], match["column"])
    )


@dataclass(frozen=True)
class _Choice:
    """What is read of a data set."""

    config: str | None
    split: str | None
    column: str | None


@cache
def _of_hub(location: str, repo: str, revision: str | None, choice: _Choice) -> CorpusFiles:
    import httpx2
    from huggingface_hub import errors, snapshot_download
    from memicos_engine.model.hub import explain_error

    token = os.environ.get("HF_TOKEN")
    try:
        snapshot = Path(
            snapshot_download(repo, allow_patterns=[_CARD], repo_type="dataset", revision=revision, token=token)
        )
        names = _names_on_hub(repo, snapshot.name, token)
        if names is None:
            # the hub cannot be reached: what the cache has
            names = _names_in(snapshot)
        chosen = _chosen(location, _card(snapshot), names, choice)
        patterns = [_CARD, *chosen]
        folder = Path(
            snapshot_download(repo, allow_patterns=patterns, repo_type="dataset", revision=snapshot.name, token=token)
        )
    except errors.HFValidationError as error:
        raise CorpusError(f"{location}: {repo} is not a valid name of a data set on the hub ({error})") from error
    except (OSError, httpx2.TransportError) as error:
        raise CorpusError(f"{location}: {explain_error(error, repo, token is not None) or error}") from error
    found = _of_folder(location, folder, choice)
    origin = f"{repo} on the Hugging Face hub, revision {folder.name[:12]}"
    return replace(
        found,
        url=f"https://huggingface.co/datasets/{repo}",
        attribution=f"{found.attribution}, {origin}" if found.attribution else origin,
    )


def _names_on_hub(repo: str, revision: str, token: str | None) -> list[str] | None:
    """All files of a data set; None where the hub cannot be reached."""
    import httpx2
    from huggingface_hub import HfApi, errors

    try:
        return HfApi(token=token).list_repo_files(repo, repo_type="dataset", revision=revision)
    except (errors.OfflineModeIsEnabled, httpx2.TransportError):
        return None


def _of_folder(location: str, folder: Path, choice: _Choice) -> CorpusFiles:
    card = _card(folder)
    chosen = _chosen(location, card, _names_in(folder), choice)
    _check_complete(location, chosen)
    license = card.get("license")
    if license == "other":
        license = card.get("license_name") or license
    licenses = [license] if isinstance(license, str) else license if isinstance(license, list) else []
    title = card.get("pretty_name")
    return CorpusFiles(
        tuple(folder / name for name in chosen),
        choice.column or TEXT_COLUMN,
        ", ".join(map(str, licenses)) or None,
        attribution=title if isinstance(title, str) else None,
    )


def _names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _card(folder: Path) -> Mapping[str, Any]:
    """The metadata at the beginning of a data set's card; empty where it has none."""
    from huggingface_hub import metadata_load

    path = folder / _CARD
    try:
        return (metadata_load(path) or {}) if path.is_file() else {}
    except (ValueError, OSError) as error:
        raise CorpusError(f"{path}: its metadata cannot be read ({error})") from error


def _chosen(location: str, card: Mapping[str, Any], names: Sequence[str], choice: _Choice) -> list[str]:
    """The files of the chosen split, in the order of their names.

    Raises:
        CorpusError: there is no such configuration or split, or none of its files can be read.
    """
    splits = _splits_of_card(location, card, names, choice.config) or _splits_of_names(names, choice.config)
    if not splits:
        raise CorpusError(f"{location}: has no data files{f' of {choice.config!r}' if choice.config else ''}")
    split = choice.split or ("train" if "train" in splits or len(splits) > 1 else next(iter(splits)))
    if split not in splits:
        raise CorpusError(f"{location}: has no split {split!r}, only {', '.join(sorted(splits))}; add :<split>")
    unreadable = [name for name in splits[split] if ending(name) not in _ENDINGS]
    if unreadable:
        raise CorpusError(
            f"{location}: {unreadable[0]} is none of .{', .'.join(_ENDINGS)}; the hub has a Parquet copy of most data "
            "sets: add @refs/convert/parquet after the name"
        )
    return sorted(splits[split])


def _splits_of_card(
    location: str, card: Mapping[str, Any], names: Sequence[str], config: str | None
) -> dict[str, list[str]]:
    """Files of each split as the card's `configs` say; empty where it has none."""
    configs = [entry for entry in card.get("configs") or [] if isinstance(entry, dict) and entry.get("data_files")]
    if not configs:
        return {}
    known = {str(entry.get("config_name")): entry for entry in configs}
    if config is None:
        marked = [name for name, entry in known.items() if entry.get("default") or name == "default"]
        config = marked[0] if marked else next(iter(known)) if len(known) == 1 else None
    if config not in known:
        raise CorpusError(f"{location}: add one of its configurations after the name: /{', /'.join(sorted(known))}")
    return {split: own for split, patterns in _patterns(known[config]) if (own := _matching(names, patterns))}


def _patterns(entry: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Splits and patterns of a configuration of the card."""
    files = entry["data_files"]
    if isinstance(files, list) and files and isinstance(files[0], dict):
        for own in files:
            path = own.get("path")
            yield str(own.get("split")), [str(name) for name in (path if isinstance(path, list) else [path])]
    else:
        yield "train", [str(name) for name in (files if isinstance(files, list) else [files])]


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    expressions = [re.compile(_expression(pattern)) for pattern in patterns]
    return [name for name in names if any(expression.fullmatch(name) for expression in expressions)]


def _expression(pattern: str) -> str:
    """A pattern with `*`, which does not match `/`, and `**`, as a regular expression."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)


def _splits_of_names(names: Sequence[str], config: str | None) -> dict[str, list[str]]:
    """Files of each split by the words in their names; all of them are `train` where no name has such a word."""
    inside = [name for name in names if config is None or name.startswith(f"{config}/")]
    inside = [name for name in inside if name.rpartition("/")[2] not in _NOT_DATA]
    formats = ([name for name in inside if ending(name) == own] for own in _ENDINGS)
    data = next(filter(None, formats), [])
    splits: dict[str, list[str]] = {}
    for name in data:
        words = re.split(r"[^a-z0-9]+", name.lower())
        for split, own in _SPLITS.items():
            if any(word in own for word in words):
                splits.setdefault(split, []).append(name)
                break
    return splits or ({"train": data} if data else {})


def _check_complete(location: str, names: Sequence[str]) -> None:
    """Raises CorpusError where a shard `-00001-of-00004` of the files is not there, as in a part of a cache."""
    shards: dict[tuple[str, int, str], set[int]] = {}
    for name in names:
        stem = name.removesuffix(".gz").removesuffix(".zst")
        match = _SHARD.fullmatch(stem.rpartition(".")[0])
        if match:
            shards.setdefault((match["name"], int(match["count"]), ending(name)), set()).add(int(match["number"]))
    for (name, count, _), numbers in shards.items():
        missing = sorted(set(range(count)) - numbers)
        if missing:
            raise CorpusError(f"{location}: lacks {len(missing)} of {count} files, such as {name}-{missing[0]:05d}")


def _of_package(name: str) -> CorpusFiles:
    location = f"package:{name}"
    package, _, path = name.partition("/")
    if not package.isidentifier() or not path:
        raise CorpusError(f"{location}: expected package:<package>/<path of a file inside it>")
    # of a name without dots no package is imported
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    if not folders:
        raise CorpusError(f"{location}: no package {package!r} is installed")
    inside = [
        folder / path
        for folder in folders
        if (folder / path).is_file() and (folder / path).resolve().is_relative_to(folder.resolve())
    ]
    if not inside:
        raise CorpusError(f"{location}: the package has no file {path}")
    names = importlib.metadata.packages_distributions().get(package, [])
    if not names:
        return CorpusFiles((inside[0],))
    metadata: Any = importlib.metadata.metadata(names[0])
    release = f"{names[0]} {metadata['Version']}"
    return CorpusFiles(
        (inside[0],),
        license=_package_license(metadata),
        url=f"https://pypi.org/project/{names[0]}/{metadata['Version']}/",
        attribution=", ".join(
            filter(None, (metadata.get("Author") or metadata.get("Maintainer"), f"package {release}"))
        ),
    )


def _package_license(metadata: Any) -> str | None:
    """The licence of a package: its expression, the name in its field, or its classifiers."""
    stated = metadata.get("License-Expression") or metadata.get("License")
    if stated and "\n" not in stated and stated.upper() != "UNKNOWN":
        return stated
    classifiers = metadata.get_all("Classifier") or []
    names = [entry.rpartition(" :: ")[2] for entry in classifiers if entry.startswith("License :: ")]
    return ", ".join(names) or None
