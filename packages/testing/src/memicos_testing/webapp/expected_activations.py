"""Activations of the small dataset's features on one text, computed without the webapp."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from memicos_testing.fake_inference_server import FEATURES, tokens_of, value_of

TEXT = "the whale rose from the sea"


TOKENS = tokens_of(TEXT)


SOURCES = ("1-res", "2-res", "3-res")


def largest_activations(dataset: Path) -> dict[tuple[str, int], float]:
    """The largest activation of each feature in the dataset's files."""
    columns = ["index", "max_activation"]
    return {
        (source, row["index"]): row["max_activation"]
        for source in SOURCES
        for row in pq.read_table(dataset / source / "features-00000.parquet", columns=columns).to_pylist()
    }


def shares(dataset: Path, by: Any) -> list[tuple[float, str, str]]:
    """(share, source, index) of every feature with a positive share, largest first, by the fake server's arithmetic."""
    computed = [
        (by(values(source, index)) / largest, source, str(index))
        for (source, index), largest in largest_activations(dataset).items()
        if largest > 0
    ]
    return sorted((item for item in computed if item[0] > 0), key=lambda item: (-item[0], item[1], int(item[2])))


def values(source: str, index: int) -> list[float]:
    return [value_of(source, index, token) for token in TOKENS]


def ranked(sources: tuple[str, ...], by: Any) -> list[float]:
    """Positive ranking scores of all features, largest first, by the fake server's arithmetic."""
    scores = [by(values(source, index)) for source in sources for index in range(FEATURES)]
    return sorted((score for score in scores if score > 0), reverse=True)
