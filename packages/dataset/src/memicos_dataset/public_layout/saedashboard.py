"""SAEDashboard's own output, `batch-<N>.json` with features and their activations, as rows of the public layout.

A file is one JSON object, so that it is in memory as a whole.
"""

import json
from collections.abc import Iterator
from typing import Any

import orjson

from memicos_dataset.errors import DatasetError, LineError
from memicos_dataset.folder import Folder
from memicos_dataset.public_layout.lines import Rejects, Row

FILE_BYTES = 512 << 20
"""Largest file: a batch of 128 features has about 20 MB."""

_FEATURE_NAMES = {
    "feature_index": "index",
    "decoder_cosine_sim_indices": "topkCosSimIndices",
    "decoder_cosine_sim_values": "topkCosSimValues",
}
_ACTIVATION_NAMES = {
    "bin_min": "binMin",
    "bin_max": "binMax",
    "bin_contains": "binContains",
    "qualifying_token_index": "qualifyingTokenIndex",
    "dfa_values": "dfaValues",
    "dfa_maxValue": "dfaMaxValue",
    "dfa_targetIndex": "dfaTargetIndex",
    "loss_values": "lossValues",
    "logit_contributions": "logitContributions",
}
_OF_SOURCE = ("n_prompts_total", "n_tokens_in_prompt", "dataset")
"""Fields of each feature that are the same in a source."""

Entry = tuple[int, Row, list[tuple[str, Row]]]
"""Number of a feature in its file from 1, its row, and places and rows of its activations."""


def entries(folder: Folder, path: str, rejects: Rejects) -> Iterator[Entry]:
    """The features of a file.

    Raises:
        DatasetError: the file cannot be read, is too large or is none of SAEDashboard.
    """
    features = _content(folder, path).get("features")
    if not isinstance(features, list):
        raise DatasetError(folder.locate(path), "has no list `features`; is it a file of SAEDashboard?")
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict):
            rejects.add(LineError(folder.locate(path), number, "features", "is not a JSON object"))
            continue
        activations = feature.get("activations") or []
        row = _renamed(feature, _FEATURE_NAMES, left_out=("activations", *_OF_SOURCE))
        rows = []
        for location, activation in enumerate(activations if isinstance(activations, list) else []):
            if not isinstance(activation, dict):
                rejects.add(LineError(folder.locate(path), number, f"activations.{location}", "is not a JSON object"))
                continue
            rows.append(
                (f"activations.{location}.", _renamed(activation, _ACTIVATION_NAMES) | {"index": row.get("index")})
            )
        yield number, row, rows


def source_row(folder: Folder, path: str) -> Row:
    """What the first file says of its source, as fields of `source.jsonl` and ids: `modelId`, `id`, `setName`."""
    content = _content(folder, path)
    features = content.get("features")
    first = features[0] if isinstance(features, list) and features and isinstance(features[0], dict) else {}
    set_id, layer, suffix = content.get("sae_set"), content.get("layer"), content.get("sae_id_suffix")
    row: Row = {"modelId": content.get("model_id"), "setName": set_id}
    if layer is not None and set_id:
        row["id"] = f"{layer}-{set_id}" + (f"__{suffix}" if suffix else "")
    row |= {
        "num_prompts": first.get("n_prompts_total"),
        "num_tokens_in_prompt": first.get("n_tokens_in_prompt"),
        "dataset": first.get("dataset"),
    }
    return {name: value for name, value in row.items() if value is not None}


def _content(folder: Folder, path: str) -> dict[str, Any]:
    location = folder.locate(path)
    try:
        with folder.open(path) as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise DatasetError(location, f"cannot be read ({error})") from error
    if len(content) > FILE_BYTES:
        raise DatasetError(location, f"is larger than {FILE_BYTES} bytes; generate with fewer features in a batch")
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        # NaN is no JSON, and Python writes it
        try:
            parsed = json.loads(content)
        except (ValueError, RecursionError):
            raise DatasetError(location, f"is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise DatasetError(location, "is not a JSON object")
    return parsed


def _renamed(row: dict[str, Any], names: dict[str, str], left_out: tuple[str, ...] = ()) -> Row:
    return {names.get(name, name): value for name, value in row.items() if name not in left_out}
