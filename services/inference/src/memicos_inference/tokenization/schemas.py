"""The wire of `/v1/tokenize`."""

from pydantic import Field

from memicos_inference.http.api_model import ApiModel, Text


class TokenizeRequest(ApiModel):
    model: Text
    text: Text
    prepend_bos: bool | None = Field(None, description="null: as the model's sources were trained")


class TokenizeResponse(ApiModel):
    tokens: list[int] = Field(description="token ids")
    token_strings: list[str] = Field(description="each token decoded alone")
    tokens_is_special: list[bool]
    prepend_bos: bool = Field(description="whether BOS was prepended")
