"""docs/configuration.md: a table of each service's settings, written from its settings class.

python scripts/configuration.py write    write the tables, and the list of names that services know
python scripts/configuration.py check    fail if either differs from the settings classes
"""

import sys
import types
import typing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import memicos_autointerp.settings
import memicos_inference.settings
import memicos_service
import memicos_webapp.settings
from contracts import differences
from memicos_service.variable_names import KNOWN_NAMES_FILE, field_variables
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "configuration.md"
NAMES = Path(memicos_service.__file__).parent / KNOWN_NAMES_FILE
SERVICES: dict[str, type[BaseSettings]] = {
    "webapp": memicos_webapp.settings.Settings,
    "inference": memicos_inference.settings.Settings,
    "autointerp": memicos_autointerp.settings.Settings,
}
COMMAND_NAMES = {"MEMICOS_API_KEY"}
"""Variables that only commands read: `memicos upload`."""
UNITS = {
    "SECONDS": "seconds",
    "BYTES": "bytes",
    "CHARACTERS": "characters",
    "TOKENS": "tokens",
    "SHARE": "share of 1",
    "DAYS": "days",
    "HOURS": "hours",
}
"""Units by the last word of a variable's name."""
NUMBER_TYPES = {int: "whole number", float: "number"}
OTHER_TYPES = {str: "text", bool: "0 or 1", SecretStr: "secret text", Path: "path"}
BOUNDS = (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))
BINARY_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"))


def type_text(name: str, field: FieldInfo) -> str:
    """Type, unit and range of a setting, as text."""
    annotation = _without_optional(field.annotation)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(_code(value) if value else "empty" for value in get_args(annotation))
    if get_origin(annotation) in (tuple, list, dict):
        return "JSON list of texts" if get_args(annotation) == (str, ...) else "JSON"
    if annotation in OTHER_TYPES:
        return OTHER_TYPES[annotation]
    if annotation not in NUMBER_TYPES:
        raise TypeError(f"{name}: scripts/configuration.py has no text for the type {annotation}")
    unit = UNITS.get(name.rpartition("_")[2])
    kind = NUMBER_TYPES[annotation]
    bounds = [
        f"{relation} {getattr(constraint, key):g}"
        for key, relation in BOUNDS
        for constraint in field.metadata
        if hasattr(constraint, key)
    ]
    return ", ".join([f"{kind} of {unit}" if unit and annotation is int else unit or kind, *bounds])


def _without_optional(annotation: Any) -> Any:
    """`T` of `T | None`, and the first argument of Annotated."""
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is typing.Union:
        (annotation,) = (part for part in get_args(annotation) if part is not type(None))
    return _without_optional(get_args(annotation)[0]) if get_origin(annotation) is typing.Annotated else annotation


def default_text(field: FieldInfo) -> str:
    default = field.default
    if default is None or default == "":
        return "unset"
    if isinstance(default, bool):
        return "1" if default else "0"
    if isinstance(default, tuple):
        return _code("[" + ", ".join(f'"{item}"' for item in default) + "]")
    if isinstance(default, int | float):
        text = str(default) if isinstance(default, int) else f"{default:g}"
        sizes = (f" ({default // unit} {name})" for unit, name in BINARY_UNITS if default and default % unit == 0)
        return text + next(sizes, "")
    return _code(default)


def _code(value: object) -> str:
    return f"`{value}`"


def table(settings: type[BaseSettings]) -> str:
    rows = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    # the service's own settings before those that all services have
    for field_name, field in sorted(
        settings.model_fields.items(), key=lambda item: item[0] not in vars(settings)["__annotations__"]
    ):
        if not field.description:
            raise TypeError(f"{settings.__module__}: the setting {field_name} has no description")
        documented, *others = field_variables(settings, field_name)
        name = f"`{documented}`" + "".join(f" (or `{other}`)" for other in others)
        cells = [name, type_text(documented, field), default_text(field), field.description]
        rows.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def document_text(text: str) -> str:
    """The document with tables of the current settings classes.

    Raises:
        ValueError: it lacks the marks around a table.
    """
    for service, settings in SERVICES.items():
        begin, end = f"<!-- settings of {service}: begin -->", f"<!-- settings of {service}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{DOCUMENT.name} needs one {begin} and one {end}")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table(settings)}\n{end}{rest.partition(end)[2]}"
    return text


def names_text() -> str:
    names = {
        name
        for settings in SERVICES.values()
        for field in settings.model_fields
        for name in field_variables(settings, field)
    }
    return "".join(f"{name}\n" for name in sorted(names | COMMAND_NAMES))


def main() -> int:
    if sys.argv[1:] not in (["write"], ["check"]):
        print(__doc__)
        return 2
    current = {DOCUMENT: document_text(DOCUMENT.read_text(encoding="utf-8")), NAMES: names_text()}
    stale = 0
    for file, text in current.items():
        committed = file.read_text(encoding="utf-8") if file.exists() else ""
        if committed == text:
            continue
        if sys.argv[1] == "write":
            file.write_text(text, encoding="utf-8")
        else:
            print(*differences(str(file.relative_to(ROOT)), committed, text), sep="\n")
            print("update it with `make configuration`")
            stale += 1
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
