"""Ray's workers make the same bytes as one process, also where one of them is killed. `make test-ray` has more runs."""

import sys
from pathlib import Path

import psutil
import pytest
from memicos_pipeline.config import ConfigError, ExecutionConfig
from memicos_pipeline.generate import generate
from memicos_testing.generate import ray_runs
from memicos_testing.models.tiny_generate import tiny_config


@pytest.mark.slow
def test_the_task_of_a_lost_actor_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "local").mkdir()
    config = ray_runs.local_run(tmp_path / "local")
    again = ray_runs.ray_run(config, tmp_path, workers=2, at_first_shard=ray_runs.kill_an_actor)
    assert ray_runs.contents(again) == ray_runs.contents(config)
    psutil.wait_procs(ray_runs.processes_of_ray(), timeout=20)
    assert ray_runs.processes_of_ray() == []


def test_without_ray_the_run_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray").mkdir()
    config = tiny_config(tmp_path, ("1-res",), 32, 4)
    config.execution = ExecutionConfig(executor="ray", threads=1)
    # nothing but a folder of that name is found
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(ConfigError, match="Ray is not installed: pip install"):
        generate(config, lambda line: None)


def test_ray_needs_a_number_of_threads() -> None:
    with pytest.raises(ValueError, match="need threads"):
        ExecutionConfig(executor="ray")
