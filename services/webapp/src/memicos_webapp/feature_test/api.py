"""JSON of a feature's values over a text."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.feature_test import service
from memicos_webapp.feature_test.schemas import Activation, NewActivation
from memicos_webapp.inference.prompts import prompts_of
from memicos_webapp.inference.service import InferenceDep

router = APIRouter(
    tags=["activation"],
    responses={
        400: {
            "model": ErrorBody,
            "description": "A text is empty or over the token limit, there are too many texts, or the model has no "
            "chat template",
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
    """Run a text, or a conversation, through the model; the response has a feature's activation at each token.

    The feature may be a vector that was uploaded: its values are dot products with the activation at its hook point.

    A list of texts is answered with a list, in the same order. The number of texts has a limit
    (MEMICOS_TEXTS_AT_ONCE), and so has the length of a text in tokens (TOKEN_LIMIT of the inference server); beyond
    them the response is 400.
    """
    prompts = prompts_of(request.app.state.settings, body, body.custom_text, "customText")
    feature = body.feature
    target = await service.get_target(database, viewer, feature.model_id, feature.source, feature.index)
    responses = []
    for prompt in prompts:
        run = await service.run(inference, target, prompt, body.ignore_bos)
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
                prepended_bos=run.prepended_bos,
                recipe=run.recipe,
            )
        )
    return responses if isinstance(body.custom_text, list) else responses[0]
