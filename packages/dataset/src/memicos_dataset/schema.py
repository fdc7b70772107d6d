"""Columns of the dataset's Parquet files.

Positions count from 0 at the first token of a context, which is the BOS token where the recipe prepends one.
No core column has values of ignored positions or of tokens above the recipe's norm cut. `checks` has the rules for
rows, docs/dataset.md lists the columns.

A file has all core columns of its table, in any order. Optional columns may be missing. Columns that are not listed
here, from newer versions or other programs, are read after the listed ones and kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

TOP_GROUP = 0
"""Entry of `example_groups` for a strongest example; 1..n are the quantile groups, weakest first."""
NO_POSITION = -1
"""Entry of `example_dfa_positions` of an example without direct feature attribution."""


@dataclass(frozen=True)
class Column:
    """One column. `shape` names the axes of its lists, outermost first; `unit` is empty for numbers without one."""

    name: str
    type: pa.DataType
    meaning: str
    shape: tuple[str, ...] = ()
    unit: str = ""
    optional: bool = False
    """The column may be missing from a file."""
    nullable: bool = False
    null_entries: bool = False
    """The column's lists may have nulls."""

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.type, nullable=self.nullable)


@dataclass(frozen=True)
class Table:
    """The columns of one kind of file."""

    columns: tuple[Column, ...]

    @property
    def core(self) -> pa.Schema:
        """Columns that every file has."""
        return pa.schema([column.field for column in self.columns if not column.optional])

    @property
    def known(self) -> pa.Schema:
        """Core columns, then optional ones."""
        return self.with_optional(column.name for column in self.columns if column.optional)

    def with_optional(self, names: Iterable[str]) -> pa.Schema:
        """Core columns, then the optional columns `names`, in the order of the table."""
        chosen = set(names)
        optional = [column.field for column in self.columns if column.optional and column.name in chosen]
        return pa.schema([*self.core, *optional])

    def column(self, name: str) -> Column | None:
        """The listed column of this name; None for an unknown one."""
        return next((column for column in self.columns if column.name == name), None)


_INT8, _INT16, _INT32, _INT64 = pa.int8(), pa.int16(), pa.int32(), pa.int64()
_FLOAT, _DOUBLE, _TEXT = pa.float32(), pa.float64(), pa.string()
_INTS, _FLOATS, _TEXTS = pa.list_(_INT32), pa.list_(_FLOAT), pa.list_(_TEXT)
_ACTIVATION, _LOGIT = "activation", "logit"
_TOKENS, _NEIGHBOURS, _CORRELATED = ("logit tokens",), ("neighbours",), ("correlated features",)
_NEURONS, _CORRELATED_NEURONS = ("aligned neurons",), ("correlated neurons",)
_ACTIVATION_BINS, _LOGIT_BINS, _INTERVALS = ("activation bins",), ("logit bins",), ("intervals",)
_EXAMPLES, _EXAMPLE_VALUES, _EXAMPLE_TOKENS = ("examples",), ("examples", "values"), ("examples", "tokens")

DOCUMENT_TABLE = Table(
    (
        Column("document", _INT32, "number of the text, unique in the corpus"),
        Column("title", _TEXT, "title that pages show"),
        Column("collection", _TEXT, "name of a collection of the manifest"),
    )
)

VOCABULARY_TABLE = Table(
    (
        Column("token_id", _INT32, "id in the model's tokenizer, or a number of the dataset (`corpus.token_ids`)"),
        Column("token", _TEXT, "the token as inside a text, or `<0xE4>` for a byte that is part of a character"),
    )
)

CONTEXT_TABLE = Table(
    (
        Column("context", _INT32, "number of the context, from 0 without gaps"),
        Column("document", _INT32, "number of the text that the context is from"),
        Column("token_ids", _INTS, "ids of the tokens, BOS included", ("tokens",)),
    )
)

