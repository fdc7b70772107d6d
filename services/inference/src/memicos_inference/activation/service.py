"""Activations of features and vectors on prompts.

The functions run in the model's thread as the steps of a `CaptureJob`: they yield what is to be captured and return the
response body. A single prompt is a batch of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memicos_inference import recipes
from memicos_inference.activation.prompts import TokenizedPrompts, read_prompts, sets_bos
from memicos_inference.activation.schemas import (
    AllBatchRequest,
    AllBatchResponse,
    AllRequest,
    AllResponse,
    FeatureActivation,
    SingleActivation,
    SingleBatchRequest,
    SingleBatchResponse,
    SingleRequest,
    SingleResponse,
    SourcePositions,
    SourceRequest,
    SourceResponse,
    SourceResult,
    TokenFeatures,
    TopFeature,
    TopkBatchRequest,
    TopkBatchResponse,
    TopkRequest,
    TopkResponse,
)
from memicos_inference.http.chunked_json import json_in_chunks
from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel, source_set_of

if TYPE_CHECKING:
    from memicos_engine.capture.attribution import Attribution
    from memicos_engine.capture.batched_ops import CaptureSteps

DEFAULT_RESULTS = 25
DEFAULT_TOP_K = 5


def single(loaded: LoadedModel, body: SingleRequest, tokenized: TokenizedPrompts) -> CaptureSteps[bytes]:
    (response,) = yield from _direction_activations(loaded, body, tokenized)
    return (yield from json_in_chunks(response))


def single_batch(loaded: LoadedModel, body: SingleBatchRequest, tokenized: TokenizedPrompts) -> CaptureSteps[bytes]:
    results = yield from _direction_activations(loaded, body, tokenized)
    return (yield from json_in_chunks(SingleBatchResponse.model_construct(results=results)))


def top_features(loaded: LoadedModel, body: AllRequest, tokenized: TokenizedPrompts) -> CaptureSteps[bytes]:
    (response,) = yield from _top_features(loaded, body, tokenized)
    return (yield from json_in_chunks(response))


def top_features_batch(loaded: LoadedModel, body: AllBatchRequest, tokenized: TokenizedPrompts) -> CaptureSteps[bytes]:
    results = yield from _top_features(loaded, body, tokenized)
    return (yield from json_in_chunks(AllBatchResponse.model_construct(results=results)))


def top_features_by_token(loaded: LoadedModel, body: TopkRequest, tokenized: TokenizedPrompts) -> CaptureSteps[bytes]:
    (response,) = yield from _top_features_by_token(loaded, body, tokenized)
    return (yield from json_in_chunks(response))


def top_features_by_token_batch(
    loaded: LoadedModel, body: TopkBatchRequest, tokenized: TokenizedPrompts
) -> CaptureSteps[bytes]:
    results = yield from _top_features_by_token(loaded, body, tokenized)
    return (yield from json_in_chunks(TopkBatchResponse.model_construct(results=results)))


def _direction_activations(
    loaded: LoadedModel, body: SingleRequest | SingleBatchRequest, tokenized: TokenizedPrompts
) -> CaptureSteps[list[SingleResponse]]:
    from memicos_engine.capture import activations

    loaded.check_model(body.model)
    by_feature = body.source is not None or body.index is not None
    by_vector = body.vector is not None or body.hook is not None
    if by_feature == by_vector:
        raise BadInput(
            "Invalid request data: exactly one of layer/index or vector must be provided "
            "(source and index, or vector and hook)."
        )
    if body.source is not None and body.index is not None:
        source = loaded.source_info(body.source)
        prompts = read_prompts(loaded, body, tokenized, source.recipe.prepend_bos)
        source.check_index(body.index)
        values = yield from activations.feature_activations.steps(
            loaded.model, source, prompts.ids, body.index, body.ignore_bos, prompts.requested_bos
        )
        prompt_recipes = [prompts.source_recipe(loaded, source, [ids]) for ids in prompts.ids]
    elif body.vector is not None and body.hook is not None:
        prompts = read_prompts(loaded, body, tokenized, loaded.model.tokenizer_prepends_bos)
        values = yield from activations.vector_activations.steps(loaded.model, body.hook, body.vector, prompts.ids)
        prompt_recipes = [recipes.vector_recipe(loaded, body.hook, prompts.prepend_bos) for _ in prompts.ids]
    else:
        raise BadInput("source goes with index, and vector with hook: one of the two is missing.")
    return [
        SingleResponse.model_construct(
            activation=SingleActivation.model_construct(
                values=prompt_values.values,
                max_value=prompt_values.max_value,
                max_value_index=prompt_values.max_position,
                **_attribution_fields(prompt_values.dfa),
            ),
            **_token_fields(loaded, ids, prepended),
            ignored_positions=prompt_values.ignored,
            recipe=recipe,
        )
        for ids, prepended, prompt_values, recipe in zip(
            prompts.ids, prompts.prepended, values, prompt_recipes, strict=True
        )
    ]


def _top_features(
    loaded: LoadedModel, body: AllRequest | AllBatchRequest, tokenized: TokenizedPrompts
) -> CaptureSteps[list[AllResponse]]:
    from memicos_engine.capture import activations

    loaded.check_model(body.model)
    source_ids = _selected_sources(loaded, body.source_set, body.selected_sources)
    if body.feature_filter is not None and len(source_ids) != 1:
        raise BadInput(f"Feature filter can only be used with a single source; {len(source_ids)} are selected.")
    limit = DEFAULT_RESULTS if body.num_results is None else body.num_results
    if limit > loaded.settings.max_num_results:
        raise BadInput(
            f"num_results is {limit}; at most {loaded.settings.max_num_results} are returned "
            "(INFERENCE_MAX_NUM_RESULTS)."
        )
    sources = [loaded.source_info(source_id) for source_id in source_ids]
    if len({source.recipe.prepend_bos for source in sources}) > 1 and not sets_bos(body):
        raise BadInput(
            "Some of these sources were trained with BOS and some without: request them separately, or set prepend_bos."
        )
    prompts = read_prompts(loaded, body, tokenized, sources[0].recipe.prepend_bos)
    if body.feature_filter is not None:  # the number of results is known before the model runs
        loaded.check_values(min(limit, len(set(body.feature_filter))) * sum(len(ids) for ids in prompts.ids))
    ranking = (limit, body.sort_by_token_indexes, body.ignore_bos, body.feature_filter, prompts.requested_bos)
    results = yield from activations.top_features.steps(loaded.model, sources, prompts.ids, *ranking)
    loaded.check_values(sum(len(result.features) * len(ids) for ids, result in zip(prompts.ids, results, strict=True)))
    return [
        AllResponse.model_construct(
            activations=[
                FeatureActivation.model_construct(
                    source=feature.source,
                    index=feature.index,
                    values=feature.values,
                    sum_values=feature.score if body.sort_by_token_indexes else None,
                    max_value=feature.max_value,
                    max_value_index=feature.max_position,
                    **_attribution_fields(feature.dfa),
                )
                for feature in result.features
            ],
            **_token_fields(loaded, ids, prepended),
            counts=result.counts,
            sources=[
                SourcePositions.model_construct(
                    source=source.id, ignored_positions=ignored, recipe=prompts.source_recipe(loaded, source, [ids])
                )
                for source, ignored in zip(sources, result.ignored, strict=True)
            ],
        )
        for ids, prepended, result in zip(prompts.ids, prompts.prepended, results, strict=True)
    ]


def _selected_sources(loaded: LoadedModel, source_set: str, selected: Sequence[str]) -> list[str]:
    """Source ids of the request without duplicates, in its order; all of the set where it names none."""
    loaded.check_source_set(source_set)
    ids_of_set = [source_id for source_id in loaded.source_cache.ids if source_set_of(source_id) == source_set]
    source_ids = list(dict.fromkeys(selected)) or ids_of_set
    for source_id in source_ids:
        if source_id in loaded.source_cache.unavailable:
            loaded.source_info(source_id)  # raises an error with the reason
        if source_id not in ids_of_set:
            raise BadInput(
                f"Unknown source '{source_id}' in source set '{source_set}', which has {', '.join(ids_of_set)}."
            )
    loaded.check_room(source_ids)
    return source_ids


def _top_features_by_token(
    loaded: LoadedModel, body: TopkRequest | TopkBatchRequest, tokenized: TokenizedPrompts
) -> CaptureSteps[list[TopkResponse]]:
    from memicos_engine.capture import activations

    loaded.check_model(body.model)
    source = loaded.source_info(body.source)
    k = DEFAULT_TOP_K if body.top_k is None else body.top_k
    if k > loaded.settings.max_top_k:
        raise BadInput(f"top_k is {k}; at most {loaded.settings.max_top_k} are returned (INFERENCE_MAX_TOP_K).")
    prompts = read_prompts(loaded, body, tokenized, source.recipe.prepend_bos)
    responses = []
    by_prompt = yield from activations.top_features_by_token.steps(
        loaded.model, source, prompts.ids, k, prompts.requested_bos
    )
    for ids, prepended, result in zip(prompts.ids, prompts.prepended, by_prompt, strict=True):
        tokens, special = loaded.model.token_strings(ids), loaded.model.special_mask(ids)
        excluded = set(result.ignored) if body.ignore_bos else set()
        rows = [
            TokenFeatures.model_construct(
                token_position=position,
                token=tokens[position],
                is_special=special[position],
                top_features=[
                    TopFeature.model_construct(feature_index=index, activation_value=value) for index, value in row
                ],
            )
            for position, row in enumerate(result.rows)
            if position not in excluded
        ]
        responses.append(
            TopkResponse.model_construct(
                results=rows,
                tokens=tokens,
                token_ids=ids,
                prepended_bos=prepended,
                ignored_positions=result.ignored,
                recipe=prompts.source_recipe(loaded, source, [ids]),
            )
        )
    return responses


def sparse_activations(loaded: LoadedModel, body: SourceRequest, tokenized: TokenizedPrompts) -> CaptureSteps[bytes]:
    from memicos_engine.capture import activations

    loaded.check_model(body.model)
    source = loaded.source_info(body.source)
    prompts = read_prompts(loaded, body, tokenized, source.recipe.prepend_bos)
    limit = loaded.settings.max_values
    by_prompt = yield from activations.sparse_activations.steps(
        loaded.model, source, prompts.ids, limit, body.ignore_bos, prompts.requested_bos
    )
    results = [
        SourceResult.model_construct(
            active_features={str(index): values for index, values in result.features.items()},
            **_token_fields(loaded, ids, prepended),
            ignored_positions=result.ignored,
        )
        for ids, prepended, result in zip(prompts.ids, prompts.prepended, by_prompt, strict=True)
    ]
    recipe = prompts.source_recipe(loaded, source, prompts.ids)
    return (yield from json_in_chunks(SourceResponse.model_construct(results=results, recipe=recipe)))


def _token_fields(loaded: LoadedModel, ids: Sequence[int], prepended_bos: bool) -> dict[str, Any]:
    return {
        "tokens": loaded.model.token_strings(ids),
        "tokens_is_special": loaded.model.special_mask(ids),
        "token_ids": list(ids),
        "prepended_bos": prepended_bos,
    }


def _attribution_fields(dfa: Attribution | None) -> dict[str, Any]:
    if dfa is None:
        return {"dfa_values": None, "dfa_max_value": None, "dfa_target_index": None}
    return {"dfa_values": dfa.values, "dfa_max_value": dfa.max_value, "dfa_target_index": dfa.target}
