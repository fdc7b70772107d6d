"""Feature and explanation rows as columns."""

from typing import Any

import orjson
import pyarrow as pa

from memicos_dataset.public_layout.activations import extra_json
from memicos_dataset.public_layout.corpus import CorpusBuilder
from memicos_dataset.public_layout.lines import Row
from memicos_dataset.public_layout.values import (
    LARGEST_INDEX,
    ValueProblem,
    check_lengths,
    check_source,
    feature_index,
    integers,
    number,
    numbers,
    quoted,
    text,
    texts,
)

UNKNOWN = "unknown"
"""Method of an explanation whose row does not say it."""

NUMBER_LISTS = {
    "positive_logits": "pos_values",
    "negative_logits": "neg_values",
    "neighbour_cosines": "topkCosSimValues",
    "correlated_pearson": "correlated_features_pearson",
    "correlated_l1": "correlated_features_l1",
    "activation_bin_values": "freq_hist_data_bar_values",
    "logit_bin_values": "logits_hist_data_bar_values",
    "aligned_neuron_values": "neuron_alignment_values",
    "aligned_neuron_l1": "neuron_alignment_l1",
    "correlated_neuron_pearson": "correlated_neurons_pearson",
    "correlated_neuron_l1": "correlated_neurons_l1",
    "head_weights": "decoder_weights_dist",
    "decoder_vector": "vector",
}
"""Column of the dataset -> field of the public layout."""
INTEGER_LISTS = {
    "neighbour_indices": "topkCosSimIndices",
    "correlated_indices": "correlated_features_indices",
    "aligned_neuron_indices": "neuron_alignment_indices",
    "correlated_neuron_indices": "correlated_neurons_indices",
}
HISTOGRAMS = {
    "activation_histogram": "freq_hist_data_bar_heights",
    "logit_histogram": "logits_hist_data_bar_heights",
}
TOKEN_LISTS = {"positive_token_ids": ("pos_str", "posTokenIds"), "negative_token_ids": ("neg_str", "negTokenIds")}
TEXTS = {"steering_hook": "hookName", "vector_label": "vectorLabel"}
_GROUPS = (
    ("pos_str", "pos_values", "posTokenIds"),
    ("neg_str", "neg_values", "negTokenIds"),
    ("topkCosSimIndices", "topkCosSimValues"),
    ("correlated_features_indices", "correlated_features_pearson", "correlated_features_l1"),
    ("freq_hist_data_bar_heights", "freq_hist_data_bar_values"),
    ("logits_hist_data_bar_heights", "logits_hist_data_bar_values"),
    ("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"),
    ("correlated_neurons_indices", "correlated_neurons_pearson", "correlated_neurons_l1"),
)
"""Fields whose lists have equal lengths."""
_NOT_EXTRA = frozenset(
    (
        *NUMBER_LISTS.values(),
        *INTEGER_LISTS.values(),
        *HISTOGRAMS.values(),
        *(name for names in TOKEN_LISTS.values() for name in names),
        *TEXTS.values(),
        *("modelId", "layer", "index", "frac_nonzero", "maxActApprox", "vectorDefaultSteerStrength"),
        # derived, and what belongs to the owner of a row
        *("hasVector", "sourceSetName", "creatorId", "createdAt"),
    )
)
_EXPLANATION_NOT_EXTRA = frozenset(
    ("id", "modelId", "layer", "index", "authorId", "creatorId", "createdAt", "description", "embedding", "typeName")
) | {"explanationModelName"}

FEATURES = pa.schema(
    [
        ("index", pa.int32()),
        ("line", pa.int64()),
        ("density", pa.float64()),
        ("max_activation", pa.float32()),
        *((name, pa.list_(pa.float32())) for name in NUMBER_LISTS),
        *((name, pa.list_(pa.int32())) for name in (*INTEGER_LISTS, *HISTOGRAMS, *TOKEN_LISTS)),
        *((name, pa.string()) for name in (*TEXTS, "extra")),
        ("steering_strength", pa.float32()),
    ]
)
EXPLANATIONS = pa.schema(
    [
        ("index", pa.int32()),
        ("line", pa.int64()),
        ("description", pa.string()),
        ("method", pa.string()),
        ("model", pa.string()),
        ("embedding", pa.list_(pa.float32())),
        ("extra", pa.string()),
    ]
)


def feature_row(line: int, row: Row, source_id: str, corpus: CorpusBuilder) -> dict[str, Any]:
    """A feature as a row of FEATURES.

    Raises:
        ValueProblem: it cannot be stored.
    """
    index = feature_index(row)
    check_source(row, source_id)
    for fields in _GROUPS:
        check_lengths(row, *fields)
    density = number(row, "frac_nonzero") or 0.0
    if not 0 <= density <= 1:
        raise ValueProblem("frac_nonzero", f"{density} is no share from 0 to 1")
    columns: dict[str, Any] = {
        "index": index,
        "line": line,
        "density": density,
        "max_activation": number(row, "maxActApprox"),
        "steering_strength": number(row, "vectorDefaultSteerStrength"),
    }
    columns |= {name: numbers(row, field) for name, field in NUMBER_LISTS.items()}
    columns |= {name: integers(row, field) for name, field in INTEGER_LISTS.items()}
    columns |= {name: text(row, field) for name, field in TEXTS.items()}
    for name, field in HISTOGRAMS.items():
        columns[name] = [round(value) for value in numbers(row, field)]
        if any(not 0 <= value <= LARGEST_INDEX for value in columns[name]):
            raise ValueProblem(field, "has a count that is negative or too large")
    for name, (strings_field, ids_field) in TOKEN_LISTS.items():
        strings, ids = texts(row, strings_field), integers(row, ids_field)
        if ids:
            corpus.check_ids(ids_field, strings, ids)
        columns[name] = ids or corpus.token_ids(strings)
    _drop_itself(columns, "neighbour_indices", "neighbour_cosines")
    _drop_itself(columns, "correlated_indices", "correlated_pearson", "correlated_l1")
    columns["extra"] = extra_json(row, _NOT_EXTRA) or None
    return columns


def _drop_itself(columns: dict[str, Any], indices: str, *others: str) -> None:
    """Leave the feature itself out of a list of features, in which some programs put it first."""
    own = columns["index"]
    kept = [place for place, index in enumerate(columns[indices]) if index != own]
    if len(kept) < len(columns[indices]):
        for name in (indices, *others):
            columns[name] = [columns[name][place] for place in kept] if columns[name] else []


def explanation_row(line: int, row: Row, source_id: str) -> dict[str, Any]:
    """An explanation as a row of EXPLANATIONS. An embedding is a list, or the JSON of one.

    Raises:
        ValueProblem: it cannot be stored.
    """
    index = feature_index(row)
    check_source(row, source_id)
    description = text(row, "description")
    if description is None or not description.strip():
        raise ValueProblem("description", "is empty")
    embedding = row.get("embedding")
    if isinstance(embedding, str):
        try:
            embedding = orjson.loads(embedding)
        except orjson.JSONDecodeError:
            raise ValueProblem("embedding", f"{quoted(embedding)} is no list of numbers") from None
    return {
        "index": index,
        "line": line,
        "description": description,
        "method": (text(row, "typeName") or "").strip() or UNKNOWN,
        "model": text(row, "explanationModelName"),
        "embedding": numbers({"embedding": embedding}, "embedding") or None,
        "extra": extra_json(row, _EXPLANATION_NOT_EXTRA) or None,
    }
