"""Request and response models of `/v1/activation/raw`."""

from typing import Literal

from memicos_service.validation import Text
from pydantic import Field

from memicos_inference.activation.prompt_schemas import PromptBatchFields
from memicos_inference.http.api_model import PREPENDED_BOS, RESULTS, TOKEN_IDS, TOKENS, ApiModel
from memicos_inference.recipes import ModelRecipe

Type = Literal["final_output_token", "all_tokens"]


class RawRequest(PromptBatchFields):
    """Where to capture: at `hook_point` of `layers`, or at `hooks`."""

    model: Text | None = Field(None, description="Id of the model; null: the model that the server runs.")
    layers: list[int] | None = Field(
        None, min_length=1, description="Layers, from 0; null: all layers. Not together with `hooks`."
    )
    hook_point: Literal["residual_stream"] = Field(
        "residual_stream",
        description="Where in each of `layers` to capture: the stream after the block, blocks.N.hook_resid_post.",
    )
    hooks: list[Text] | None = Field(
        None,
        min_length=1,
        description="Names of the hook points, TransformerLens' or those of modules (model.layers.3.mlp), instead of "
        "`layers` and `hook_point`; at most `max_hooks` in the capabilities' limits.",
    )
    type: Type = Field(
        "final_output_token",
        description="`final_output_token`: activations of each prompt's last token only; `all_tokens`: of every token.",
    )


class RawActivation(ApiModel):
    """Activations of one prompt at one hook point."""

    layer: int | None = Field(description="Layer of the hook point, from 0; null if it belongs to no layer.")
    hook: str = Field(description="TransformerLens name of the hook point.")
    token_indices: list[int] = Field(description="Token position, from 0, of each row of `values`.")
    values: list[list[float]] = Field(
        description="Activations, [position in token_indices][dimension]; each row has the width of the hook point."
    )


class RawResult(ApiModel):
    """Activations of one prompt."""

    token_strings: list[str] = Field(description=TOKENS)
    token_ids: list[int] = Field(description=TOKEN_IDS)
    prepended_bos: bool = Field(False, description=PREPENDED_BOS)
    activations: list[RawActivation] = Field(
        description="One entry per hook point: by ascending layer, or in the order of `hooks`."
    )


class RawResponse(ApiModel):
    """Activations of the prompts, and how they were computed."""

    hook_point: Literal["residual_stream"] | None = Field(
        description="`hook_point` of the request; null if it named `hooks`."
    )
    type: Type = Field(description="`type` of the request.")
    dtype: str = Field(
        description="Data type that the model computes in, for example float32. The values are not rounded further."
    )
    device: str = Field(description="Device that the model runs on, for example cpu or cuda:0.")
    recipe: ModelRecipe = Field(description="How the prompts were run: model, weights, dtype and BOS.")
    results: list[RawResult] = Field(description=RESULTS)
