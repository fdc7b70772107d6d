"""The wire of `/v1/admin`."""

from pydantic import Field

from memicos_inference.http.api_model import ApiModel, Text


class AddSourcesRequest(ApiModel):
    spec: Text = Field(
        min_length=1,
        max_length=1000,
        description="as an entry of SAE_SETS: a set's name, path:<folder>, hf:<owner>/<name>[/<folder>] or neurons, "
        "each with an optional @<format>",
    )


class AddSourcesResponse(ApiModel):
    added: list[str] = Field(description="ids of the sources that are served now, and loaded when asked for")


class RemoveSourceResponse(ApiModel):
    removed: str
