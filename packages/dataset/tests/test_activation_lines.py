"""Groups of activation lines have the columns of their rows, read one by one."""

import json
import random
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from memicos_dataset.public_layout import activation_lines
from memicos_dataset.public_layout.activation_lines import ContextTexts, read_lines
from memicos_dataset.public_layout.activations import ActivationChunk, examples_table
from memicos_dataset.public_layout.corpus import CorpusBuilder
from memicos_dataset.public_layout.lines import parse

SOURCE = "3-res"
STRINGS = ["<bos>", " the", "\u00e9", "\U0001f433", "", '"]', "\\", "\0", "\n", " a", "\u2028"]
Row = dict[str, Any]
Group = list[tuple[int, bytes]]


def row(rng: random.Random, ids: bool = False) -> Row:
    chosen = [rng.randrange(len(STRINGS)) for _ in range(rng.randint(1, 9))]
    values = [rng.choice([0, 0, 0.5, 1e-7, 3, rng.uniform(0, 9)]) for _ in chosen]
    made: Row = {"index": "7", "layer": SOURCE, "tokens": [STRINGS[i] for i in chosen], "values": values}
    return made | ({"tokenIds": [50 - i for i in chosen]} if ids else {})


def full(rng: random.Random) -> Row:
    """A row with every field that published rows have."""
    made = row(rng)
    size = len(made["tokens"])
    return made | {
        "id": "c1",
        "modelId": "m",
        "creatorId": "u",
        "createdAt": "2025-01-01T00:00:00.000Z",
        "maxValue": max(made["values"]),
        "minValue": 0,
        "maxValueTokenIndex": rng.randrange(size),
        "qualifyingTokenIndex": rng.choice([None, rng.randrange(size)]),
        "dataIndex": rng.choice([None, "12"]),
        "dataSource": rng.choice([None, "", "Neuronpedia \u00e9"]),
        "lossValues": [],
        "logitContributions": None,
        "zIndices": rng.choice([None, []]),
        "zValues": None,
        "dfaValues": rng.choice([[], None, [rng.uniform(-1, 1) for _ in range(size)]]),
        "dfaMaxValue": 0.5,
        "dfaTargetIndex": rng.choice([None, rng.randrange(size)]),
        **rng.choice(
            [
                {"binMin": -1, "binMax": 9.5, "binContains": -1},
                {"binMin": 0.0, "binMax": 2.125, "binContains": 0.75},
                {"binMin": 2, "binMax": 4, "binContains": None},
                {"binMin": None, "binMax": None, "binContains": None},
                {},
            ]
        ),
    }


def content_of(corpus: CorpusBuilder) -> dict[str, Any]:
    return vars(corpus) | {"_numbers": corpus.contexts}


def content_of_table(table: pa.Table) -> list[str]:
    """Schema and rows; NaN equals itself."""
    return [str(table.schema), *map(repr, table.to_pylist())]


def one_by_one(group: Group, corpus: CorpusBuilder) -> ActivationChunk:
    chunk = ActivationChunk(SOURCE, corpus)
    for number, line in group:
        chunk.add(number, parse(line))
    return chunk


def without_bad_rows(group: Group, corpus: CorpusBuilder) -> list[str]:
    """The table of the rows that can be stored, read one by one."""
    chunk = ActivationChunk(SOURCE, corpus)
    for number, line in group:
        with suppress(ValueError, RecursionError):
            chunk.add(number, parse(line))
    return content_of_table(examples_table(chunk.columns(), corpus, lambda *_: None)) if len(chunk) else []


def no_reject(*problem: object) -> None:
    raise AssertionError(problem)


def check(groups: list[Group]) -> None:
    """Each group is read at once, and gives the examples, contexts and tokens of its rows."""
    at_once, by_rows = CorpusBuilder(), CorpusBuilder()
    texts = ContextTexts(at_once)
    for group in groups:
        columns = read_lines(group, SOURCE, texts)
        assert columns is not None
        expected = examples_table(one_by_one(group, by_rows).columns(), by_rows, no_reject)
        assert content_of_table(examples_table(columns, at_once, no_reject)) == content_of_table(expected)
        assert content_of(at_once) == content_of(by_rows)


def lines(rows: list[Row], dumps: Callable[[Row], str] = json.dumps) -> Group:
    return [(number, dumps(row).encode()) for number, row in enumerate(rows, 5)]


@pytest.mark.parametrize("ids", [False, True])
def test_groups_have_the_columns_of_their_rows(ids: bool) -> None:
    rng = random.Random(0)
    check([lines([row(rng, ids) for _ in range(rng.randint(1, 40))]) for _ in range(6)])


