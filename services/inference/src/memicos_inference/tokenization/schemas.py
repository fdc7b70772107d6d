"""Request and response models of `/v1/tokenize`."""

from memicos_service.validation import Text
from pydantic import Field

from memicos_inference.http.api_model import MODEL, TOKEN_IDS, TOKENS, TOKENS_IS_SPECIAL, ApiModel


class TokenizeRequest(ApiModel):
    """A text to tokenise."""

    model: Text = Field(description=MODEL)
    text: Text = Field(description="Text to tokenise.")
    prepend_bos: bool | None = Field(
        None,
        description="Whether to prepend BOS; null: as the first source was trained, or as the tokenizer does if there "
        "are no sources.",
    )


class TokenizeResponse(ApiModel):
    """Tokens of the text."""

    tokens: list[int] = Field(description=TOKEN_IDS)
    token_strings: list[str] = Field(description=TOKENS)
    tokens_is_special: list[bool] = Field(description=TOKENS_IS_SPECIAL)
    prepend_bos: bool = Field(description="Whether BOS was prepended.")
