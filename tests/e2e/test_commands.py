"""Sub-commands of `memicos` that inference and webapp contribute, each run once as a program."""

import subprocess
import sys
from pathlib import Path

from memicos_testing.models.foreign_saes import fitted_weights, write_saelens
from memicos_testing.models.small_model import NAME, hidden_on_sample, small_model

MEMICOS = Path(sys.executable).with_name("memicos")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MEMICOS, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_an_sae_is_added(tmp_path: Path) -> None:
    model = small_model(tmp_path / NAME)
    write_saelens(tmp_path / "1-mine", fitted_weights(1, hidden_on_sample(1)))
    result = run("sae", "add", "path:1-mine", "--model", str(model), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "1-mine: jumprelu" in result.stdout and "explained variance" in result.stdout
    assert "CUSTOM_HF_MODEL_ID=" in (tmp_path / f".env.inference.{NAME}.mine").read_text()


def test_a_model_is_checked(model_folder: Path, tmp_path: Path) -> None:
    result = run("model", "check", str(model_folder), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    weights = "weights 134,515,008 parameters: 538 MB in float32, 269 MB in 16 bit"
    assert weights in lines and "stored in bfloat16, 269 MB" in lines and "chat the model's own template" in lines
    assert "keys and values 46,080 bytes a token in float32, 23,040 in 16 bit" in lines
    assert "blocks.N.mlp.hook_post 1,536" in lines and list(tmp_path.iterdir()) == []


def test_a_refusal_is_one_line_with_status_1(tmp_path: Path) -> None:
    for arguments in (("model", "check", "./gone"), ("sae", "add", "path:gone", "--env-file", "gone.env")):
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1
        assert "gone" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
