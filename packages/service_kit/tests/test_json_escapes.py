"""JSON without line breaks in strings, read back by Python's own parser."""

import json

from memicos_service.json_escapes import escape_line_breaks
from pydantic_core import to_json

EVERY_BREAK = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_no_string_breaks_a_line_and_the_value_stays() -> None:
    value = {f"a{EVERY_BREAK}é": [EVERY_BREAK, "今日\u00c2\u0085", "\\u2028"]}
    escaped = escape_line_breaks(to_json(value))
    assert len(to_json(value).decode().splitlines()) > 1
    assert len(escaped.decode().splitlines()) == 1 and json.loads(escaped) == value
