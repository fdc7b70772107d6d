"""Fenced blocks and commands of README.md and docs/*.md.

A block of Python, sh or console is run by a test (tests/e2e/test_document_snippets.py), or a comment directly above
its fence names one or more of NOT_RUN, separated by commas:

    <!-- not run: needs the hub -->
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[4]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = (
    "needs the hub",
    "needs a key",
    "needs a GPU",
    "needs docker",
    "needs an administrator",
    "needs macOS",
    "needs Windows",
    "needs a network",
    "runs without end",
    "takes an hour",
    "runs this test",
)
"""The accepted reasons for not running a block."""

RUNNABLE = ("python", "sh", "console")
PROMPT = "$ "
"""Prefix of a command in a console block; the lines after it are its output."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)$")
_MARKER = re.compile(r"^ *<!-- not run: (?P<reasons>.+) -->$")
_CODE_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HERE_DOCUMENT = re.compile(r" *(?:- )?<<'(?P<end>\w+)'\n.*?^(?P=end)\n", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is the line of its fence, from 1; `text` is without the fence's indentation."""

    document: Path
    line: int
    language: str
    text: str
    reasons: tuple[str, ...]
    """Why it is not run; empty if it is."""
    output: "Block | None" = None
    """The block that directly follows it, if that is `json` or `text`: its output."""

    @property
    def location(self) -> str:
        """Such as `api.md:22`."""
        return f"{self.document.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command that a document names: words without assignments in front, comments and redirections."""

    document: Path
    line: int
    arguments: tuple[str, ...]


def blocks_of(document: Path, content: str | None = None) -> list[Block]:
    """The blocks of a document in order; `content` replaces what the file holds.

    Raises:
        ValueError: a fence is not closed.
    """
    lines = (document.read_text() if content is None else content).splitlines()
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        indent = fence["indent"]
        end = at + 1
        while end < len(lines) and lines[end] != f"{indent}```":
            end += 1
        if end == len(lines):
            raise ValueError(f"{document.name}:{at + 1}: the fence is not closed")
        text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[at + 1 : end])
        marker = _MARKER.match(lines[at - 1]) if at else None
        reasons = tuple(reason.strip() for reason in marker["reasons"].split(",")) if marker else ()
        block = Block(document, at + 1, fence["language"], text, reasons)
        if block.language in ("json", "text") and at and lines[at - 1].strip() == "```" and blocks:
            blocks[-1] = Block(**{**vars(blocks[-1]), "output": block})
        blocks.append(block)
        at = end + 1
    return blocks


def python_program(blocks: list[Block]) -> str:
    """The Python blocks of one document as one program whose line numbers are the document's."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n"


def console_steps(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that the document states."""
    for step in re.split(rf"^{re.escape(PROMPT)}", block.text, flags=re.M)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


def code_spans(document: Path, content: str | None = None) -> Iterator[tuple[int, str]]:
    """Code in running text and tables, with its line."""
    fenced = False
    for number, line in enumerate((document.read_text() if content is None else content).splitlines(), 1):
        if _FENCE.match(line) or line.strip() == "```":
            fenced = not fenced
        elif not fenced:
            yield from ((number, span) for span in _CODE_SPAN.findall(line))


def commands_of(document: Path) -> Iterator[Command]:
    """Commands in sh and console blocks, whether they are run or not, and in the text's code."""
    for block in blocks_of(document):
        if block.language == "sh":
            yield from _commands(document, block.line, block.text)
        elif block.language == "console":
            for command, _ in console_steps(block):
                yield from _commands(document, block.line, command)
    for line, span in code_spans(document):
        if re.match(r"(?:[A-Z_]+=\S* )*(?:\S*/)?(?:make|memicos|curl|python) ", span):
            yield from _commands(document, line, span)


def _commands(document: Path, line: int, text: str) -> Iterator[Command]:
    text = _HERE_DOCUMENT.sub("\n", text)
    lexer = shlex.shlex(text.replace("\\\n", " ").replace("\n", "\n; "), posix=True, punctuation_chars=";|&<>()")
    lexer.whitespace_split = True
    arguments: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";|&()"):
            while arguments and _ASSIGNMENT.match(arguments[0]):
                arguments.pop(0)
            if arguments:
                yield Command(document, line, tuple(arguments))
            arguments = []
        else:
            arguments.append(word)