FEATURE_TABLE = Table(
    (
        Column("index", _INT32, "index of the feature in its source"),
        Column("density", _FLOAT, "share of counted tokens on which the feature is active", unit="share"),
        Column("active_tokens", _INT64, "number of counted tokens on which the feature is active", unit="tokens"),
        Column("max_activation", _FLOAT, "largest activation; 0 where never active", unit=_ACTIVATION),
        Column(
            "activation_histogram",
            _INTS,
            "active tokens in equal bins from 0 to max_activation, lower edges included; empty where never active",
            _ACTIVATION_BINS,
            "tokens",
        ),
        Column(
            "logit_histogram",
            _INTS,
            "vocabulary entries in equal bins from logit_min to logit_max, lower edges included",
            _LOGIT_BINS,
            "tokens",
        ),
        Column("logit_min", _FLOAT, "smallest logit effect", unit=_LOGIT),
        Column("logit_max", _FLOAT, "largest logit effect", unit=_LOGIT),
        Column("positive_token_ids", _INTS, "tokens with the largest logit effect, largest first", _TOKENS),
        Column("positive_logits", _FLOATS, "their logit effects", _TOKENS, _LOGIT),
        Column("negative_token_ids", _INTS, "tokens with the smallest logit effect, smallest first", _TOKENS),
        Column("negative_logits", _FLOATS, "their logit effects", _TOKENS, _LOGIT),
        Column(
            "neighbour_indices",
            _INTS,
            "features of the source with the nearest decoder rows, itself left out",
            _NEIGHBOURS,
        ),
        Column("neighbour_cosines", _FLOATS, "their cosine similarities", _NEIGHBOURS, "cosine"),
        Column(
            "correlated_indices",
            _INTS,
            "features of the source with the largest Pearson correlation over counted tokens, itself left out",
            _CORRELATED,
        ),
        Column("correlated_pearson", _FLOATS, "their Pearson correlations", _CORRELATED, "correlation"),
        Column(
            "quantile_shares",
            _FLOATS,
            "share of active tokens in each interval of activations, weakest first; without quantile_minima the "
            "intervals divide (0, max_activation] equally",
            _INTERVALS,
            "share",
        ),
        Column(
            "example_groups",
            pa.list_(_INT8),
            "0 for a strongest example, else the number of its interval",
            _EXAMPLES,
        ),
        Column("example_contexts", _INTS, "number of the example's context", _EXAMPLES),
        Column("example_positions", pa.list_(_INT16), "position that was selected", _EXAMPLES, "position"),
        Column(
            "value_positions",
            pa.list_(pa.list_(_INT16)),
            "positions of the context with a value, ascending",
            _EXAMPLE_VALUES,
            "position",
        ),
        Column("values", pa.list_(_FLOATS), "activations there; 0 elsewhere", _EXAMPLE_VALUES, _ACTIVATION),
        Column(
            "activation_bin_values",
            _FLOATS,
            "centres of the bins of activation_histogram, where they do not divide 0 to max_activation equally",
            _ACTIVATION_BINS,
            _ACTIVATION,
            optional=True,
        ),
        Column(
            "logit_bin_values",
            _FLOATS,
            "centres of the bins of logit_histogram, where they do not divide logit_min to logit_max equally",
            _LOGIT_BINS,
            _LOGIT,
            optional=True,
        ),
        Column(
            "quantile_minima",
            _FLOATS,
            "lower end of each interval of quantile_shares",
            _INTERVALS,
            _ACTIVATION,
            optional=True,
        ),
        Column("quantile_maxima", _FLOATS, "upper end of each interval", _INTERVALS, _ACTIVATION, optional=True),
        Column("aligned_neuron_indices", _INTS, "neurons with the largest weights", _NEURONS, optional=True),
        Column("aligned_neuron_values", _FLOATS, "their weights", _NEURONS, optional=True),
        Column("aligned_neuron_l1", _FLOATS, "their shares of the L1 norm", _NEURONS, "share", optional=True),
        Column(
            "correlated_neuron_indices",
            _INTS,
            "neurons that correlate most",
            _CORRELATED_NEURONS,
            optional=True,
        ),
        Column(
            "correlated_neuron_pearson",
            _FLOATS,
            "their Pearson correlations",
            _CORRELATED_NEURONS,
            "correlation",
            optional=True,
        ),
        Column(
            "correlated_neuron_l1", _FLOATS, "their shares of the L1 norm", _CORRELATED_NEURONS, "share", optional=True
        ),
        Column(
            "correlated_l1",
            _FLOATS,
            "shares of the L1 norm of the correlated features",
            _CORRELATED,
            "share",
            optional=True,
        ),
        Column(
            "head_weights",
            _FLOATS,
            "share of the decoder row's norm that belongs to each attention head",
            ("heads",),
            "share",
            optional=True,
        ),
        Column("decoder_vector", _FLOATS, "decoder row of the feature", ("d_in",), optional=True),
        Column("steering_hook", _TEXT, "hook point at which decoder_vector is added", optional=True, nullable=True),
        Column("steering_strength", _FLOAT, "default factor of decoder_vector", optional=True, nullable=True),
        Column("vector_label", _TEXT, "name of a vector that is not a feature of an SAE", optional=True, nullable=True),
        Column(
            "example_dfa_values",
            pa.list_(_FLOATS),
            "direct feature attribution of each token of the context to the value at example_dfa_positions; empty "
            "where the example has none",
            _EXAMPLE_TOKENS,
            _ACTIVATION,
            optional=True,
        ),
        Column(
            "example_dfa_positions",
            pa.list_(_INT16),
            "position whose value the attributions add up to; -1 where the example has none",
            _EXAMPLES,
            "position",
            optional=True,
        ),
        Column(
            "example_extra",
            _TEXTS,
            "fields of a public activation row that no other column has, as a JSON object; empty where there are none",
            _EXAMPLES,
            optional=True,
        ),
        Column(
            "extra",
            _TEXT,
            "fields of a public feature row that no other column has, as a JSON object",
            optional=True,
            nullable=True,
        ),
    )
)


