"""Request and response models of `/v1/util`: feature vectors, and features ranked by similarity to a vector."""

from typing import Literal

from memicos_service.validation import Text
from pydantic import Field

from memicos_inference.http.api_model import MODEL, SOURCE, ApiModel, Index, Number


class VectorRequest(ApiModel):
    """Identifies a feature and which of its two vectors to return."""

    model: Text = Field(description=MODEL)
    source: Text = Field(description=SOURCE)
    index: Index
    which: Literal["encoder", "decoder"] = Field(
        "encoder",
        description="`encoder` (the default, as published clients expect): the encoder column W_enc[:, index]. "
        "`decoder`: the decoder row W_dec[index], the direction used for steering.",
    )


class VectorResponse(ApiModel):
    """A vector of a feature."""

    vector: list[float] = Field(
        description="The vector: d_in numbers for `encoder`; for `decoder` as many as `steer_hook` is wide."
    )
    hook_name: str = Field(
        serialization_alias="hookName", description="TransformerLens name of the hook point that the source reads."
    )
    which: Literal["encoder", "decoder"] = Field(description="Which of the two vectors this is, as requested.")


class Feature(ApiModel):
    """Identifies a feature."""

    model: Text = Field(description=MODEL)
    source: Text = Field(description=SOURCE)
    index: Index


class CossimRequest(ApiModel):
    """The direction to compare with: exactly one of `feature` and `vector`."""

    feature: Feature | None = Field(
        None, description="Compare with the decoder row of this feature; its source may differ from `source`."
    )
    vector: list[Number] | None = Field(
        None,
        description="Compare with this vector: as many numbers as a decoder row of `source` has. "
        "Its norm may be any but 0.",
    )
    model: Text = Field(description=MODEL)
    source: Text = Field(description="Id of the source whose decoder rows are ranked.")
    num_results: int = Field(
        ge=1, description="Number of features to return, at most `max_num_results` in the capabilities' limits."
    )


class FeatureReference(ApiModel):
    """Identifies a feature in a response."""

    model: str = Field(description="Id of the model, as in the request.")
    source: str = Field(description="Id of the source.")
    index: int = Field(description="Index of the feature in its source, from 0.")


class SimilarFeature(ApiModel):
    """A feature and its similarity to the requested direction."""

    feature: FeatureReference = Field(description="The similar feature.")
    cosine_similarity: float = Field(
        description="Cosine between its decoder row and the requested direction, from -1 to 1."
    )


class CossimResponse(ApiModel):
    """The features most similar to the requested direction."""

    feature: FeatureReference | None = Field(None, description="The feature of the request; null if it had a vector.")
    topk_decoder_cossim_features: list[SimilarFeature] = Field(
        description="Features by descending cosine, ties by index. The requested feature is among them "
        "if it belongs to `source`; decoder rows of norm 0 are left out."
    )
