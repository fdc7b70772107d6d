"""Raw activations at hook points. The steps of a `CaptureJob`: they run in the model's thread and return the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memicos_inference import recipes
from memicos_inference.activation.prompts import TokenizedPrompts, read_prompts
from memicos_inference.activation.raw_schemas import RawActivation, RawRequest, RawResponse, RawResult
from memicos_inference.http.chunked_json import json_in_chunks
from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel

if TYPE_CHECKING:
    from memicos_engine.capture.batched_ops import CaptureSteps


def raw(loaded: LoadedModel, body: RawRequest, tokenized: TokenizedPrompts) -> CaptureSteps[bytes]:
    from memicos_engine.capture.activations import check_finite
    from memicos_engine.capture.capture import CaptureRequest
    from memicos_engine.model.hook_points import hook_width, layer_of

    if body.model is not None:
        loaded.check_model(body.model)
    names = _hook_names(loaded, body)
    request_prompts = read_prompts(loaded, body, tokenized, loaded.prepend_bos)
    prompts = request_prompts.ids
    last = body.type == "final_output_token"
    # widths of some hooks are known before the model runs; the values of the others are counted after it
    width = sum(hook_width(loaded.model, name) or 0 for name in names)
    loaded.check_values(width * (len(prompts) if last else sum(len(ids) for ids in prompts)))
    by_prompt = yield CaptureRequest(prompts, names, last)
    loaded.check_values(sum(hidden.numel() for captured in by_prompt for hidden in captured.values()))
    results = []
    for ids, prepended, captured in zip(prompts, request_prompts.prepended, by_prompt, strict=True):
        activations = []
        for name in names:
            check_finite(captured[name], name)
            activations.append(
                RawActivation.model_construct(
                    layer=layer_of(name),
                    hook=name,
                    token_indices=[len(ids) - 1] if last else list(range(len(ids))),
                    values=[position.tolist() for position in captured[name].float()],
                )
            )
            yield None
        strings = loaded.model.token_strings(ids)
        results.append(
            RawResult.model_construct(
                token_strings=strings,
                token_ids=ids,
                prepended_bos=prepended,
                activations=activations,
            )
        )
    response = RawResponse.model_construct(
        hook_point=body.hook_point if body.hooks is None else None,
        type=body.type,
        dtype=str(loaded.model.dtype).removeprefix("torch."),
        device=str(loaded.model.device),
        results=results,
        recipe=recipes.model_recipe(loaded, request_prompts.prepend_bos),
    )
    return (yield from json_in_chunks(response))


def _hook_names(loaded: LoadedModel, body: RawRequest) -> list[str]:
    """Hook points of the request without duplicates: layers ascending, hooks in the order of the request."""
    from memicos_engine.model.hook_names import canonical_hook_name
    from memicos_engine.model.hook_points import check_capturable

    n_layers = loaded.model.n_layers
    if body.hooks is None:
        layers = sorted(set(range(n_layers) if body.layers is None else body.layers))
        for layer in layers:
            if not 0 <= layer < n_layers:
                raise BadInput(f"There is no layer {layer}: the model has layers 0 to {n_layers - 1}.")
        return [f"blocks.{layer}.hook_resid_post" for layer in layers]
    if body.layers is not None:
        raise BadInput("Name layers or hooks, not both: a hook's name has its layer.")
    limit = loaded.settings.max_hooks
    if len(body.hooks) > limit:
        raise BadInput(f"{len(body.hooks)} hooks; at most {limit} are captured at a time (INFERENCE_MAX_HOOKS).")
    names = list(dict.fromkeys(map(canonical_hook_name, body.hooks)))
    for name in names:
        check_capturable(loaded.model, name)
    return names