def _request_columns(parameters: str, counted: str) -> tuple[Column, ...]:
    """What is known of the requests to a language model; null where none was asked, or its origin does not say it.

    Args:
        parameters: meaning of the column.
        counted: what tokens and cost are of.
    """
    columns = (
        ("template_version", _INT16, "version of the method's prompt template", ""),
        ("profile", _TEXT, "provider of the language model, by its name where it was asked", ""),
        ("parameters", _TEXT, f"{parameters}, as a JSON object of at most 50 levels", ""),
        ("prompt_tokens", _INT32, f"tokens of the prompt{counted}; null where the provider does not count them",
         "tokens"),
        ("completion_tokens", _INT32, "tokens that the language model generated; null where prompt_tokens is",
         "tokens"),
        ("cost", _DOUBLE, f"price{counted}; null where it is not known", "US dollars"),
    )  # fmt: skip
    return tuple(
        Column(name, kind, meaning, unit=unit, optional=True, nullable=True) for name, kind, meaning, unit in columns
    )


EXPLANATION_TABLE = Table(
    (
        Column("index", _INT32, "index of the feature"),
        Column("description", _TEXT, "the feature in words"),
        Column("method", _TEXT, "how the description was made"),
        Column("model", _TEXT, "the language model that wrote the description; null if none did", nullable=True),
        Column("embedding", _FLOATS, "embedding of the description", ("dimensions",), optional=True, nullable=True),
        Column(
            "extra",
            _TEXT,
            "fields of a public explanation row that no other column has, as a JSON object",
            optional=True,
            nullable=True,
        ),
        *_request_columns("what shaped prompt and answer, such as the number of texts", ""),
    )
)

_SCORED_TEXTS = ("texts",)
SCORE_TABLE = Table(
    (
        Column("explanation", _INT32, "number of the row in the source's file of explanations, from 0"),
        Column("method", _TEXT, "how the explanation was scored"),
        Column("model", _TEXT, "the language model or the embedder that answered"),
        Column("score", _FLOAT, "the score, 0.5 is chance; null where there is none", unit="share", nullable=True),
        Column("score_low", _FLOAT, "lower end of the 95% bootstrap interval", unit="share", nullable=True),
        Column("score_high", _FLOAT, "upper end of the interval", unit="share", nullable=True),
        Column("reason", _TEXT, "why there is no score", nullable=True),
        Column("seed", _INT64, "seed of the choice of texts and of the bootstrap"),
        Column("around", _INT16, "a text is this many tokens on both sides of its position", unit="tokens"),
        Column("text_contexts", _INTS, "number of the context of each text", _SCORED_TEXTS),
        Column("text_positions", pa.list_(_INT16), "position in the middle of the text", _SCORED_TEXTS, "position"),
        Column(
            "text_distances",
            pa.list_(_INT8),
            "1 for a strongest example, 2 and above for intervals from strong to weak, -1 for a text on which the "
            "feature is not active, -2 for one of a near miss",
            _SCORED_TEXTS,
        ),
        Column(
            "text_answers",
            _FLOATS,
            "probability of the answer that the feature is active; for eleuther_embedding the cosine similarity; null "
            "where there is no answer",
            _SCORED_TEXTS,
            null_entries=True,
        ),
        Column(
            "text_marked",
            pa.list_(pa.list_(_INT16)),
            "positions within the text of the tokens that the language model saw marked; empty where none were",
            ("texts", "marked tokens"),
            optional=True,
        ),
        Column(
            "text_expected",
            pa.list_(_FLOATS),
            "for simulation the expected activation of each token, 0 to 9; empty where there is no answer",
            ("texts", "tokens"),
            optional=True,
        ),
        Column(
            "text_failures",
            _TEXTS,
            "why there is no answer; empty where there is one",
            _SCORED_TEXTS,
            optional=True,
        ),
        *_request_columns("how the texts were chosen and the language model was asked", " of all requests"),
    )
)

REQUEST_COLUMNS = tuple(column.name for column in _request_columns("", ""))
"""Columns of explanations and scores about the requests to a language model."""
SCORED_TEXT_DETAILS = ("text_marked", "text_expected", "text_failures")
"""Optional columns about the texts of a score."""

TABLES = {
    "documents": DOCUMENT_TABLE,
    "vocabulary": VOCABULARY_TABLE,
    "contexts": CONTEXT_TABLE,
    "features": FEATURE_TABLE,
    "explanations": EXPLANATION_TABLE,
    "scores": SCORE_TABLE,
}

DOCUMENTS = DOCUMENT_TABLE.core
VOCABULARY = VOCABULARY_TABLE.core
CONTEXTS = CONTEXT_TABLE.core
FEATURES = FEATURE_TABLE.core
EXPLANATIONS = EXPLANATION_TABLE.core
SCORES = SCORE_TABLE.core
