"""Tokenising."""

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.tokenization.schemas import TokenizeRequest, TokenizeResponse


def tokenize(served: LoadedModel, body: TokenizeRequest) -> bytes:
    served.check_model(body.model)
    asked = served.prepend_bos if body.prepend_bos is None else body.prepend_bos
    prepend = asked and served.model.bos_token_id is not None
    ids = served.model.token_ids(body.text, prepend)
    served.check_length(ids)
    answer = TokenizeResponse(
        tokens=ids,
        token_strings=served.model.token_strings(ids),
        tokens_is_special=served.model.special_mask(ids),
        prepend_bos=prepend,
    )
    return answer.model_dump_json().encode()
