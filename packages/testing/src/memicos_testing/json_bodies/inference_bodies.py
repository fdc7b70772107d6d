"""A valid body for each path under /v1 that takes one, for a server of the small model with the sets small and top."""

from typing import Any

from memicos_testing.models.small_model import NAME

FEATURE = {"model": NAME, "source": "2-small", "index": 3, "strength": 4}
VECTOR = {"steering_vector": [1.0] * 128, "strength": 2, "hook": "blocks.2.hook_resid_post"}
BODIES: dict[str, dict[str, Any]] = {
    "tokenize": {"model": NAME, "text": "Alice sat"},
    "apply-chat-template": {"messages": [{"role": "user", "content": "Hello"}]},
    "activation/single": {"model": NAME, "prompt": "Alice sat", "source": "2-small", "index": "3"},
    "activation/all": {"model": NAME, "prompt": "Alice sat", "source_set": "small"},
    "activation/topk-by-token": {"model": NAME, "prompt": "Alice sat", "source": "2-small"},
    "activation/single-batch": {"model": NAME, "prompts": ["Alice sat", "Bob"], "source": "2-small", "index": "3"},
    "activation/all-batch": {"model": NAME, "prompts": ["Alice sat", "Bob"], "source_set": "small"},
    "activation/topk-by-token-batch": {"model": NAME, "prompts": ["Alice sat", "Bob"], "source": "2-small"},
    "activation/source": {"model": NAME, "prompts": ["Alice sat", "Bob"], "source": "2-small"},
    "activation/raw": {"prompts": ["Alice sat", "Bob"], "layers": [1]},
    "util/sae-vector": {"model": NAME, "source": "2-small", "index": 3},
    "util/sae-topk-by-decoder-cossim": {
        "model": NAME,
        "source": "2-small",
        "num_results": 3,
        "feature": {"model": NAME, "source": "1-small", "index": 3},
    },
    "steer/completion": {
        "model": NAME,
        "prompt": "Alice sat",
        "types": ["STEERED", "DEFAULT"],
        "features": [FEATURE],
        "n_completion_tokens": 2,
        "temperature": 0,
    },
    "steer/completion-chat": {
        "model": NAME,
        "prompt": [{"role": "user", "content": "Hello"}],
        "types": ["STEERED", "DEFAULT"],
        "features": [FEATURE],
        "n_completion_tokens": 2,
        "temperature": 0,
    },
}
