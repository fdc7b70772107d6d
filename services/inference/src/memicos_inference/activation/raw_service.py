"""Activations as they are. Runs in the model's thread and gives the answer's body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memicos_inference import recipes
from memicos_inference.activation.raw_schemas import RawActivation, RawRequest, RawResponse, RawResult
from memicos_inference.http.chunked_json import json_in_chunks
from memicos_inference.http.errors import BadInput
from memicos_inference.loaded_model import LoadedModel

if TYPE_CHECKING:
    from memicos_engine.capture.batched_ops import CaptureSteps


def raw(served: LoadedModel, body: RawRequest) -> CaptureSteps[bytes]:
    from memicos_engine.capture.activations import check_finite
    from memicos_engine.capture.capture import CaptureRequest
    from memicos_engine.model.hook_points import layer_of

    if body.model is not None:
        served.check_model(body.model)
    names = _hook_names(served, body)
    prepend_bos = served.prepend_bos if body.prepend_bos is None else body.prepend_bos
    prompts = served.prompts(body.prompts, prepend_bos)
    last = body.type == "final_output_token"
    if body.hooks is None:  # known before the model runs
        positions = len(prompts) if last else sum(len(ids) for ids in prompts)
        served.check_values(positions * len(names) * served.model.d_model)
    found = yield CaptureRequest(prompts, names, last)
    served.check_values(sum(hidden.numel() for captured in found for hidden in captured.values()))
    results = []
    for ids, captured in zip(prompts, found, strict=True):
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
        strings = served.model.token_strings(ids)
        results.append(RawResult.model_construct(token_strings=strings, token_ids=ids, activations=activations))
    answer = RawResponse.model_construct(
        hook_point=body.hook_point if body.hooks is None else None,
        type=body.type,
        dtype=str(served.model.dtype).removeprefix("torch."),
        device=str(served.model.device),
        results=results,
        recipe=recipes.model_recipe(served, prepend_bos),
    )
    return (yield from json_in_chunks(answer))


def _hook_names(served: LoadedModel, body: RawRequest) -> list[str]:
    """What the request asks for, each once: layers ascending, hooks in the order given."""
    from memicos_engine.model.hook_points import check_capturable

    n_layers = served.model.n_layers
    if body.hooks is None:
        layers = sorted(set(range(n_layers) if body.layers is None else body.layers))
        for layer in layers:
            if not 0 <= layer < n_layers:
                raise BadInput(f"There is no layer {layer}: the model has layers 0 to {n_layers - 1}.")
        return [f"blocks.{layer}.hook_resid_post" for layer in layers]
    if body.layers is not None:
        raise BadInput("Name layers or hooks, not both: a hook's name has its layer.")
    most = served.settings.max_hooks
    if len(body.hooks) > most:
        raise BadInput(f"{len(body.hooks)} hooks; at most {most} are captured at a time (INFERENCE_MAX_HOOKS).")
    for name in body.hooks:
        check_capturable(served.model, name)
    return list(dict.fromkeys(body.hooks))
