"""The wire of `/v1/activation/raw`."""

from typing import Literal

from pydantic import Field

from memicos_inference.http.api_model import ApiModel, Text
from memicos_inference.recipes import ModelRecipe

Type = Literal["final_output_token", "all_tokens"]


class RawRequest(ApiModel):
    """Activations at `hook_point` after `layers`, or at `hooks`."""

    prompts: list[Text] = Field(description="each is answered as it would be alone")
    model: Text | None = Field(None, description="null: the one that there is")
    layers: list[int] | None = Field(None, min_length=1, description="null: all of them")
    hook_point: Literal["residual_stream"] = Field(
        "residual_stream", description="what a layer leaves in the residual stream: blocks.N.hook_resid_post"
    )
    hooks: list[Text] | None = Field(
        None, min_length=1, description="TransformerLens' names of hook points, in place of layers and hook_point"
    )
    type: Type = Field("final_output_token", description="final_output_token: only at the last token of a prompt")
    prepend_bos: bool | None = Field(None, description="null: as the model's sources were trained")


class RawActivation(ApiModel):
    layer: int | None = Field(description="null where the hook is in no layer")
    hook: str
    token_indices: list[int] = Field(description="the positions that `values` has a row for")
    values: list[list[float]] = Field(description="numbers of the width of the hook, one row a position")


class RawResult(ApiModel):
    token_strings: list[str]
    token_ids: list[int]
    activations: list[RawActivation] = Field(description="by layer, or in the order of `hooks`")


class RawResponse(ApiModel):
    hook_point: Literal["residual_stream"] | None = Field(description="null where `hooks` were asked for")
    type: Type
    dtype: str = Field(description="what the model computes in; the numbers are exactly its own")
    device: str
    recipe: ModelRecipe
    results: list[RawResult] = Field(description="one a prompt")