def test_every_field_of_published_rows_is_read() -> None:
    rng = random.Random(1)
    check([lines([full(rng) for _ in range(30)]) for _ in range(6)])


def test_an_index_that_is_a_number() -> None:
    rng = random.Random(2)
    check([lines([row(rng) | {"index": number} for number in (0, 3, 2**31 - 1)])])


def test_lists_in_any_order() -> None:
    rng = random.Random(3)
    rows = [row(rng, ids=True) for _ in range(30)]
    check([lines([dict(reversed(own.items())) for own in rows])])


def test_other_ways_to_write_json() -> None:
    rng = random.Random(4)
    rows = [row(rng) for _ in range(30)]
    compact = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    check([lines(rows), lines(rows, compact), lines(rows, partial(json.dumps, sort_keys=True))])


def test_texts_are_forgotten_when_they_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_lines, "KNOWN_BYTES", 200)
    rng = random.Random(5)
    check([lines([row(rng, ids=True) for _ in range(30)]) for _ in range(3)])


def test_known_contexts_need_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_lines, "KNOWN_BYTES", 1 << 20)
    texts = ContextTexts(CorpusBuilder())
    tracemalloc.start()
    try:
        for first in range(0, 20_000, 500):
            short = [{"index": 1, "tokens": [str(number)], "values": [1]} for number in range(first, first + 500)]
            assert read_lines(lines(short), SOURCE, texts) is not None
        own = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, activation_lines.__file__)])
    finally:
        tracemalloc.stop()
    assert sum(trace.size for trace in own.traces) < 1.5 * (1 << 20)


def test_tokens_that_look_like_the_end_of_a_list() -> None:
    rows = [{"index": 1, "tokens": ["]"] * count + ['"]', "a"], "values": [1] * (count + 2)} for count in (0, 3, 9)]
    check([lines(rows)])
    # too many of them are read row by row
    rows = [{"index": 1, "tokens": ["]"] * 99, "values": [1] * 99}]
    assert read_lines(lines(rows), SOURCE, ContextTexts(CorpusBuilder())) is None


