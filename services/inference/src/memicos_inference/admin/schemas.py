"""Request and response models of `/v1/admin`."""

from memicos_service.validation import Text
from pydantic import Field

from memicos_inference.http.api_model import ApiModel


class AddSourcesRequest(ApiModel):
    """Sources to add."""

    spec: Text = Field(
        min_length=1,
        max_length=1000,
        description="Sources to add, in the form of an entry of the setting SAE_SETS: a set's name, "
        "saelens:<release>[/<sae_id>], path:<folder>, hf:<owner>/<name>[/<folder>] or neurons; a folder can be "
        "followed by @<format>.",
    )


class AddSourcesResponse(ApiModel):
    """Sources that were added."""

    added: list[str] = Field(description="Ids of the added sources. Their weights are read on first use.")


class RemoveSourceResponse(ApiModel):
    """Source that was removed."""

    removed: str = Field(description="Id of the removed source.")
