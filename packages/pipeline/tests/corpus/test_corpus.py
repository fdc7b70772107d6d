"""Reading a corpus file: what is accepted, and that an error names line and field."""

import json
import sys
from pathlib import Path

import pytest
from memicos_pipeline.corpus.texts import CorpusError, Document, read_documents, read_texts

ROW = {"title": "t", "collection": "c", "text": "some text"}


def write(path: Path, *lines: bytes, end: bytes = b"\n") -> Path:
    path.write_bytes(b"".join(line + end for line in lines))
    return path


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b"\xef\xbb\xbf", b""), (b"", b"\n"), (b"", b" \r\n\n\t\n")])
def test_a_byte_order_mark_and_blank_last_lines_are_accepted(
    tmp_path: Path, before: bytes, after: bytes, end: bytes
) -> None:
    texts = ["first", "caf\u00e9 \u4eca\u65e5 \U0001f600", "a\u2028b\u0085c"]
    lines = [json.dumps(ROW | {"text": text}, ensure_ascii=False).encode() for text in texts]
    file = write(tmp_path / "corpus.jsonl", *lines, end=end)
    file.write_bytes(before + file.read_bytes() + after)
    assert list(read_documents(file)) == [Document("t", "c", text) for text in texts]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps(ROW | {"text": None}), ":2: text is null; expected a string"),
        (json.dumps(ROW | {"text": 7}), ":2: text is 7; expected a string"),
        (json.dumps(ROW | {"text": ["a"]}), r':2: text is \["a"\]; expected a string'),
        (json.dumps(ROW | {"title": False}), ":2: title is false; expected a string"),
        (json.dumps(ROW | {"collection": 1.5}), ":2: collection is 1.5; expected a string"),
        (json.dumps(ROW | {"text": "ab\ud83d"}), r":2: text has an unpaired surrogate, \\ud83d, at character 2"),
        (json.dumps(ROW | {"text": "\ude00 b"}), r":2: text has an unpaired surrogate, \\ude00, at character 0"),
        (json.dumps({"title": "t", "text": "x"}), ":2: collection is missing"),
        ("[1]", ":2: expected an object"),
        ('{"title": ', ":2: expected title, collection and text as JSON"),
        ("", ":2: expected title, collection and text as JSON"),
    ],
)
def test_an_error_names_the_line_and_the_field(tmp_path: Path, line: str, message: str) -> None:
    row = json.dumps(ROW).encode()
    with pytest.raises(CorpusError, match=message):
        list(read_documents(write(tmp_path / "corpus.jsonl", row, line.encode(), row)))


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"text": ', "}")])
def test_json_of_any_depth_is_named_with_its_line(tmp_path: Path, begin: str, end: str) -> None:
    """Also of depths that the parser reads and that a message would have to write again."""
    limit = sys.getrecursionlimit()
    for depth in (2, *range(limit - 80, limit + 2, 3), 100_000):
        nested = begin * depth + "0" + end * depth
        line = json.dumps(ROW | {"text": 0}).replace("0", nested).encode()
        file = write(tmp_path / "corpus.jsonl", json.dumps(ROW).encode(), line)
        for documents in (read_documents(file), read_texts(file, "c")):
            with pytest.raises(CorpusError, match=r"corpus\.jsonl:2: (text is |expected )") as error:
                list(documents)
            assert len(str(error.value)) < len(str(file)) + 250


def test_a_file_that_is_not_utf_8_or_empty_is_an_error(tmp_path: Path) -> None:
    row = json.dumps(ROW).encode()
    with pytest.raises(CorpusError, match=r":2: expected title, collection and text as JSON .*utf-8"):
        list(read_documents(write(tmp_path / "latin.jsonl", row, row.replace(b"some", b"caf\xe9"))))
    for content in (b"", b"\xef\xbb\xbf\n\n"):
        (tmp_path / "empty.jsonl").write_bytes(content)
        with pytest.raises(CorpusError, match="no documents"):
            list(read_documents(tmp_path / "empty.jsonl"))
