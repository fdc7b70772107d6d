"""The wire of `/v1/util`: vectors of features, and features by vector."""

from typing import Literal

from pydantic import Field

from memicos_inference.http.api_model import ApiModel, Index, Number, Text


class VectorRequest(ApiModel):
    model: Text
    source: Text
    index: Index
    which: Literal["encoder", "decoder"] = Field(
        "encoder",
        description="encoder: what the feature reads, W_enc[:, index], as the known clients expect; "
        "decoder: the direction that it is steered with, W_dec[index]",
    )


class VectorResponse(ApiModel):
    vector: list[float]
    hook_name: str = Field(serialization_alias="hookName", description="TransformerLens' name of the hook point")
    which: Literal["encoder", "decoder"]


class Feature(ApiModel):
    model: Text
    source: Text
    index: Index


class CossimRequest(ApiModel):
    """Exactly one of `feature` and `vector`."""

    feature: Feature | None = Field(None, description="its decoder row in its own source, which may be another one")
    vector: list[Number] | None = Field(None, description="of any length but 0")
    model: Text
    source: Text = Field(description="whose features are compared")
    num_results: int = Field(ge=1)


class FoundFeature(ApiModel):
    model: str
    source: str
    index: int


class SimilarFeature(ApiModel):
    feature: FoundFeature
    cosine_similarity: float


class CossimResponse(ApiModel):
    feature: FoundFeature | None = Field(None, description="the one that was asked for; null for a vector")
    topk_decoder_cossim_features: list[SimilarFeature] = Field(
        description="largest cosine first, ties by index; the feature itself is among them"
    )
