"""Bodies of `/api/vector/…` and `/api/activation/upload-batch`, with the field names of Neuronpedia's API."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp import examples
from memicos_webapp.catalog.models import Visibility
from memicos_webapp.features.schemas import FeatureId
from memicos_webapp.settings import at_most
from memicos_webapp.vectors.names import HookType
from memicos_webapp.vectors.rows import VectorRow

Number = Annotated[float, Field(allow_inf_nan=False)]


class Camel(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, protected_namespaces=()
    )


class NewVectorRequest(Camel):
    model_config = ConfigDict(json_schema_extra=examples.NEW_VECTOR)

    model_id: str = Field(description="id of the model")
    layer_number: int = Field(strict=True, ge=0, description="layer of the hook point, 0 is the first")
    hook_type: HookType = Field(description="hook point in the layer, by its name in TransformerLens")
    vector: list[Number] = Field(
        min_length=1, description="the direction: as many numbers as the model's residual stream is wide, not all 0"
    )
    vector_label: str = Field(
        min_length=1, description=f"what the vector stands for, in characters {at_most('vector_label_characters')}"
    )
    vector_default_steer_strength: Number | None = Field(
        10, description=f"strength that the steer page proposes, in either direction {at_most('steer_strength')}"
    )
    visibility: Visibility = Field(
        Visibility.UNLISTED,
        description="public and unlisted: readable by everyone who has the address; private: by its owner",
    )


class VectorRequest(FeatureId):
    """The address of a vector: `layer` and `source` name the same field."""

    model_config = ConfigDict(json_schema_extra=examples.VECTOR)


class CreatedVector(Camel):
    """A vector as the response to its upload names its fields."""

    model_id: str = Field(description="id of the model")
    source: str = Field(description="what stands for a source in the vector's address")
    index: str = Field(description="index in the vector's address, as a string of digits")
    label: str = Field(description="what the vector stands for")
    created_at: datetime = Field(description="when it was uploaded")
    default_steer_strength: float | None = Field(description="strength that the steer page proposes; null: none")
    hook_name: str = Field(description="name of the hook point in TransformerLens")
    values: list[float] = Field(description="the direction")


class CreatedVectorResponse(Camel):
    message: str = Field(description="says that the vector was stored")
    url: str = Field(description="the vector's page")
    vector: CreatedVector = Field(description="the vector, with its address")


class VectorBody(Camel):
    """A vector with its address."""

    model_id: str = Field(description="id of the model")
    layer: str = Field(description="what stands for a source in the vector's address")
    index: str = Field(description="index in the vector's address, as a string of digits")
    vector_label: str = Field(description="what the vector stands for")
    hook_name: str = Field(description="name of the hook point in TransformerLens")
    vector: list[float] = Field(description="the direction")
    vector_default_steer_strength: float | None = Field(description="strength that the steer page proposes; null: none")
    visibility: Visibility = Field(description="who may read it")
    created_at: datetime = Field(description="when it was uploaded")


class VectorResponse(BaseModel):
    vector: VectorBody = Field(description="the vector")


class VectorList(BaseModel):
    vectors: list[VectorBody] = Field(description="the account's vectors, the newest first")


class DeletedVector(BaseModel):
    message: Literal["Success"] = Field(description="always Success")


class UploadedActivation(BaseModel):
    """A text with the vector's value at each token."""

    tokens: list[str] = Field(min_length=1, description=f"text of each token, {at_most('vector_example_tokens')}")
    values: list[Number] = Field(description="value at each token; as many as tokens")


class UploadActivationsRequest(FeatureId):
    model_config = ConfigDict(json_schema_extra=examples.UPLOAD_ACTIVATIONS)

    activations: list[UploadedActivation] = Field(
        min_length=1, description=f"texts that the vector's page shows; of one vector {at_most('vector_examples')}"
    )


class UploadedActivations(BaseModel):
    message: str = Field(description="says how many texts were stored")


def created_body(row: VectorRow) -> CreatedVector:
    return CreatedVector(
        model_id=row.model_id,
        source=row.source,
        index=str(row.index),
        label=row.label,
        created_at=row.created_at,
        default_steer_strength=row.default_strength,
        hook_name=row.hook_name,
        values=row.values,
    )


def vector_body(row: VectorRow) -> VectorBody:
    return VectorBody(
        model_id=row.model_id,
        layer=row.source,
        index=str(row.index),
        vector_label=row.label,
        hook_name=row.hook_name,
        vector=row.values,
        vector_default_steer_strength=row.default_strength,
        visibility=row.visibility,
        created_at=row.created_at,
    )
