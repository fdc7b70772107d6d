"""The root of the `memicos` command lists installed commands, names missing ones, and imports no heavy module."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from memicos_cli import main
from typer.testing import CliRunner

WEBAPP_COMMANDS = ("import", "export", "sources", "jobs", "worker", "db", "owner-link", "key", "embed", "hosts")
COMMANDS = [
    "generate",
    "explain",
    "score",
    "recompute",
    "sae",
    "model",
    "selftest",
    "dataset",
    "publish",
    "upload",
    *WEBAPP_COMMANDS,
]


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, main.ENTRY_POINT_GROUP)


def install(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    """Let these be the only installed entry points."""
    monkeypatch.setattr(main, "entry_points", lambda group: entries)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_package_contributes_its_commands() -> None:
    installed = main.installed_commands()
    assert list(installed) == [*COMMANDS, "doctor"]
    assert list(installed["sae"].members) == ["add"] and list(installed["model"].members) == ["check"]
    help_result = CliRunner().invoke(main.app, ["--help"])
    assert help_result.exit_code == 0 and all(name in help_result.stdout for name in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["sae", "add"], ["model", "check"], *([name] for name in COMMANDS)])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom memicos_cli.main import app\ntry:\n    app({[*arguments, '--help']})\n"
        "finally:\n    print({'torch', 'transformers', 'sae_lens'} & set(sys.modules), file=sys.stderr)"
    )
    result = run(code)
    assert result.returncode == 0 and "Usage: " in result.stdout and result.stderr.strip() == "set()"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_not_installed_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    help_result = CliRunner().invoke(main.app, ["--help"])
    assert help_result.exit_code == 0 and " selftest " not in help_result.stdout
    result = CliRunner().invoke(main.app, [name, "--help"])
    extras = {own: own for own in ("generate", "recompute", "dataset")} | {
        "explain": "generate",
        "score": "generate",
        "upload": "dataset",
        "publish": "dataset",
    }
    extra = {**extras, **dict.fromkeys(WEBAPP_COMMANDS, "webapp")}.get(name, "inference")
    assert result.exit_code == 2
    assert (
        result.stderr == f"error: memicos {name} needs memicos[{extra}]. Install it: pip install 'memicos[{extra}]'\n"
    )


def test_a_missing_package_names_the_extra_that_brings_it(tmp_path: Path) -> None:
    """`memicos generate` of an environment with memicos-pipeline and without torch."""
    config = Path(__file__).parents[3] / "demo" / "generate.toml"
    result = run(
        f"import sys\nsys.modules['torch'] = None\nfrom memicos_cli.main import app\napp(['generate', {str(config)!r}])"
    )
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr == (
        "error: memicos generate needs memicos[generate]: there is no package torch. "
        "Install it: pip install 'memicos[generate]'\n"
    )


def test_an_import_error_of_our_code_is_not_reported_as_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, entry("generate", "memicos_cli.nowhere:generate"))
    result = CliRunner().invoke(main.app, ["generate"])
    assert isinstance(result.exception, ModuleNotFoundError) and result.exception.name == "memicos_cli.nowhere"


def test_a_third_party_package_contributes_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, entry("paths.join", "os.path:normpath"), entry("zip", "shutil:get_archive_formats"))
    assert list(main.installed_commands()) == ["paths", "zip"]
    assert CliRunner().invoke(main.app, ["zip"]).exit_code == 0
    assert CliRunner().invoke(main.app, ["unzip"]).exit_code == 2
