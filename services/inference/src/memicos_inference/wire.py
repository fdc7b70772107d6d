"""What all wire models share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""

Index = Annotated[
    int, Field(ge=0, description="index of a feature in its source; a string of digits is accepted as well")
]


class Wire(BaseModel):
    """Field names in snake_case, as the field's published clients send and read them."""

    model_config = ConfigDict(protected_namespaces=(), hide_input_in_errors=True)
