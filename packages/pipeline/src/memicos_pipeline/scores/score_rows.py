"""Rows of a dataset's scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from memicos_autointerp_core.scorers.interface import NEAR_MISS, Score
from memicos_dataset import manifest as m
from memicos_dataset import read, schema
from memicos_dataset.checks.request_columns import write_parameters

from memicos_pipeline.bulk.model_requests import ModelRequests
from memicos_pipeline.scores.protocol import ScoreProtocol


def score_row(
    explanation: int, score: Score, protocol: ScoreProtocol, requests: ModelRequests | None = None
) -> dict[str, Any]:
    """The row of a score in a dataset.

    Args:
        explanation: number of the row of the explanation.
        requests: None where no language model was asked.
    """
    estimate = score.estimate
    parameters: dict[str, Any] = {
        "active": protocol.active,
        "inactive": protocol.inactive,
        "near_misses": sum(row.text.distance == NEAR_MISS for row in score.breakdown),
        "pool_contexts": protocol.pool_contexts,
    }
    if requests:
        parameters |= requests.parameters
    return {
        **(requests.columns() if requests else {}),
        "parameters": write_parameters(parameters),
        "explanation": explanation,
        "method": score.method,
        "model": score.model,
        "score": estimate.value if estimate else None,
        "score_low": estimate.low if estimate else None,
        "score_high": estimate.high if estimate else None,
        "reason": score.reason,
        "seed": score.seed,
        "around": protocol.around,
        "text_contexts": [row.text.context for row in score.breakdown],
        "text_positions": [row.text.position for row in score.breakdown],
        "text_distances": [row.text.distance for row in score.breakdown],
        "text_answers": [row.probability for row in score.breakdown],
        "text_marked": [list(row.marked) for row in score.breakdown],
        "text_expected": [list(row.expected or ()) for row in score.breakdown],
        "text_failures": [row.failure or "" for row in score.breakdown],
    }


def with_scores(folder: Path, source: m.Source, new: Sequence[dict[str, Any]]) -> pa.Table:
    """The scores of a source with `new` ones, in place of those of the same explanation, method and model.

    Raises:
        DatasetError: the scores of the dataset in `folder` cannot be read.
    """

    def key(row: dict[str, Any]) -> tuple[int, str, str]:
        return row["explanation"], row["method"], row["model"]

    replaced = {key(row) for row in new}
    old = [row for batch in read.score_batches(folder, source) for row in batch.rows.to_pylist()]
    rows = sorted([*(row for row in old if key(row) not in replaced), *new], key=key)
    details = [name for name in schema.SCORED_TEXT_DETAILS if any(any(row.get(name, ())) for row in rows)]
    requests = [name for name in schema.REQUEST_COLUMNS if any(row.get(name) is not None for row in rows)]
    empty = {name: [] for name in details}
    return pa.Table.from_pylist(
        [{**empty, **row} for row in rows], schema=schema.SCORE_TABLE.with_optional([*details, *requests])
    )
