"""Pydantic's errors as messages: `n_tokens must be 1 or more; features must not be empty.`"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

MAX_ERRORS = 3
"""Errors named in one message."""

Message = str | Callable[[dict[str, Any]], str]
"""A message, or a function that makes it from the context of pydantic's error."""


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _length_message(unit: str) -> Message:
    """The message for bounds of a length in `unit`, such as `entry`."""

    def message(context: dict[str, Any]) -> str:
        plural = unit.removesuffix("y") + "ies" if unit.endswith("y") else f"{unit}s"
        if "max_length" in context:
            return f"must have at most {context['max_length']} {plural}"
        minimum = context["min_length"]
        return "must not be empty" if minimum == 1 else f"must have {minimum} {plural} or more"

    return message


MESSAGES: dict[str, Message] = {
    "missing": "is missing",
    "value_error": lambda context: str(context["error"]),
    "string_type": "must be a string",
    "string_unicode": "must be a string",
    "string_too_short": _length_message("character"),
    "string_too_long": _length_message("character"),
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": lambda context: f"must be more than {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"must be {_number(context['ge'])} or more",
    "less_than": lambda context: f"must be less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"must be {_number(context['le'])} or less",
    "enum": lambda context: f"must be {context['expected']}",
    "literal_error": lambda context: f"must be {context['expected']}",
    "list_type": "must be a list",
    "too_short": _length_message("entry"),
    "too_long": _length_message("entry"),
    "dict_type": "must be an object, {…}",
    "model_type": "must be an object, {…}",
    "model_attributes_type": "must be an object, {…}",
    "json_invalid": "is not valid JSON",
    "json_type": "must be JSON",
}
"""Messages by pydantic's type of error; each follows the field's name."""

FORM_NAMES = {
    "density_from": "“Density from”",
    "density_to": "“Density to”",
    "max_from": "“Max activation from”",
    "max_to": "“Max activation to”",
    "score_from": "“Score from”",
    "score_to": "“Score to”",
    "maxDensity": "“Activation density”",
    "sort": "“Sort by”",
    "order": "“Order”",
    "show": "“Show”",
    "words": "“Explanation”",
}
"""Labels of the fields of pages' forms."""

FORM_CHOICES = {
    "show": {"live": "Alive", "all": "All"},
    "sort": {"index": "Index", "density": "Activation density", "max": "Max activation", "score": "Score"},
    "order": {"asc": "Ascending", "desc": "Descending"},
}
"""Choices of the lists in pages' forms: value in the address -> label on the page."""


def _finite(value: object) -> bool:
    """Whether a number can be compared with a limit; NaN and infinities cannot."""
    try:
        return not isinstance(value, float | str) or math.isfinite(float(value))
    except ValueError:
        return True


def _problem(error: Any) -> str:
    if not _finite(error.get("input")):
        return "must be a finite number"
    message = MESSAGES.get(error["type"], str(error["msg"]))
    return message if isinstance(message, str) else message(error.get("ctx", {}))


def _sentence(error: Any, names: Mapping[str, str], choices: Mapping[str, Mapping[str, str]]) -> str:
    # FastAPI's location begins with the part of the request
    part, *path = error["loc"] if error["loc"][:1] in (("body",), ("query",), ("path",)) else ("", *error["loc"])
    # a value_error is about several fields of a body, and its message names them
    if not path and part == "body" and error["type"] != "value_error":
        return "The body must be a JSON object, {…}, sent with the header Content-Type: application/json"
    name = ".".join(map(str, path))
    if error["type"] == "literal_error" and name in choices:
        *first, last = [f"{label} ({value})" for value, label in choices[name].items()]
        problem = f"must be {', '.join(first)} or {last}"
    else:
        problem = _problem(error)
    return f"{names.get(name, name)} {problem}".strip()


def describe(
    errors: Sequence[Any],
    names: Mapping[str, str] = MappingProxyType({}),
    choices: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """The first few of pydantic's errors as a sentence.

    `names` has the labels of fields, and `choices` of their values, as the user sees them.
    """
    return "; ".join(_sentence(error, names, choices) for error in errors[:MAX_ERRORS]) + "."


def _texts(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError as error:
        # one error in place of one for each branch of the union
        raise ValueError("must be a string or a list of strings") from error


_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def read_number(text: str) -> float | None:
    """The number in a text of the digits 0 to 9, such as `-1.5` or `1e3`; None where it has another form.

    `float` also takes underscores, digits of other scripts, and words such as `nan`. A number that is too large is
    infinite.
    """
    return float(text) if _DECIMAL.fullmatch(text.strip()) else None


OptionalTexts = Annotated[str | list[str] | None, WrapValidator(_texts)]
"""One text or several, or none."""


def check_number(value: object) -> object:
    """For fields that are a whole number or a string of digits, before Pydantic reads them: it takes true for 1.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a number, or a string of the digits 0 to 9")
    return value
