"""Requests with known answers for gpt2-small and 7-res-jb, usable with any other model and source."""

from dataclasses import dataclass
from typing import Any

PROMPT = "Hello, world!"
TOO_LONG = "This is a test prompt. " * 40
FEATURE, STRENGTH, MULTIPLIER = 5, 10.0, 10.0


@dataclass(frozen=True)
class RequestTarget:
    """Model and source of the requests. `width` is that of the residual stream; vectors steer at `hook`."""

    model: str
    source: str
    source_set: str
    width: int
    hook: str


def cases(target: RequestTarget) -> dict[str, tuple[str, dict[str, Any]]]:
    """Path under /v1 and body, by name."""
    on_prompt = {"model": target.model, "prompt": PROMPT}
    of_source = on_prompt | {"source": target.source}
    vector = {"steering_vector": [1000.0] * target.width, "strength": STRENGTH, "hook": target.hook}
    feature = {"model": target.model, "source": target.source, "index": FEATURE, "strength": STRENGTH}
    steering = on_prompt | {
        "types": ["STEERED", "DEFAULT"],
        "n_completion_tokens": 10,
        "temperature": 0,
        "strength_multiplier": MULTIPLIER,
        "freq_penalty": 0,
        "seed": 42,
        "normalize_steering": False,
        "features": [feature],
        "steer_method": "SIMPLE_ADDITIVE",
    }
    chat = steering | {"prompt": [{"role": "user", "content": PROMPT}], "steer_special_tokens": False}
    orthogonal = {"steer_method": "ORTHOGONAL_DECOMP"}
    by_vector = {"features": None, "vectors": [vector]}
    of_set = on_prompt | {
        "source_set": target.source_set,
        "selected_sources": [target.source],
        "sort_by_token_indexes": [],
        "num_results": 5,
        "ignore_bos": True,
    }
    neighbour_request = {"model": target.model, "source": target.source, "num_results": 3}
    named = {"model": target.model, "source": target.source, "index": FEATURE}
    singly = {
        "all": ("activation/all", of_set),
        "single": ("activation/single", of_source | {"index": "0"}),
        "single of a vector": (
            "activation/single",
            on_prompt | {"vector": [0.1] * target.width, "hook": "blocks.0.hook_resid_post"},
        ),
        "top-k": ("activation/topk-by-token", of_source | {"top_k": 3, "ignore_bos": True}),
        "top-k with BOS": ("activation/topk-by-token", of_source | {"top_k": 3, "ignore_bos": False}),
    }
    batched = {
        f"{name}, in a batch": (
            f"{path}-batch",
            {key: value for key, value in body.items() if key != "prompt"} | {"prompts": [PROMPT, "Hello", PROMPT * 3]},
        )
        for name, (path, body) in singly.items()
    }
    return (
        singly
        | batched
        | {
            "source": ("activation/source", {"model": target.model, "source": target.source, "prompts": [PROMPT]}),
            "additive": ("steer/completion", steering),
            "orthogonal": ("steer/completion", steering | orthogonal),
            "additive vector": ("steer/completion", steering | by_vector),
            "orthogonal vector": ("steer/completion", steering | by_vector | orthogonal),
            "log-probabilities": ("steer/completion", steering | {"n_logprobs": 2, "n_completion_tokens": 5}),
            "chat, additive": ("steer/completion-chat", chat),
            "chat, orthogonal": ("steer/completion-chat", chat | orthogonal),
            "encoder": ("util/sae-vector", {"model": target.model, "source": target.source, "index": FEATURE}),
            "next encoder": ("util/sae-vector", {"model": target.model, "source": target.source, "index": FEATURE + 1}),
            "near a feature": ("util/sae-topk-by-decoder-cossim", neighbour_request | {"feature": named}),
            "near a vector": ("util/sae-topk-by-decoder-cossim", neighbour_request | {"vector": [1.0] * target.width}),
        }
    )


def refused(target: RequestTarget) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Path, body and expected text of the 400 response, by name."""
    accepted = cases(target)
    too_long = "Text too long: "
    exactly_one = "exactly one of features or vectors must be provided"
    vector = accepted["additive vector"][1]["vectors"]
    path, steering = accepted["additive"]
    chat_path, chat = accepted["chat, additive"]
    neighbour_path, neighbour_request = accepted["near a feature"]
    return {
        "long, single": ("activation/single", accepted["single"][1] | {"prompt": TOO_LONG}, too_long),
        "long, all": ("activation/all", accepted["all"][1] | {"prompt": TOO_LONG}, too_long),
        "long, top-k": ("activation/topk-by-token", accepted["top-k"][1] | {"prompt": TOO_LONG}, too_long),
        "long, completion": (path, steering | {"prompt": TOO_LONG}, too_long),
        "neither features nor vectors": (path, steering | {"features": None}, exactly_one),
        "features and vectors": (path, steering | {"vectors": vector}, exactly_one),
        "neither, chat": (chat_path, chat | {"features": None}, exactly_one),
        "feature and vector": (
            neighbour_path,
            neighbour_request | {"vector": [1.0] * target.width},
            "exactly one of feature or vector must be provided",
        ),
        "unknown source": ("activation/topk-by-token", accepted["top-k"][1] | {"source": "99-none"}, "Unknown source"),
    }
