"""What all wire models share."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _is_text(value: str) -> str:
    """JSON can hold half of a surrogate pair, which is no character and cannot be tokenised or sent back."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("has half of a surrogate pair, which is no character") from None
    return value


def _is_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


Text = Annotated[str, AfterValidator(_is_text)]
"""A string that UTF-8 can hold."""

Number = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""

Index = Annotated[
    int,
    Field(ge=0, description="index of a feature in its source; a string of digits is accepted as well"),
    BeforeValidator(_is_number),
]


class ApiModel(BaseModel):
    """Field names in snake_case, as the field's published clients send and read them."""

    model_config = ConfigDict(protected_namespaces=(), hide_input_in_errors=True)
