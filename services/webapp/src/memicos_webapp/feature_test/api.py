"""JSON of a feature's values over a text."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.feature_test import service
from memicos_webapp.feature_test.schemas import Activation, NewActivation
from memicos_webapp.inference.service import InferenceDep, check_texts

router = APIRouter(
    tags=["activation"],
    responses={
        400: {
            "model": ErrorBody,
            "description": "A text is empty or over the token limit, or there are too many texts",
        },
        404: {"model": ErrorBody, "description": "Unknown model, source or index"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        502: {"model": ErrorBody, "description": "The inference server failed, or its response cannot be read"},
        503: {"model": ErrorBody, "description": "Inference is down, loading or busy; Retry-After says when to repeat"},
    },
)


@router.post(
    "/activation/new", summary="Activations of a feature on a text", response_model=Activation | list[Activation]
)
async def new_activation(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: NewActivation
) -> Activation | list[Activation]:
    """Run a text through the model; the response has a feature's activation at each token.

    A list of texts is answered with a list, in the same order. The number of texts has a limit
    (MEMICOS_TEXTS_AT_ONCE), and so has the length of a text in tokens (TOKEN_LIMIT of the inference server); beyond
    them the response is 400.
    """
    texts = check_texts(request.app.state.settings, body.custom_text)
    target = body.feature
    await service.get_feature(database, viewer, target.model_id, target.source, target.index)
    responses = []
    for text in texts:
        run = await service.run(inference, target.model_id, target.source, target.index, text, body.ignore_bos)
        responses.append(
            Activation(
                model_id=target.model_id,
                layer=target.source,
                source=target.source,
                index=str(target.index),
                tokens=run.tokens,
                values=run.values,
                max_value=run.max_value,
                max_value_token_index=run.max_index,
                min_value=min(run.values),
                created_at=datetime.now(UTC),
                token_ids=run.token_ids,
                ignored_positions=run.ignored,
                recipe=run.recipe,
            )
        )
    return responses[0] if isinstance(body.custom_text, str) else responses
