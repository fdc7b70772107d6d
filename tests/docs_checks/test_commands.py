"""Commands in README and docs exist with their options; each block is run by a test or has a reason why not."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from memicos_cli.main import app
from memicos_testing.documents import (
    DOCUMENTS,
    NOT_RUN,
    PROMPT,
    ROOT,
    RUNNABLE,
    Command,
    blocks_of,
    commands_of,
    console_steps,
    python_program,
)

OTHER_PROGRAMS = {
    *(
        "brew",
        "cat",
        "cd",
        "curl",
        "docker",
        "export",
        "git",
        "nvidia-smi",
        "pip",
        "rm",
        "sudo",
        "umask",
        "wsl",
        "xcode-select",
    ),
    "pytest",
}
"""Programs of others that documents use."""

ENDLESS = re.compile(r"^\s*([A-Z_]+=\S+ )*make (demo|\S+-localhost-(dev|run)|webapp-demo-run)\b", re.MULTILINE)
"""Commands that serve until they are ended."""

COMMANDS = sorted(
    {command.arguments: command for document in DOCUMENTS for command in commands_of(document)}.values(),
    key=lambda command: (command.document, command.line),
)


def block_problems(document: Path, content: str | None = None) -> list[str]:
    """Problems of the markers and languages of a document's blocks."""
    problems: list[str] = []
    blocks = blocks_of(document, content)
    for block in blocks:
        unknown = [reason for reason in block.reasons if reason not in NOT_RUN]
        if unknown:
            problems.append(f"{block.location}: {unknown} are not among the reasons {NOT_RUN}")
        if block.reasons and block.language not in RUNNABLE:
            problems.append(f"{block.location}: a block of {block.language or 'no language'} is never run; no marker")
        if block.language == "sh" and not block.reasons and ENDLESS.search(block.text):
            problems.append(f"{block.location}: a server runs without end; the block needs a marker")
        if block.language in ("bash", "shell", "py", "pycon"):
            problems.append(f"{block.location}: the language is one of {RUNNABLE}")
        if not block.language and block.text.startswith(PROMPT):
            problems.append(f"{block.location}: commands with their output have the language console")
        if block.language == "console" and not list(console_steps(block)):
            problems.append(f"{block.location}: no line begins with {PROMPT!r}")
    content = document.read_text() if content is None else content
    # another wording or a blank line below would disable the marker
    markers, used = len(re.findall(r"<!--.*\bnot run\b.*-->", content)), sum(bool(block.reasons) for block in blocks)
    if markers != used:
        problems.append(f"{document.name}: {markers - used} markers do not stand directly above a fence")
    return problems


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_are_run_or_marked(document: Path) -> None:
    assert block_problems(document) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<!-- not run: too slow -->\n```sh\nmake demo\n```\n", "not among the reasons"),
        ("<!-- not run: needs a key -->\n\n```sh\nmake help\n```\n", "directly above"),
        ("<!-- Not run: not run -->\n```sh\nmake help\n```\n", "directly above"),
        ("<!-- not run: needs a key -->\n```json\n{}\n```\n", "never run"),
        ("```bash\nmake help\n```\n", "the language is"),
        ("```sh\nmake webapp-localhost-dev\n```\n", "without end"),
        ("```\n$ make demo\n```\n", "language console"),
        ("```console\nmake demo\n```\n", "no line begins"),
    ],
)
def test_a_block_that_is_neither_is_found(content: str, problem: str) -> None:
    (reported,) = block_problems(Path("some.md"), content)
    assert problem in reported


def test_blocks_continue_one_another_at_the_lines_of_the_document() -> None:
    content = "Text.\n```python\nwith open('x') as file:\n    pass\n```\nMore.\n\n```python\n    print(file)\n```\n"
    program = python_program(blocks_of(Path("some.md"), content)).splitlines()
    assert program == ["", "", "with open('x') as file:", "    pass", "", "", "", "", "    print(file)"]


def test_lines_of_a_here_document_are_no_commands(tmp_path: Path) -> None:
    document = tmp_path / "some.md"
    document.write_text("```sh\npython - <<'END'\nframe(1)\nEND\nmake a <<'X'\nb\nX\nrm c\n```\n")
    assert [command.arguments for command in commands_of(document)] == [("python",), ("make", "a"), ("rm", "c")]


def command_problem(command: Command) -> str | None:
    program, *arguments = command.arguments
    name = Path(program).name
    if name == "make":
        return _make_problem(arguments)
    if name == "memicos":
        return _memicos_problem(arguments)
    if name == "python":
        return _python_problem(arguments)
    return None if name in OTHER_PROGRAMS else f"{name} is not among {sorted(OTHER_PROGRAMS)}"


def _make_problem(arguments: list[str]) -> str | None:
    variables = {**os.environ, "UV_FIND_LINKS": ""}
    result = subprocess.run(["make", "-n", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True)
    if result.returncode:
        return result.stderr
    makefile = (ROOT / "Makefile").read_text()
    variable_names = [word.partition("=")[0] for word in arguments if "=" in word]
    unused = [name for name in variable_names if f"$({name}" not in makefile and f"(or $({name})" not in makefile]
    return f"the Makefile has no variable {unused}" if unused else None


def _memicos_problem(arguments: list[str]) -> str | None:
    command: Any = typer.main.get_command(app)
    context = command.make_context("memicos", [], resilient_parsing=True)
    arguments_left = list(arguments)
    while arguments_left and hasattr(command, "get_command") and not arguments_left[0].startswith(("-", "…")):
        found_command = command.get_command(context, arguments_left[0])
        if found_command is None:
            return f"memicos has no command {arguments_left[0]}"
        command = found_command
        arguments_left.pop(0)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    unknown = [word for word in arguments_left if word.startswith("--") and word.partition("=")[0] not in options]
    return f"{command.name} has no option {unknown}" if unknown else None


def _python_problem(arguments: list[str]) -> str | None:
    if not arguments:
        return None  # a program on standard input
    if arguments[0] == "-m":
        return None if importlib.util.find_spec(arguments[1]) else f"no module {arguments[1]}"
    if arguments[0].startswith("-"):
        return None
    script = ROOT / arguments[0]
    if not script.exists():
        return f"no script {arguments[0]}"
    sources = "".join(path.read_text() for path in script.parent.glob("*.py"))
    unknown = [word for word in arguments if word.startswith("--") and f'"{word}"' not in sources]
    return f"{arguments[0]} has no option {unknown}" if unknown else None


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.document.name}:{command.line}")
def test_command_exists(command: Command) -> None:
    assert command_problem(command) is None, " ".join(command.arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("make", "no-such-target"),
        ("make", "fuzz", "NO_SUCH=1"),
        (".venv/bin/memicos", "sae", "subtract"),
        ("memicos", "recompute", "x", "--no-such"),
        ("python", "-m", "memicos_nothing"),
        ("python", "benchmarks/pages.py", "--no-such"),
        ("frobnicate",),
    ],
)
def test_a_command_that_does_not_exist_is_found(arguments: tuple[str, ...]) -> None:
    assert command_problem(Command(Path("some.md"), 1, arguments))
