"""Rules for the rows of a dataset. Rows that follow them can be stored and shown.

Each check raises an error that names file, row, column and reason. Rows are checked batch by batch; check objects
store the values that must be unique over all batches.
"""

from collections.abc import Callable, Collection

import numpy as np

from memicos_dataset.checks.columns import (
    Members,
    check_equal_lengths,
    check_finite,
    check_members,
    check_no_nulls,
    check_unique,
    flat,
    is_number,
    numpy,
    refuse,
)
from memicos_dataset.checks.request_columns import check_requests
from memicos_dataset.errors import DatasetError, RowError
from memicos_dataset.folder import Folder, Location
from memicos_dataset.manifest import FILE_NAME, Manifest, Source
from memicos_dataset.read import Batch
from memicos_dataset.schema import NO_POSITION, SCORED_TEXT_DETAILS, TOP_GROUP
from memicos_dataset.source_ids import check_source_id

ROUNDING = 1e-3
"""Stored activations are rounded: one may be this much, relatively, above the feature's maximum."""

_EXAMPLES = ("example_groups", "example_contexts", "example_positions", "value_positions", "values")
_PAIRS = (
    ("positive_token_ids", "positive_logits"),
    ("negative_token_ids", "negative_logits"),
    ("neighbour_indices", "neighbour_cosines"),
    ("correlated_indices", "correlated_pearson"),
)
_OPTIONAL_PAIRS = (
    ("activation_histogram", "activation_bin_values"),
    ("logit_histogram", "logit_bin_values"),
    ("quantile_shares", "quantile_minima"),
    ("quantile_shares", "quantile_maxima"),
    ("aligned_neuron_indices", "aligned_neuron_values"),
    ("correlated_neuron_indices", "correlated_neuron_pearson"),
    ("example_groups", "example_dfa_values"),
    ("example_groups", "example_dfa_positions"),
    ("example_groups", "example_extra"),
)
"""Pairs of columns that are compared where the file has both and the second list of a row is not empty."""
_COUNTS = ("activation_histogram", "logit_histogram")


def check_manifest(location: Location, manifest: Manifest) -> None:
    """Check that the manifest is consistent: names of sources, and counts of rows.

    Raises:
        DatasetError: it is not.
    """
    path = Folder.of(location).locate(FILE_NAME)
    source_set, corpus = manifest.source_set, manifest.corpus
    if not source_set.sources:
        raise DatasetError(path, "source_set.sources: is empty; a dataset has at least one source")
    seen: set[str] = set()
    for source in source_set.sources:
        problem = check_source_id(source.id, source_set.id, source.layer)
        if problem is None and source.id in seen:
            problem = f"source {source.id!r} is listed twice"
        layers = manifest.model.layers
        if problem is None and layers is not None and source.layer >= layers:
            problem = f"source {source.id!r} is at layer {source.layer}; the model has {layers} layers"
        if problem:
            raise DatasetError(path, f"source_set.sources: {problem}")
        seen.add(source.id)
    rows = sum(entry.rows for entry in corpus.context_files)
    if rows != corpus.contexts:
        raise DatasetError(path, f"corpus.contexts: is {corpus.contexts}, and the context files have {rows} rows")
    if "\\u0000" in manifest.model_dump_json():
        raise DatasetError(path, "has a text with a NUL character, which PostgreSQL cannot store")


class DocumentCheck:
    """Rules for documents: numbers are unique, and collections are among those of the manifest."""

    def __init__(self, manifest: Manifest) -> None:
        self.numbers: set[int] = set()
        self._collections = {collection.name for collection in manifest.corpus.collections}

    def check(self, batch: Batch) -> None:
        """Raises RowError where a row breaks a rule."""
        check_no_nulls(batch)
        check_unique(batch, "document", self.numbers)
        for row, name in enumerate(batch.rows.column("collection").to_pylist()):
            if name not in self._collections:
                raise batch.error(row, "collection", f"{name!r} is not a collection of the manifest's corpus")


class VocabularyCheck:
    """Rules for the vocabulary: token ids are unique."""

    def __init__(self) -> None:
        self.token_ids: set[int] = set()

    def check(self, batch: Batch) -> None:
        """Raises RowError where a row breaks a rule."""
        check_no_nulls(batch)
        check_unique(batch, "token_id", self.token_ids)


