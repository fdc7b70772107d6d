"""Tokenization of a text."""

from collections.abc import Generator
from functools import partial

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.scheduler.jobs import DirectJob, TextJob
from memicos_inference.tokenization.schemas import TokenizeRequest, TokenizeResponse


def tokenize_job(body: TokenizeRequest) -> TextJob[list[int]]:
    """The job that returns the response body."""

    def check(loaded: LoadedModel) -> None:
        loaded.check_text(body.text)

    def tokenize(loaded: LoadedModel) -> Generator[None, None, list[int]]:
        yield from ()
        return loaded.model.text_ids(body.text)

    return TextJob(check, tokenize, lambda ids: DirectJob(partial(_respond, body=body, text_ids=ids)))


def _respond(loaded: LoadedModel, body: TokenizeRequest, text_ids: list[int]) -> bytes:
    loaded.check_model(body.model)
    prepend_bos = loaded.prepend_bos if body.prepend_bos is None else body.prepend_bos
    ids = loaded.model.with_bos(text_ids, prepend_bos)
    loaded.check_length(ids)
    response = TokenizeResponse(
        tokens=ids,
        token_strings=loaded.model.token_strings(ids),
        tokens_is_special=loaded.model.special_mask(ids),
        prepend_bos=loaded.model.lacks_bos(text_ids, prepend_bos),
    )
    return response.model_dump_json().encode()
