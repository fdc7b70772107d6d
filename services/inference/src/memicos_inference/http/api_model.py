"""Base class and field types of the request and response models."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _is_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("should be a number, or a string of the digits 0 to 9")
    return value


Number = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""

MODEL = "Id of the model, one of `accepted_models` in the capabilities."
SOURCE = "Id of the source, one of `sources` in the capabilities, for example 15-res-4k."
TOKENS = (
    "What each token adds to the text, one string per token, a prepended BOS included; joined, the decoded text. "
    "A character made of several tokens stands at the token that completes it; the earlier ones have an empty string."
)
TOKEN_IDS = "Vocabulary id of each token, a prepended BOS included."
PREPENDED_BOS = "Whether BOS was prepended: not if the prompt begins with it, or the model has none."
TOKENS_IS_SPECIAL = "For each token, whether it is a special token of the tokenizer, such as BOS or end of turn."
IGNORED_POSITIONS = (
    "Token positions, from 0, at which the values have no meaning as the source was not trained on them: "
    "a prepended BOS, and tokens whose activation norm exceeds the recipe's norm_cut."
)
RECIPE = "How the values were computed: model, weights, dtype, hook point and SAE."
RESULTS = "One result per prompt, in the order of `prompts`."

Index = Annotated[
    int,
    Field(ge=0, description="Index of the feature in its source, from 0; a string of digits is accepted too."),
    BeforeValidator(_is_number),
]


class ApiModel(BaseModel):
    """Base of the request and response models. Field names are snake_case, as the published clients expect."""

    model_config = ConfigDict(protected_namespaces=(), hide_input_in_errors=True)