class ContextCheck:
    """Rules for contexts: numbered from 0 without gaps, each of 1 to `context_size` tokens of a known document.

    `lengths` (N,) has the number of tokens of each context that was checked, 0 for the others.
    """

    def __init__(self, manifest: Manifest, documents: Collection[int], token_ids: Collection[int]) -> None:
        self.lengths = np.zeros(manifest.corpus.contexts, dtype=np.int64)
        self._size = manifest.corpus.context_size
        self._documents, self._token_ids = Members(documents), Members(token_ids)

    def check(self, batch: Batch) -> None:
        """Raises RowError where a row breaks a rule."""
        check_no_nulls(batch)
        rows, count = np.arange(len(batch.rows)), len(self.lengths)
        numbers = numpy(batch.rows.column("context"))
        outside = (numbers < 0) | (numbers >= count)
        refuse(batch, "context", rows, numbers, outside, f"is not a number from 0 to {count - 1}")
        repeated = self.lengths[numbers] > 0
        first = np.unique(numbers, return_index=True)[1]
        repeated[np.setdiff1d(rows, first)] = True
        refuse(batch, "context", rows, numbers, repeated, "occurs twice, so another number is missing")
        lengths = np.diff(batch.rows.column("token_ids").offsets.to_numpy())
        for row in np.flatnonzero((lengths < 1) | (lengths > self._size))[:1].tolist():
            raise batch.error(row, "token_ids", f"has {lengths[row]} tokens, not 1 to {self._size}")
        check_members(batch, "document", self._documents, "is not among the documents")
        check_members(batch, "token_ids", self._token_ids, "is not in the vocabulary")
        self.lengths[numbers] = lengths


class FeatureCheck:
    """Rules for the features of one source.

    Numbers are finite; paired lists have equal lengths; indices are unique and below `d_sae`; groups, contexts and
    positions of examples exist, and no value is above the feature's maximum. `indices` has the indices that were
    checked.
    """

    def __init__(self, source: Source, context_lengths: np.ndarray, token_ids: Collection[int]) -> None:
        self.indices: set[int] = set()
        self._source, self._lengths, self._token_ids = source, context_lengths, Members(token_ids)

    def check(self, batch: Batch) -> None:
        """Raises RowError where a row breaks a rule."""
        check_no_nulls(batch)
        check_finite(batch)
        self._check_index(batch)
        _check_statistics(batch)
        for first, second in _PAIRS:
            check_equal_lengths(batch, first, second)
        names = set(batch.rows.schema.names)
        for first, second in _OPTIONAL_PAIRS:
            if {first, second} <= names:
                check_equal_lengths(batch, first, second, allow_empty=True)
        for column in ("positive_token_ids", "negative_token_ids"):
            check_members(batch, column, self._token_ids, "is not in the vocabulary")
        for column in ("neighbour_indices", "correlated_indices"):
            self._check_range(batch, column, 0, self._source.d_sae - 1, "an index of the source's features")
        self._check_examples(batch)
        # the last check, as it notes the indices
        check_unique(batch, "index", self.indices)

    def _check_index(self, batch: Batch) -> None:
        index, last = numpy(batch.rows.column("index")), self._source.d_sae - 1
        outside = (index < 0) | (index > last)
        refuse(batch, "index", np.arange(len(index)), index, outside, f"is not from 0 to {last} (d_sae)")

    def _check_range(self, batch: Batch, column: str, low: int, high: int, meaning: str) -> None:
        values, rows = flat(batch.rows.column(column))
        refuse(batch, column, rows, values, (values < low) | (values > high), f"is not {meaning} ({low} to {high})")

    def _check_examples(self, batch: Batch) -> None:
        for column in _EXAMPLES[1:]:
            check_equal_lengths(batch, _EXAMPLES[0], column)
        groups, rows = flat(batch.rows.column("example_groups"))
        intervals = np.diff(batch.rows.column("quantile_shares").offsets.to_numpy())[rows]
        refuse(
            batch, "example_groups", rows, groups, (groups < TOP_GROUP) | (groups > intervals),
            "is neither 0 nor the number of one of the feature's intervals (1 to the length of quantile_shares)",
        )  # fmt: skip
        self._check_range(batch, "example_contexts", 0, len(self._lengths) - 1, "a context of the corpus")
        lengths = self._lengths[flat(batch.rows.column("example_contexts"))[0]]
        positions, _ = flat(batch.rows.column("example_positions"))
        outside = (positions < 0) | (positions >= lengths)
        refuse(batch, "example_positions", rows, positions, outside, "is not a position of the example's context")
        _check_values(batch, rows, lengths)
        _check_attributions(batch, rows, lengths)


