"""`memicos generate` is killed with SIGKILL at random moments: it goes on, and the dataset has the same bytes."""

import random
import shutil
from pathlib import Path

import pytest
from memicos_dataset.read import read_manifest, verify
from memicos_pipeline.config import GenerateConfig
from memicos_testing.generate.killed_runs import contents, kill_at_random_moments, leftovers, run
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config

SOURCES = ("1-res", "2-res")
KILLS_PER_RUN = 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerateConfig, float]:
    """A run that was not killed, and its seconds."""
    folder = tmp_path_factory.mktemp("generate-kills")
    small_model(folder / "model")
    for layer, name in enumerate(SOURCES, 1):
        small_sae(folder / "saes" / name, layer, 48, seed=layer)
    config = tiny_config(folder, SOURCES, 32, 24)
    config.execution.shard_contexts = config.execution.batch_contexts = 4
    config.execution.threads = 1
    ended, _ = run(config.model_copy(update={"work": folder / "first-work", "out": folder / "first"}))
    assert ended
    # the first run also imported torch
    _, seconds = run(config)
    return config, seconds


def check(undisturbed: tuple[GenerateConfig, float], folder: Path, rounds: int) -> None:
    config, seconds = undisturbed
    generator, killed = random.Random(rounds), 0
    for number in range(rounds):
        place = folder / str(number)
        place.mkdir()
        again = config.model_copy(update={"work": place / "work", "out": place / "out"})
        killed += kill_at_random_moments(again, seconds, generator, KILLS_PER_RUN)
        verify(again.out, read_manifest(again.out))
        assert contents(again) == contents(config)
        assert leftovers(again) == []
        shutil.rmtree(place)
    assert killed >= rounds / 2


def test_three_killed_runs_go_on(undisturbed: tuple[GenerateConfig, float], tmp_path: Path) -> None:
    check(undisturbed, tmp_path, 3)


@pytest.mark.slow
def test_twenty_killed_runs_go_on(undisturbed: tuple[GenerateConfig, float], tmp_path: Path) -> None:
    check(undisturbed, tmp_path, 20)
