"""Options of `--executor ray` that exclude others, before anything is started."""

import sys
from pathlib import Path

import pytest
from memicos_cli import main
from typer.testing import CliRunner, Result

RAY = ("--executor", "ray", "--yes")


@pytest.mark.parametrize("command", [("explain",), ("score", "--method", "eleuther_fuzz")])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*RAY,), "--executor ray needs the model that is served"),
        (
            (*RAY, "--vllm-model", "m", "--profile", "p"),
            "--executor ray uses no endpoint of a profile: leave out --profile",
        ),
        ((*RAY, "--vllm-model", "m", "--batch"), "vLLM has no batches"),
        (("--yes", "--replicas", "2"), "are options of --executor ray"),
        (("--yes", "--vllm-argument=--seed=1"), "are options of --executor ray"),
        (("--executor", "slurm"), "'slurm' is not one of 'local', 'ray'"),
    ],
)
def test_options_that_exclude_one_another(
    command: tuple[str, ...], options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = invoke(command, options, tmp_path)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()), result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--executor", "ray"),
        ("--replicas", "2"),
        ("--vllm-model", "m"),
        ("--vllm-gpus", "4"),
        ("--vllm-argument=--seed=1",),
    ],
)
def test_scores_by_embeddings_take_no_option_of_replicas(options: tuple[str, ...], tmp_path: Path) -> None:
    result = invoke(("score", "--method", "eleuther_embedding"), options, tmp_path)
    message = "eleuther_embedding scores all explanations without a language model"
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()), result.stderr


def invoke(command: tuple[str, ...], options: tuple[str, ...], tmp_path: Path) -> Result:
    config = tmp_path / "c.toml"
    config.write_text(
        f'out = "{tmp_path}/out"\nwork = "{tmp_path}/work"\n[model]\nfolder = "m"\n[source_set]\nsaes = ["neurons"]\n'
        '[corpus]\nfile = "c.txt"\ntokens = 10\n'
    )
    environment = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    return CliRunner().invoke(main.app, [command[0], str(config), *command[1:], *options], env=environment)


def test_ray_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = CliRunner().invoke(main.app, ["explain", str(tmp_path), *RAY, "--vllm-model", "m"])
    assert result.exit_code == 1 and "error: --executor ray: Ray is not installed: pip install" in result.stderr
