"""Tokenization of a text. Runs in the model's thread and returns the response body."""

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.tokenization.schemas import TokenizeRequest, TokenizeResponse


def tokenize(loaded: LoadedModel, body: TokenizeRequest) -> bytes:
    loaded.check_model(body.model)
    prepend_bos = loaded.prepend_bos if body.prepend_bos is None else body.prepend_bos
    ids = loaded.model.token_ids(body.text, prepend_bos)
    loaded.check_length(ids)
    response = TokenizeResponse(
        tokens=ids,
        token_strings=loaded.model.token_strings(ids),
        tokens_is_special=loaded.model.special_mask(ids),
        prepend_bos=loaded.model.prepends_bos(body.text, prepend_bos),
    )
    return response.model_dump_json().encode()
