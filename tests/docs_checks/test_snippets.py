"""Python in the documents parses, and uses only names that it defines or imports, from modules that exist."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    document
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in document.read_text()
]


def python_of(document: Path) -> str:
    """All Python of a document as one program: later snippets use names of earlier ones."""
    return "".join(re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_are_defined(document: Path) -> None:
    command = [str(Path(sys.executable).parent / "ruff"), "check", "--isolated", "--select", "E9,F821", "-"]
    result = subprocess.run(command, input=python_of(document), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_imports_exist(document: Path) -> None:
    imports = [
        node for node in ast.walk(ast.parse(python_of(document))) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    program = "\n".join(map(ast.unparse, imports))
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