def leave_out(batch: Batch, check: Callable[[Batch], None], reject: Callable[[RowError], object]) -> Batch:
    """The rows of a batch that `check` accepts; `reject` is called with the error of each other row, and may raise."""
    while True:
        try:
            check(batch)
            return batch
        except RowError as error:
            reject(error)
            batch = batch.without(error)


def check_explanations(batch: Batch, indices: Collection[int]) -> None:
    """Check explanations of a source whose features are `indices`.

    Raises:
        RowError: an explanation is empty, or of a feature that the dataset does not have; or see `check_requests`.
    """
    check_no_nulls(batch)
    check_finite(batch)
    check_requests(batch)
    for row, index in enumerate(batch.rows.column("index").to_pylist()):
        if index not in indices:
            raise batch.error(row, "index", f"{index} is not the index of a feature of this source")
    for column in ("description", "method"):
        for row, text in enumerate(batch.rows.column(column).to_pylist()):
            if not text.strip():
                raise batch.error(row, column, "is empty")


def check_scores(batch: Batch, source: Source, context_lengths: np.ndarray) -> None:
    """Check scores of a source; `context_lengths` (N,) has tokens of each context.

    Raises:
        RowError: a score is of no explanation, is not a share, lacks both value and reason, names a text that the
            corpus does not have, or says something of tokens that the text does not have; or see `check_requests`.
    """
    check_no_nulls(batch)
    check_finite(batch)
    check_requests(batch)
    explanations = source.explanations.rows if source.explanations else 0
    rows = np.arange(len(batch.rows))
    numbers = numpy(batch.rows.column("explanation"))
    outside = (numbers < 0) | (numbers >= explanations)
    refuse(batch, "explanation", rows, numbers, outside, "is not the number of a row of the explanations")
    for column in ("method", "model"):
        for row, text in enumerate(batch.rows.column(column).to_pylist()):
            if not text.strip():
                raise batch.error(row, column, "is empty")
    columns = [batch.rows.column(name).to_pylist() for name in ("score", "score_low", "score_high", "reason")]
    for row, (score, low, high, reason) in enumerate(zip(*columns, strict=True)):
        if score is None:
            if not (reason or "").strip() or low is not None or high is not None:
                raise batch.error(row, "reason", "is missing, or there is an interval: there is no score")
        elif low is None or high is None or not (-1 <= low <= high <= 1 and -1 <= score <= 1):
            raise batch.error(row, "score", f"{score} with the interval {low} to {high} is not a score")
    for column in ("text_positions", "text_distances", "text_answers"):
        check_equal_lengths(batch, "text_contexts", column)
    contexts, owners = flat(batch.rows.column("text_contexts"))
    outside = (contexts < 0) | (contexts >= len(context_lengths))
    refuse(batch, "text_contexts", owners, contexts, outside, "is not a context of the corpus")
    positions, _ = flat(batch.rows.column("text_positions"))
    outside = (positions < 0) | (positions >= context_lengths[contexts])
    refuse(batch, "text_positions", owners, positions, outside, "is not a position of the text's context")
    around = numpy(batch.rows.column("around"))
    refuse(batch, "around", rows, around, around < 0, "is negative")
    for column in SCORED_TEXT_DETAILS:
        if column in batch.rows.schema.names:
            check_equal_lengths(batch, "text_contexts", column, allow_empty=True)
    _check_text_tokens(batch, source.recipe.first_token, context_lengths)


def _check_text_tokens(batch: Batch, first: int, context_lengths: np.ndarray) -> None:
    """Check what scores say of the tokens of texts, which begin at position `first` of a context at the earliest."""
    names = batch.rows.schema.names
    columns = (batch.rows.column(name).to_pylist() for name in ("around", "text_contexts", "text_positions"))
    marked = batch.rows.column("text_marked").to_pylist() if "text_marked" in names else []
    expected = batch.rows.column("text_expected").to_pylist() if "text_expected" in names else []
    if not (any(marked) or any(expected)):
        return
    for row, (around, contexts, positions) in enumerate(zip(*columns, strict=True)):
        for number, (context, position) in enumerate(zip(contexts, positions, strict=True)):
            start, end = max(first, position - around), min(int(context_lengths[context]), position + around + 1)
            for place in marked[row][number] if marked and marked[row] else []:
                if not 0 <= place < end - start:
                    raise batch.error(row, "text_marked", f"{place} is not a position of the text")
            values = expected[row][number] if expected and expected[row] else []
            if values and len(values) != end - start:
                raise batch.error(row, "text_expected", f"has {len(values)} entries, and the text {end - start} tokens")


