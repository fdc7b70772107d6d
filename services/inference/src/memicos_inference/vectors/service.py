"""Vectors of features, and features by vector. Each function runs in the model's thread and gives a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.vectors.schemas import (
    CossimRequest,
    CossimResponse,
    FoundFeature,
    SimilarFeature,
    VectorRequest,
    VectorResponse,
)

if TYPE_CHECKING:
    from torch import Tensor


def feature_vector(served: LoadedModel, body: VectorRequest) -> bytes:
    served.check_model(body.model)
    source = served.source(body.source)
    source.check_index(body.index)
    found = source.encoder_column(body.index) if body.which == "encoder" else source.decoder_row(body.index)
    answer = VectorResponse.model_construct(vector=found.float().tolist(), hook_name=source.hook_name, which=body.which)
    return answer.model_dump_json(by_alias=True).encode()


def similar_features(served: LoadedModel, body: CossimRequest) -> bytes:
    from memicos_engine.sources.decoder_similarity import most_similar

    served.check_model(body.model)
    most = served.settings.max_num_results
    if body.num_results > most:
        raise BadInput(f"num_results is {body.num_results}; at most {most} are given (INFERENCE_MAX_NUM_RESULTS).")
    direction = _direction(served, body)
    source = served.source(body.source)
    found = most_similar(source, direction, body.num_results)
    asked = body.feature
    answer = CossimResponse(
        feature=asked and FoundFeature(model=asked.model, source=asked.source, index=asked.index),
        topk_decoder_cossim_features=[
            SimilarFeature(
                feature=FoundFeature(model=body.model, source=source.id, index=index), cosine_similarity=cosine
            )
            for index, cosine in found
        ],
    )
    return answer.model_dump_json().encode()


def _direction(served: LoadedModel, body: CossimRequest) -> Tensor:
    import torch

    if (body.feature is None) == (body.vector is None):
        raise BadInput("Invalid request data: exactly one of feature or vector must be provided.")
    if body.feature is None:
        return torch.tensor(body.vector, dtype=torch.float64)
    served.check_model(body.feature.model)
    source = served.source(body.feature.source)
    source.check_index(body.feature.index)
    return source.decoder_row(body.feature.index)
