"""What earlier runs finished: a whole dataset, or sources of one that was being written when the run was killed."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import FILE_NAME, Source
from memicos_dataset.read import read_manifest, verify
from memicos_engine.errors import LoadError
from memicos_engine.model import hub
from memicos_engine.sources.source_specs import parse_spec
from pydantic import BaseModel

from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.corpus.origin import find_corpus
from memicos_pipeline.harvest import FORMAT_VERSION

_FOLDER = ".finished"


class FinishedSource(BaseModel):
    """A source whose files are complete, and the tokens that its rows name."""

    entry: Source
    used_ids: list[int]


class FinishedSources:
    """The finished sources of the dataset that is being written to `folder`, and room for more.

    Files of another run than the one that `key` names are deleted.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder / _FOLDER
        key_file = self._folder / "key"
        if not key_file.is_file() or key_file.read_text(encoding="utf-8") != key:
            shutil.rmtree(folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            _write(key_file, key)

    def find(self, source_id: str) -> FinishedSource | None:
        path = self._path(source_id)
        return FinishedSource.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None

    def add(self, source: FinishedSource) -> None:
        _write(self._path(source.entry.id), source.model_dump_json())

    def remove(self) -> None:
        """Delete the notes, when the dataset is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, source_id: str) -> Path:
        return self._folder / f"{source_id}.json"


def run_key(config: GenerateConfig, work: Path) -> str:
    """A hash of the configuration and of the folder `work`, whose name depends on the inputs' contents."""
    return hashlib.sha256(f"{work.name} {config.contents_json()}".encode()).hexdigest()


def inputs_digest(config: GenerateConfig) -> str | None:
    """A hash of everything that the dataset depends on, from files alone; None where that needs a loaded model.

    It is of the configuration and the contents of the files of corpus, model and sources.
    """
    digest = hashlib.sha256(f"{FORMAT_VERSION} {torch.__version__} {torch.get_num_threads()}".encode())
    digest.update(config.contents_json().encode())
    try:
        folders = [_model_folder(config), *_source_folders(config)]
        for folder in folders:
            if folder is None:
                return None
            for path in sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]:
                digest.update(f"\n{path.relative_to(folder)} {_file_digest(path)}".encode())
        for path in find_corpus(config.corpus.file).files:
            digest.update(f"\n{_file_digest(path)}".encode())
    except (LoadError, OSError, ValueError):
        # loading model and sources reports it
        return None
    return digest.hexdigest()


def is_complete(config: GenerateConfig, digest: str) -> bool:
    """Whether `config.out` holds, unchanged, the dataset that an earlier run made of the same inputs."""
    record = _record(config, digest)
    try:
        if json.loads(record.read_text(encoding="utf-8")) != _file_digest(config.out / FILE_NAME):
            return False
        verify(config.out, read_manifest(config.out))
    except (OSError, ValueError, DatasetError):
        return False
    return True


def note_complete(config: GenerateConfig, digest: str) -> None:
    """Note that `config.out` is complete."""
    _write(_record(config, digest), json.dumps(_file_digest(config.out / FILE_NAME)))


def _record(config: GenerateConfig, digest: str) -> Path:
    place = hashlib.sha256(os.fsencode(config.out.resolve())).hexdigest()[:12]
    return config.work / f"complete-{digest[:16]}-{place}.json"


def _model_folder(config: GenerateConfig) -> Path:
    folder = Path(config.model.folder)
    return folder if folder.is_dir() else hub.fetch(config.model.folder, os.environ.get("HF_TOKEN"), _quiet, 0)


def _source_folders(config: GenerateConfig) -> list[Path | None]:
    """The folder of each entry; None for entries of SAELens' directory."""
    source_set = config.source_set
    folders: list[Path | None] = [(source_set.folder or Path()) / name for name in source_set.sources]
    for text in source_set.saes:
        spec = parse_spec(text)
        if spec.folder is not None:
            folders.append(spec.folder)
        elif spec.kind == "hf":
            owner, name, *inner = spec.name.split("/")
            token = os.environ.get("HF_TOKEN")
            folders.append(hub.fetch_sources(f"{owner}/{name}", "/".join(inner), token, _quiet, 0))
        elif spec.kind != "neurons":
            folders.append(None)
    return folders


def _quiet(description: str, share: float) -> None:
    """Progress is not shown: the files are in the cache, or loading them shows it."""


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: str) -> None:
    """Write a file as a whole: a killed run leaves the complete file or none."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
