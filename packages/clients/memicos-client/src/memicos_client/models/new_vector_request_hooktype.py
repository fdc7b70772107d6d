from typing import Literal

NewVectorRequestHooktype = Literal[
    "hook_attn_out", "hook_mlp_out", "hook_resid_mid", "hook_resid_post", "hook_resid_pre"
]

NEW_VECTOR_REQUEST_HOOKTYPE_VALUES: set[NewVectorRequestHooktype] = {
    "hook_attn_out",
    "hook_mlp_out",
    "hook_resid_mid",
    "hook_resid_post",
    "hook_resid_pre",
}


def check_new_vector_request_hooktype(value: str) -> NewVectorRequestHooktype:
    if value in NEW_VECTOR_REQUEST_HOOKTYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {NEW_VECTOR_REQUEST_HOOKTYPE_VALUES!r}")
