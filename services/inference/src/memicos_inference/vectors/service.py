"""Vectors of features, and the features most similar to a vector. Runs in the model's thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.scheduler.jobs import SourceCall, SourceSteps
from memicos_inference.vectors.schemas import (
    CossimRequest,
    CossimResponse,
    FeatureReference,
    SimilarFeature,
    VectorRequest,
    VectorResponse,
)

if TYPE_CHECKING:
    from memicos_engine.sources.source import Source
    from torch import Tensor


def feature_vector(loaded: LoadedModel, body: VectorRequest) -> SourceSteps[bytes]:
    loaded.check_model(body.model)

    def read(source: Source) -> VectorResponse:
        source.check_index(body.index)
        decoder = body.which == "decoder"
        vector = source.decoder_row(body.index) if decoder else source.encoder_column(body.index)
        return VectorResponse.model_construct(
            vector=vector.float().tolist(), hook_name=source.hook_name, which=body.which
        )

    response: VectorResponse = yield SourceCall(body.source, read)
    return response.model_dump_json(by_alias=True).encode()


def similar_features(loaded: LoadedModel, body: CossimRequest) -> SourceSteps[bytes]:
    from memicos_engine.sources.decoder_similarity import most_similar

    loaded.check_model(body.model)
    limit = loaded.settings.max_num_results
    if body.num_results > limit:
        raise BadInput(f"num_results is {body.num_results}; at most {limit} are returned (INFERENCE_MAX_NUM_RESULTS).")
    direction = yield from _direction(loaded, body)
    similar = yield SourceCall(body.source, partial(most_similar, direction=direction, limit=body.num_results))
    feature = body.feature
    response = CossimResponse(
        feature=feature and FeatureReference(model=feature.model, source=feature.source, index=feature.index),
        topk_decoder_cossim_features=[
            SimilarFeature(
                feature=FeatureReference(model=body.model, source=body.source, index=index), cosine_similarity=cosine
            )
            for index, cosine in similar
        ],
    )
    return response.model_dump_json().encode()


def _direction(loaded: LoadedModel, body: CossimRequest) -> SourceSteps[Tensor]:
    """The vector, or the decoder row of the feature."""
    import torch

    if (body.feature is None) == (body.vector is None):
        raise BadInput("Invalid request data: exactly one of feature or vector must be provided.")
    if body.feature is None:
        return torch.tensor(body.vector, dtype=torch.float64)
    feature = body.feature
    loaded.check_model(feature.model)

    def read(source: Source) -> Tensor:
        source.check_index(feature.index)
        # a copy: a row of the weights would keep all of them in memory
        return source.decoder_row(feature.index).clone()

    return (yield SourceCall(feature.source, read))
