"""Columns of the dataset's Parquet files.

Positions count from 0 at the first token of a context, which is the BOS token where the recipe prepends one.
No column has values of ignored positions or of tokens above the recipe's norm cut. `checks` has the rules for rows.
"""

import pyarrow as pa

TOP_GROUP = 0
"""Entry of `example_groups` for a strongest example; 1..n are the quantile groups, weakest first."""

DOCUMENTS = pa.schema(
    [
        pa.field("document", pa.int32(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("collection", pa.string(), nullable=False),
    ]
)

VOCABULARY = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
    ]
)

CONTEXTS = pa.schema(
    [
        pa.field("context", pa.int32(), nullable=False),
        pa.field("document", pa.int32(), nullable=False),
        pa.field("token_ids", pa.list_(pa.int32()), nullable=False),
    ]
)

FEATURES = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        # share of counted tokens on which the feature is active, and their number
        pa.field("density", pa.float32(), nullable=False),
        pa.field("active_tokens", pa.int64(), nullable=False),
        pa.field("max_activation", pa.float32(), nullable=False),
        # counts of active tokens in equal bins from 0 to max_activation; empty when never active
        pa.field("activation_histogram", pa.list_(pa.int32()), nullable=False),
        # counts of vocabulary entries in equal bins from min to max logit effect
        pa.field("logit_histogram", pa.list_(pa.int32()), nullable=False),
        pa.field("logit_min", pa.float32(), nullable=False),
        pa.field("logit_max", pa.float32(), nullable=False),
        # strongest logit effects first, in both directions
        pa.field("positive_token_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("positive_logits", pa.list_(pa.float32()), nullable=False),
        pa.field("negative_token_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("negative_logits", pa.list_(pa.float32()), nullable=False),
        # features of the same source, nearest decoder rows by cosine, itself left out
        pa.field("neighbour_indices", pa.list_(pa.int32()), nullable=False),
        pa.field("neighbour_cosines", pa.list_(pa.float32()), nullable=False),
        # features of the same source by Pearson correlation over counted tokens, itself left out
        pa.field("correlated_indices", pa.list_(pa.int32()), nullable=False),
        pa.field("correlated_pearson", pa.list_(pa.float32()), nullable=False),
        # share of active tokens in each quantile group: equal intervals of (0, max], weakest first
        pa.field("quantile_shares", pa.list_(pa.float32()), nullable=False),
        # examples: group, context number, position that was selected; then the sparse values over the context
        pa.field("example_groups", pa.list_(pa.int8()), nullable=False),
        pa.field("example_contexts", pa.list_(pa.int32()), nullable=False),
        pa.field("example_positions", pa.list_(pa.int16()), nullable=False),
        pa.field("value_positions", pa.list_(pa.list_(pa.int16())), nullable=False),
        pa.field("values", pa.list_(pa.list_(pa.float32())), nullable=False),
    ]
)

EXPLANATIONS = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        # the language model that wrote the description; null if none did
        pa.field("model", pa.string()),
    ]
)
