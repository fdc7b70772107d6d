"""The env file of the docker compose stack: written once and atomically, with random passwords; checked on reading."""

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from memicos_cli import stack_env
from memicos_cli.env_file import Assignment, EnvFileError, parse

ROOT = Path(__file__).parents[3]


def init_env(file: Path, command: str = "write") -> "subprocess.CompletedProcess[str]":
    """Run as `make init-env` runs it: without the packages of `.venv`."""
    return subprocess.run(
        [sys.executable, "-S", "-E", "-c", PROGRAM, command, str(file)], capture_output=True, text=True, check=False
    )


PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT / "packages/cli/src")!r})
from memicos_cli.stack_env import main
sys.exit(main(sys.argv[1:]))
"""


def values(file: Path) -> dict[str, str]:
    return {assignment.name: assignment.value for assignment in parse(file.read_text())}


def test_every_secret_is_random_long_and_only_readable_by_its_owner(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert init_env(first).stdout == f"wrote {first} with new random secrets (readable by you only)\n"
    init_env(second)
    assert set(values(first)) == {
        "POSTGRES_PASSWORD", "INFERENCE_SECRET", "AUTOINTERP_SECRET", "MEMICOS_SECRET_KEY", "GRAFANA_PASSWORD",
    }  # fmt: skip
    secrets_of_both = [*values(first).values(), *values(second).values()]
    assert len(set(secrets_of_both)) == 10 and all(re.fullmatch(r"[\w-]{43}", value) for value in secrets_of_both)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert init_env(first, "check").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    init_env(file)
    before = file.read_bytes(), file.stat().st_mtime_ns
    second_run = init_env(file)
    assert second_run.returncode == 0 and "was not changed" in second_run.stdout
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "elsewhere")
    assert init_env(dangling).returncode == 1 and not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_secret_that_an_older_file_lacks_is_added_and_nothing_else_changes(tmp_path: Path, ending: str) -> None:
    file = tmp_path / ".env"
    older = "".join(line for line in GOOD.splitlines(True) if "SECRET_KEY" not in line)
    older += "# mine\nMEMICOS_PORT='3001'" + ending
    file.write_text(older)
    file.chmod(0o640)
    refused = init_env(file, "check")
    assert refused.returncode == 1 and file.read_text() == older
    assert refused.stderr == f"init-env: {file} cannot be used: MEMICOS_SECRET_KEY is missing: make init-env adds it.\n"
    link = tmp_path / "link"
    link.symlink_to(file)
    added = init_env(link)
    assert added.returncode == 0 and link.is_symlink()
    assert added.stdout == f"added to {link} with a random value, as it was missing: MEMICOS_SECRET_KEY\n"
    assert file.read_text().startswith(older) and stat.S_IMODE(file.stat().st_mode) == 0o640
    assert len(values(file)["MEMICOS_SECRET_KEY"]) == 43 and values(file).keys() == {
        *stack_env.SECRETS,
        "MEMICOS_PORT",
    }
    complete = file.read_text()
    assert "was not changed" in init_env(file).stdout and file.read_text() == complete
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "link"]


def test_an_interruption_leaves_no_half_written_file(tmp_path: Path) -> None:
    """If the process is killed while writing, the file either does not exist or is complete."""
    file = tmp_path / ".env"
    for call in ("fsync", "link", "unlink"):
        program = PROGRAM.replace(
            "sys.exit",
            f"import os, signal\nos.{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nsys.exit",
            1,
        )
        result = subprocess.run([sys.executable, "-c", program, "write", str(file)], capture_output=True, check=False)
        assert result.returncode == -signal.SIGKILL
        if file.exists():
            assert call == "unlink" and stack_env.problems(file) == []
    assert file.exists()


def test_two_at_once_agree_on_one_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    running = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, "write", str(file)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    lines = [process.communicate()[0] for process in running]
    assert sum(line.startswith("wrote") for line in lines) == 1 and stack_env.problems(file) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = init_env(tmp_path / "none" / ".env")
    assert result.returncode == 1
    assert result.stderr == f"init-env: {tmp_path}/none/.env cannot be written: No such file or directory.\n"


GOOD = "".join(f"{name}={'r4nd0m-' * 4}\n" for name in stack_env.SECRETS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD + "MEMICOS_PO", "line 6 is not NAME=value"),
        (GOOD + "MEMICOS_PORT='30", "line 6 has a quotation mark that is not closed"),
        (GOOD + "MEMICOS_PORT='30' 1", "line 6 has text after its quotation mark"),
        (GOOD[:-21], "line 5: GRAFANA_PASSWORD has fewer than 16 characters"),
        (GOOD.replace("r4nd0m-" * 4, "postgres"), "line 1: POSTGRES_PASSWORD has fewer than 16 characters"),
        (
            GOOD + "\nMEMICOS_PROT=3001\n",
            "line 7: unknown variable MEMICOS_PROT; the most similar name is MEMICOS_PORT",
        ),
        (GOOD + "INFERENCE_SECRET=another-one-of-enough-length", "line 6: INFERENCE_SECRET is set a second time"),
        ("", "POSTGRES_PASSWORD is missing: add the line POSTGRES_PASSWORD="),
        (GOOD.partition("\n")[2].replace("GRAFANA", "G"), "GRAFANA_PASSWORD is missing: make init-env adds it"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_without_its_values(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / ".env"
    file.write_text(text)
    for command in ("write", "check"):
        result = init_env(file, command)
        assert result.returncode == 1 and not result.stdout
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"init-env: {file} cannot be used: ") and problem in line
        assert "r4nd0m" not in line and "another-one" not in line
    assert file.read_text() == text


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert init_env(file, "check").stderr == f"init-env: there is no {file}: run make init-env\n"
    folder = tmp_path / "folder"
    folder.mkdir()
    assert init_env(folder, "write").stderr == f"init-env: {folder} is a folder: delete it, then run make init-env\n"
    file.write_bytes(b"A=\xff")
    assert "it is not UTF-8" in init_env(file, "check").stderr


def test_a_file_that_others_may_read_causes_a_warning(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(GOOD)
    file.chmod(0o644)
    result = init_env(file, "check")
    assert result.returncode == 0 and f"chmod 600 {file}" in result.stderr


def test_names_that_a_compose_file_reads_are_known(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  webapp:\n    environment:\n      MEMICOS_NEW:\n      A: ${MEMICOS_OTHER:-1}\n"
        "# ${MEMICOS_COMMENT}\n"
    )
    file = tmp_path / ".env"
    file.write_text(GOOD + "MEMICOS_NEW=1\nMEMICOS_OTHER=2\nMY_OWN=3\n")
    assert stack_env.problems(file) == []
    file.write_text(GOOD + "MEMICOS_COMMENT=1\n")
    assert stack_env.problems(file)


def test_lines_are_read_as_compose_reads_them() -> None:
    text = "# comment\n\nA=1 # why\nexport B = 'x # y' # z\nC=\nD=a#b\nE=\"q\"\n F=#none\n"
    assert [(name, value) for name, value, _ in parse(text)] == [
        ("A", "1"),
        ("B", "x # y"),
        ("C", ""),
        ("D", "a#b"),
        ("E", "q"),
        ("F", ""),
    ]
    assert parse("\nA=1")[0] == Assignment("A", "1", 2)
    with pytest.raises(EnvFileError, match="line 2 is not"):
        parse("A=1\nnonsense")


def test_git_ignores_the_file_and_make_writes_it(tmp_path: Path) -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", "deploy/docker/.env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0
    (tmp_path / "deploy/docker").mkdir(parents=True)
    for part in ("Makefile", "packages"):
        (tmp_path / part).symlink_to(ROOT / part)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(
        ["make", "-s", "init-env"], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0 and "wrote deploy/docker/.env" in result.stdout, result.stderr
    assert stack_env.problems(tmp_path / "deploy/docker/.env") == []


def test_the_secret_of_a_host_is_not_left_where_no_container_reads_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert stack_env.write(file)
    file.write_text(file.read_text() + "INFERENCE_SECRET_GPT2=0123456789abcdef0123456789\n")
    reason = stack_env.refusal(file)
    assert reason and "INFERENCE_SECRET_GPT2 would reach no container" in reason and "WEBAPP_ENV_FILE" in reason
    assert "0123456789abcdef" not in reason