RAW = {
    "two rows in a line": b'{"index":1,"tokens":["a"],"values":[1]}{"index":2,"tokens":["a"],"values":[1]}',
    "no object": b"[1]",
    "an object in a list": b'[{"index":1,"tokens":["a"],"values":[1]}]',
    "cut": b'{"index":1,"tokens":["a"],"val',
    "cut in a list": b'{"index":1,"tokens":["a"],"values":[1',
    "NaN": b'{"index":1,"tokens":["a"],"values":[NaN]}',
    "NaN in an interval": b'{"index":1,"tokens":["a"],"values":[1],"binMin":NaN,"binMax":1,"binContains":0.5}',
    "half of a pair": b'{"index":1,"tokens":["\\udc00"],"values":[1]}',
    "half of a pair in a kept field": b'{"index":1,"tokens":["a"],"values":[1],"dataSource":"\\ud800"}',
    "not UTF-8": b'{"index":1,"tokens":["\xff"],"values":[1]}',
    "not UTF-8 elsewhere": b'{"index":1,"tokens":["a"],"values":[1],"id":"\xff"}',
    "a field twice": b'{"index":1,"index":2,"tokens":["a"],"values":[1]}',
    "tokens twice": b'{"index":1,"tokens":["a"],"tokens":["b"],"values":[1]}',
    "values twice": b'{"index":1,"tokens":["a"],"values":[1],"values":[2]}',
    "lists of an object": b'{"index":1,"new":{"tokens":["a"],"values":[1]}}',
    "lists of an object first": b'{"index":1,"new":{"tokens":["x"],"values":[7]},"tokens":["a"],"values":[1]}',
    "a name in a text": b'{"index":1,"id":"\\"tokens\\":[\\"x\\"]","tokens":["a"],"values":[1]}',
    "a name in a token": b'{"index":1,"tokens":["a","\\"values\\":[9]"],"values":[1,2]}',
    "a nested list": b'{"index":1,"tokens":["a"],"values":[[1]]}',
    "other white space": b'{"index":1,"tokens" : [ "a" ],"values":\t[ 1 ]}',
    "an empty list": b'{"index":1,"tokens":["a"],"values":[]}',
    "numbers of another form": b'{"index":1,"tokens":["a","b"],"values":[01,+1]}',
    "a large whole number": b'{"index":1,"tokens":["a","b"],"values":[1,123456789012345678901234567890]}',
    "a NUL byte": b'{"index":1,"tokens":["a"],"values":[1]}\0',
    "nested": b'{"index":1,"tokens":["a"],"values":[1],"new":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested tokens": b'{"index":1,"tokens":' + b"[" * 100_000 + b"]" * 100_000 + b',"values":[1]}',
    "nested values": b'{"index":1,"tokens":["a"],"values":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
ODD: list[Row] = [
    {"index": "-1"}, {"index": "\u0663"}, {"index": " 7"}, {"index": "7.0"}, {"index": None}, {"index": True},
    {"index": 2**31}, {"index": 1.5}, {"layer": "4-res"}, {"layer": 3}, {"tokens": []}, {"tokens": None},
    {"tokens": ["a", None]}, {"tokens": ["a", 1]}, {"tokens": "ab"}, {"tokens": [["a"], ["b"]]}, {"values": [1]},
    {"values": [1, None]}, {"values": [1, "2"]}, {"values": [1, True]}, {"values": None}, {"values": [1, 1e39]},
    {"values": [1, 10**400]}, {"tokenIds": [1]}, {"tokenIds": [1, -1]}, {"tokenIds": [1, 2.5]},
    {"tokenIds": [1, 2**31]}, {"tokenIds": [5, 5]}, {"maxValueTokenIndex": 2}, {"maxValueTokenIndex": -1},
    {"maxValueTokenIndex": 1.0}, {"maxValueTokenIndex": "1"}, {"qualifyingTokenIndex": 2},
    {"binMin": 2, "binMax": 1, "binContains": 0.5}, {"binMin": 0, "binMax": 1, "binContains": 1.5},
    {"binMin": 0, "binMax": 1e39, "binContains": 0.5}, {"binMin": "0", "binMax": 1}, {"dfaValues": [1]},
    {"dfaValues": [1, None]}, {"dfaValues": [1, 1e39]}, {"dfaValues": [1, 2], "dfaTargetIndex": 2},
    {"dfaValues": [], "dfaTargetIndex": 9}, {"lossValues": [1, 2.0]}, {"zIndices": [[1], [2]]}, {"novel": 1},
    {"novel": None}, {"dataSource": 5}, {"id": 5}, {"maxValue": "large"}, {"dfaValues": {}}, {"zValues": [None]},
]  # fmt: skip


def good(**fields: Any) -> Row:
    return {"index": 1, "layer": SOURCE, "tokens": ["a", "b"], "values": [0, 2], **fields}


GROUPS = {name: [(5, line)] for name, line in RAW.items()} | {
    # with a good row, whose index has the same type
    str(fields): lines([good(index="1" if isinstance(fields.get("index"), str) else 1), good(**fields)])
    for fields in ODD
}
# a row whose ids are those of other strings in the next one
GROUPS["ids of a bad row"] = lines(
    [good(tokenIds=[1, 2], values=[1]), good(tokens=["c", "d"], tokenIds=[1, 2]), good(tokenIds=[3, 4])]
)


@pytest.mark.parametrize("name", GROUPS)
def test_what_the_rows_would_refuse_or_keep_otherwise_is_left_to_them(name: str) -> None:
    """A group with such a row is read at once only where the result is the same; nothing is added otherwise."""
    at_once, by_rows = CorpusBuilder(), CorpusBuilder()
    columns = read_lines(GROUPS[name], SOURCE, ContextTexts(at_once))
    if columns is None:
        assert without_bad_rows(GROUPS[name], at_once) == without_bad_rows(GROUPS[name], by_rows)
        assert content_of(at_once) == content_of(by_rows)
        return
    expected = examples_table(one_by_one(GROUPS[name], by_rows).columns(), by_rows, no_reject)
    assert content_of_table(examples_table(columns, at_once, no_reject)) == content_of_table(expected)
    assert content_of(at_once) == content_of(by_rows)


def test_an_id_with_another_string_is_left_to_the_rows() -> None:
    rng = random.Random(6)
    texts = ContextTexts(CorpusBuilder())
    assert read_lines(lines([row(rng, ids=True) for _ in range(30)]), SOURCE, texts) is not None
    assert read_lines(lines([good(tokens=["other"], tokenIds=[50], values=[1])]), SOURCE, texts) is None
    # and rows without ids where others have them
    assert read_lines(lines([row(rng)]), SOURCE, texts) is None
    assert read_lines(lines([row(rng, ids=True), row(rng)]), SOURCE, texts) is None
    assert read_lines(lines([row(rng), row(rng, ids=True)]), SOURCE, texts) is None
