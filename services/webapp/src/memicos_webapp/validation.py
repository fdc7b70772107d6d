"""Pydantic's errors as messages: `n_tokens must be 1 or more; features must not be empty.`"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

MOST = 3
"""Errors that one answer names."""

Words = str | Callable[[dict[str, Any]], str]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _entries(one: str) -> Words:
    """For bounds of a length in `one`, such as `entry`."""

    def words(context: dict[str, Any]) -> str:
        many = one.removesuffix("y") + "ies" if one.endswith("y") else f"{one}s"
        if "max_length" in context:
            return f"must have at most {context['max_length']} {many}"
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have {least} {many} or more"

    return words


WORDS: dict[str, Words] = {
    "missing": "is missing",
    "value_error": lambda context: str(context["error"]),
    "string_type": "must be a string",
    "string_unicode": "must be a string",
    "string_too_short": _entries("character"),
    "string_too_long": _entries("character"),
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
    "literal_error": lambda context: f"must be {context['expected']}",
    "list_type": "must be a list",
    "too_short": _entries("entry"),
    "too_long": _entries("entry"),
    "dict_type": "must be an object, {…}",
    "model_type": "must be an object, {…}",
    "model_attributes_type": "must be an object, {…}",
    "json_invalid": "is not valid JSON",
    "json_type": "must be JSON",
}
"""What is wrong, by pydantic's type of error; it follows the field's name."""

FORM_NAMES = {
    "density_from": "“Density from”",
    "density_to": "“Density to”",
    "max_from": "“Max activation from”",
    "max_to": "“Max activation to”",
    "maxDensity": "“Activation density”",
    "sort": "“Sort by”",
    "order": "“Order”",
    "show": "“Show”",
    "words": "“Explanation”",
}
"""Labels of the fields of pages' forms."""

FORM_CHOICES = {
    "show": {"live": "Alive", "all": "All"},
    "sort": {"index": "Index", "density": "Activation density", "max": "Max activation"},
    "order": {"asc": "Ascending", "desc": "Descending"},
}
"""Choices of the lists in pages' forms: value in the address -> label on the page."""


def _finite(value: object) -> bool:
    """False for what a limit can't be held against, such as NaN."""
    try:
        return not isinstance(value, float | str) or math.isfinite(float(value))
    except ValueError:
        return True


def _problem(error: Any) -> str:
    if not _finite(error.get("input")):
        return "must be a finite number"
    words = WORDS.get(error["type"], str(error["msg"]))
    return words if isinstance(words, str) else words(error.get("ctx", {}))


def _sentence(error: Any, names: Mapping[str, str], choices: Mapping[str, Mapping[str, str]]) -> str:
    # FastAPI puts first which part of the request the field is in
    part, *place = error["loc"] if error["loc"][:1] in (("body",), ("query",), ("path",)) else ("", *error["loc"])
    # a value_error is about several fields of a body, and its message names them
    if not place and part == "body" and error["type"] != "value_error":
        return "The body must be a JSON object, {…}, sent with the header Content-Type: application/json"
    where = ".".join(map(str, place))
    if error["type"] == "literal_error" and where in choices:
        *first, last = [f"{label} ({value})" for value, label in choices[where].items()]
        problem = f"must be {', '.join(first)} or {last}"
    else:
        problem = _problem(error)
    return f"{names.get(where, where)} {problem}".strip()


def describe(
    errors: Sequence[Any],
    names: Mapping[str, str] = MappingProxyType({}),
    choices: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """The first few of pydantic's errors as a sentence.

    `names` has the labels of fields, and `choices` of their values, as the user sees them.
    """
    return "; ".join(_sentence(error, names, choices) for error in errors[:MOST]) + "."


def _texts(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError as error:
        # one error in place of one for each branch of the union
        raise ValueError("must be a string or a list of strings") from error


Texts = Annotated[str | list[str], WrapValidator(_texts)]
"""One text or several."""
