"""`make visibility`: fail if the webapp's code can read stored data without `memicos_webapp.catalog.visibility`.

1. The column `current_load_id` is named in the modules of ALLOWED only, and in `flip` of `datasets/load_states.py`.
2. Every function of a `repository.py` that reads or changes rows over an `AsyncSession` has a parameter whose
   annotation names one of PASSES: a viewer, or a result of that module's statements.
3. `asyncpg`, whose connections read all rows, is imported in the folders of BACKGROUND only, not by requests.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "services" / "webapp" / "src" / "memicos_webapp"

COLUMN = "current_load_id"
ALLOWED = ("catalog/visibility.py", "catalog/models.py", "database/migrations/")
FLIP = ("datasets/load_states.py", "flip")
PASSES = {"Viewer", "ResolvedSource", "SourceInfo", "FeatureCard", "ExplanationRow", "VectorRow"}
BACKGROUND = ("bulk/", "datasets/", "embeddings/", "jobs/", "stored_sources/", "admin/", "database/")
EXCEPTIONS = {
    ("explanation_search/repository.py", "set_planner"): "settings of the transaction",
    ("embeddings/repository.py", "coverage"): "counts for the background embedder, kept between requests",
    ("embeddings/repository.py", "_counts_by_source"): "part of coverage",
}
"""Functions of repositories without a viewer, and why."""
OWN_RULE = ("inference_hosts/", "accounts/", "dataset_uploads/", "provider_keys/")
"""Folders whose tables have no visibility: hosts are the owner's; accounts are read before there is a viewer;
uploads and keys for providers are read by the account that sends them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _names(node: ast.AST) -> set[str]:
    """Names in an annotation, also in one that is a string."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            names |= _names(ast.parse(part.value, mode="eval"))
    return names


def _annotations(function: Function) -> set[str]:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return {name for argument in arguments if argument.annotation for name in _names(argument.annotation)}


def _uses_column(node: ast.AST) -> bool:
    """Whether a node names the column, as an attribute, a name, a keyword or in a text such as SQL."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.keyword(arg=name):
            return name == COLUMN
        case ast.Constant(value=str() as text):
            return COLUMN in text
    return False


def _documentation(tree: ast.Module) -> set[ast.AST]:
    """Strings that are statements: docstrings, which may name the column."""
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _column_problems(name: str, tree: ast.Module) -> Iterator[str]:
    if name.startswith(ALLOWED):
        return
    documentation = _documentation(tree)
    permitted: set[ast.AST] = set()
    for node in tree.body:
        if isinstance(node, Function) and (name, node.name) == FLIP:
            permitted = set(ast.walk(node))
    for node in ast.walk(tree):
        if node not in documentation and node not in permitted and _uses_column(node):
            line = getattr(node, "lineno", 0)
            yield f"{name}:{line}: {COLUMN} is for catalog/visibility.py; start from visible_sources(viewer)"


def _repository_problems(name: str, tree: ast.Module) -> Iterator[str]:
    if Path(name).name != "repository.py" or name.startswith(OWN_RULE):
        return
    for node in ast.walk(tree):
        if not isinstance(node, Function) or (name, node.name) in EXCEPTIONS:
            continue
        annotations = _annotations(node)
        if "AsyncSession" in annotations and not annotations & (PASSES | {"Select"}):
            yield (
                f"{name}:{node.lineno}: {node.name} reads without a viewer; give it a parameter of one of "
                f"{', '.join(sorted(PASSES))}"
            )


def _connection_problems(name: str, tree: ast.Module) -> Iterator[str]:
    if name.startswith(BACKGROUND):
        return
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        if any(module.partition(".")[0] == "asyncpg" for module in modules):
            yield f"{name}:{getattr(node, 'lineno', 0)}: asyncpg is for imports and the background embedder"


def problems(root: Path) -> list[str]:
    """One line for each violation under `root`, with file and line."""
    lines: list[str] = []
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        tree = ast.parse(file.read_text(), file.name)
        for check in (_column_problems, _repository_problems, _connection_problems):
            lines += check(name, tree)
    return lines


def main() -> None:
    if lines := problems(ROOT):
        sys.exit("\n".join(lines))
    sys.stdout.write("Stored data is read through catalog/visibility.py only.\n")


if __name__ == "__main__":
    main()