def _check_statistics(batch: Batch) -> None:
    column = {name: numpy(batch.rows.column(name)) for name in batch.table.core.names if is_number(batch, name)}
    rows = np.arange(len(batch.rows))
    for name, invalid, problem in (
        ("density", (column["density"] < 0) | (column["density"] > 1), "is not a share from 0 to 1"),
        ("active_tokens", column["active_tokens"] < 0, "is negative"),
        ("max_activation", column["max_activation"] < 0, "is negative"),
        ("logit_max", column["logit_max"] < column["logit_min"], "is below logit_min"),
    ):
        refuse(batch, name, rows, column[name], invalid, problem)
    for name in _COUNTS:
        values, owners = flat(batch.rows.column(name))
        refuse(batch, name, owners, values, values < 0, "is negative")
    shares, owners = flat(batch.rows.column("quantile_shares"))
    refuse(batch, "quantile_shares", owners, shares, (shares < 0) | (shares > 1), "is not a share from 0 to 1")


def _check_values(batch: Batch, rows: np.ndarray, lengths: np.ndarray) -> None:
    """The sparse values of examples; `rows` and `lengths` (E,) are the row and the context's length of each."""
    positions, values = (batch.rows.column(name).flatten() for name in ("value_positions", "values"))
    counts = np.diff(positions.offsets.to_numpy())
    unequal = counts != np.diff(values.offsets.to_numpy())
    refuse(batch, "values", rows, counts, unequal, "value positions belong to an example with another number of values")
    filled = np.flatnonzero(counts)
    if not len(filled):
        return
    # one by one only where a fault is found: there are some hundred values for each feature
    owners, starts = rows[filled], (positions.offsets.to_numpy()[:-1] - positions.offsets[0].as_py())[filled]
    flat, numbers = positions.flatten().to_numpy(), values.flatten().to_numpy()
    least, greatest = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
    for bound, outside in ((least, least < 0), (greatest, greatest >= lengths[filled])):
        refuse(batch, "value_positions", owners, bound, outside, "is not a position of the example's context")
    repeated = np.diff(flat, prepend=-1) <= 0
    repeated[starts] = False
    if repeated.any():
        every = np.repeat(rows, counts)
        refuse(batch, "value_positions", every, flat, repeated, "does not come after the position before it")
    greatest = np.maximum.reduceat(numbers, starts)
    above = greatest > batch.rows.column("max_activation").to_numpy()[owners] * (1 + ROUNDING)
    refuse(batch, "values", owners, greatest, above, "is above the feature's max_activation")


def _check_attributions(batch: Batch, rows: np.ndarray, lengths: np.ndarray) -> None:
    """Direct feature attributions of examples, where the file has them; arguments as of `_check_values`."""
    names = batch.rows.schema.names
    counts = np.zeros(len(rows), dtype=np.int64)
    if "example_dfa_values" in names:
        own = _examples_with(batch, "example_dfa_values", rows)
        counts[own] = np.diff(batch.rows.column("example_dfa_values").flatten().offsets.to_numpy())
        wrong = (counts > 0) & (counts != lengths)
        problem = "attributions belong to an example whose context has another number of tokens"
        refuse(batch, "example_dfa_values", rows, counts, wrong, problem)
    if "example_dfa_positions" in names:
        positions = np.full(len(rows), NO_POSITION, dtype=np.int64)
        positions[_examples_with(batch, "example_dfa_positions", rows)] = flat(
            batch.rows.column("example_dfa_positions")
        )[0]
        outside = (positions < NO_POSITION) | (positions >= lengths)
        problem = "is neither -1 nor a position of the example's context"
        refuse(batch, "example_dfa_positions", rows, positions, outside, problem)
        alone = (positions != NO_POSITION) & (counts == 0)
        refuse(batch, "example_dfa_positions", rows, positions, alone, "belongs to an example without attributions")


def _examples_with(batch: Batch, column: str, rows: np.ndarray) -> np.ndarray:
    """Which examples have an entry of an optional column: all of a row, or none of them."""
    return np.diff(batch.rows.column(column).offsets.to_numpy())[rows] > 0
