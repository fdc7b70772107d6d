"""Two real models, each loaded by the engine and, apart from it, by plain transformers.

small_folder, small, small_plain   glassllm as a Llama: BOS, no chat template, context 128
demo_folder, demo, demo_plain      the demo's SmolLM2-135M; fetched and converted where it is missing
demo_sources                       its three SAEs
tiny                               a random model of an architecture of `tiny_models`, by the engine and by transformers
make_sae                           folder and source of a small SAE, as `small_model.small_sae`
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.sources.source import SaeSource
from memicos_engine.sources.source_loading import load_source
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import small_model, small_sae, write_extras
from memicos_testing.models.tiny_models import tiny_model

ROOT = Path(__file__).parents[3]

Tiny = Callable[[str], tuple[LanguageModel, Any]]
MakeSae = Callable[..., tuple[Path, SaeSource]]


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small(small_folder: Path) -> LanguageModel:
    return load_model("small", str(small_folder))


@pytest.fixture(scope="session")
def small_plain(small_folder: Path) -> Any:
    return plain_model.load(small_folder)


@pytest.fixture(scope="session")
def tiny(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    @cache
    def make(architecture: str) -> tuple[LanguageModel, Any]:
        folder = tiny_model(tmp_path_factory.mktemp(architecture), architecture, small_folder)
        return load_model(architecture, str(folder)), plain_model.load(folder)

    return make


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    spec = importlib.util.spec_from_file_location("demo_model", ROOT / "demo" / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ensure_model(ROOT / ".data")


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> LanguageModel:
    return load_model("smollm2-135m-it", str(demo_folder))


@pytest.fixture(scope="session")
def demo_plain(demo_folder: Path) -> Any:
    return plain_model.load(demo_folder)


@pytest.fixture(scope="session")
def demo_sources() -> list[tuple[Path, SaeSource]]:
    folders = [ROOT / "demo" / "sources" / f"{layer}-res-4k" for layer in (7, 15, 23)]
    return [(folder, load_source(folder, folder.name)) for folder in folders]


@pytest.fixture(scope="session")
def make_sae(tmp_path_factory: pytest.TempPathFactory) -> MakeSae:
    def make(
        layer: int,
        width: int = 256,
        seed: int = 0,
        architecture: str = "jumprelu",
        ignored: list[int] | None = None,
        norm_cut: float | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ) -> tuple[Path, SaeSource]:
        folder = small_sae(tmp_path_factory.mktemp("sae"), layer, width, seed, architecture)
        if ignored is not None:
            write_extras(folder, ignored, norm_cut)
        return folder, load_source(folder, name or f"{layer}-{architecture}", dtype=dtype)

    return make
