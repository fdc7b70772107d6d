"""Activations on a prompt. Each function runs in the worker's thread and gives the answer's body."""

from collections.abc import Sequence

from memicos_inference.activation.schemas import (
    AllRequest,
    AllResponse,
    FeatureActivation,
    SingleActivation,
    SingleRequest,
    SingleResponse,
    SourcePositions,
    TokenFeatures,
    TopFeature,
    TopkRequest,
    TopkResponse,
)
from memicos_inference.errors import BadInput
from memicos_inference.serving import Served, set_of

DEFAULT_RESULTS = 25
DEFAULT_TOP_K = 5


def single(served: Served, body: SingleRequest) -> bytes:
    from memicos_engine import readings

    served.check_model(body.model)
    by_feature = body.source is not None or body.index is not None
    by_vector = body.vector is not None or body.hook is not None
    if by_feature == by_vector:
        raise BadInput(
            "Invalid request data: exactly one of layer/index or vector must be provided "
            "(source and index, or vector and hook)."
        )
    if body.source is not None and body.index is not None:
        source = served.source(body.source)
        ids = served.ids(body.prompt, source.recipe.prepend_bos)
        reading = readings.feature(served.model, source, ids, body.index, body.ignore_bos)
    elif body.vector is not None and body.hook is not None:
        ids = served.ids(body.prompt, served.model.tokenizer_prepends_bos)
        reading = readings.vector(served.model, body.hook, body.vector, ids)
    else:
        raise BadInput("source goes with index, and vector with hook: one of the two is missing.")
    answer = SingleResponse.model_construct(
        activation=SingleActivation.model_construct(
            values=reading.values, max_value=reading.max_value, max_value_index=reading.max_position
        ),
        tokens=served.model.token_strings(ids),
        tokens_is_special=served.model.special(ids),
        token_ids=ids,
        ignored_positions=reading.ignored,
    )
    return answer.model_dump_json().encode()


def strongest(served: Served, body: AllRequest) -> bytes:
    from memicos_engine import readings

    served.check_model(body.model)
    source_ids = _selected(served, body.source_set, body.selected_sources)
    if body.feature_filter is not None and len(source_ids) != 1:
        raise BadInput(f"Feature filter can only be used with a single source; {len(source_ids)} are selected.")
    limit = DEFAULT_RESULTS if body.num_results is None else body.num_results
    if limit > served.settings.max_num_results:
        raise BadInput(f"num_results is {limit}; at most {served.settings.max_num_results} are given.")
    sources = [served.source(source_id) for source_id in source_ids]
    if len({source.recipe.prepend_bos for source in sources}) > 1:
        raise BadInput("Some of these sources were trained with BOS and some without: ask for them apart.")
    ids = served.ids(body.prompt, sources[0].recipe.prepend_bos)
    found = readings.strongest(
        served.model, sources, ids, limit, body.sort_by_token_indexes, body.ignore_bos, body.feature_filter
    )
    answer = AllResponse.model_construct(
        activations=[
            FeatureActivation.model_construct(
                source=hit.source,
                index=hit.index,
                values=hit.values,
                sum_values=hit.score if body.sort_by_token_indexes else None,
                max_value=hit.max_value,
                max_value_index=hit.max_position,
            )
            for hit in found.hits
        ],
        tokens=served.model.token_strings(ids),
        counts=found.counts,
        tokens_is_special=served.model.special(ids),
        token_ids=ids,
        sources=[
            SourcePositions.model_construct(source=source.id, ignored_positions=ignored)
            for source, ignored in zip(sources, found.ignored, strict=True)
        ],
    )
    return answer.model_dump_json().encode()


def _selected(served: Served, source_set: str, selected: Sequence[str]) -> list[str]:
    """Source ids of the request, each once, in the order given; all of the set where none is named."""
    of_set = [source_id for source_id in served.shelf.ids if set_of(source_id) == source_set]
    if not of_set:
        known = sorted({set_of(source_id) for source_id in served.shelf.ids})
        raise BadInput(f"Invalid source set '{source_set}': this server has {', '.join(known) or 'no sources'}.")
    chosen = list(dict.fromkeys(selected)) or of_set
    for source_id in chosen:
        if source_id in served.shelf.broken:
            served.source(source_id)  # raises, with why it cannot be had
        if source_id not in of_set:
            raise BadInput(f"Unknown source '{source_id}' in source set '{source_set}', which has {', '.join(of_set)}.")
    served.check_room(chosen)
    return chosen


def topk_by_token(served: Served, body: TopkRequest) -> bytes:
    from memicos_engine import readings

    served.check_model(body.model)
    source = served.source(body.source)
    k = DEFAULT_TOP_K if body.top_k is None else body.top_k
    if k > served.settings.max_top_k:
        raise BadInput(f"top_k is {k}; at most {served.settings.max_top_k} are given.")
    ids = served.ids(body.prompt, source.recipe.prepend_bos)
    rows, ignored = readings.topk_by_token(served.model, source, ids, k)
    tokens, special = served.model.token_strings(ids), served.model.special(ids)
    left_out = set(ignored) if body.ignore_bos else set()
    answer = TopkResponse.model_construct(
        results=[
            TokenFeatures.model_construct(
                token_position=position,
                token=tokens[position],
                is_special=special[position],
                top_features=[
                    TopFeature.model_construct(feature_index=index, activation_value=value) for index, value in row
                ],
            )
            for position, row in enumerate(rows)
            if position not in left_out
        ],
        tokens=tokens,
        token_ids=ids,
        ignored_positions=ignored,
    )
    return answer.model_dump_json().encode()
