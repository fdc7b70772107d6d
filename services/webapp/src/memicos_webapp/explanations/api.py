"""JSON API of explanations: generate, delete, choose as label."""

from fastapi import APIRouter, Request
from memicos_service.disconnect import until_disconnect

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.explanations import service
from memicos_webapp.explanations.schemas import (
    ChooseLabelRequest,
    DeleteResponse,
    ExplanationId,
    ExplanationList,
    GenerateRequest,
    GenerateResponse,
)
from memicos_webapp.explanations.service import ExplanationsDep
from memicos_webapp.features.feature_json import explanation_body
from memicos_webapp.security.authorisation import WRITE_REFUSED, WriteAccess

router = APIRouter(tags=["explanation"])


@router.post(
    "/explanation/generate",
    summary="Generate an explanation",
    response_model=GenerateResponse,
    responses={
        400: {
            "model": ErrorBody,
            "description": "Unsupported type or model, an explanation by both exists, or the feature is never active",
        },
        403: {"model": ErrorBody, "description": WRITE_REFUSED},
        404: {"model": ErrorBody, "description": "Unknown model, source or index"},
        409: {"model": ErrorBody, "description": "Your stored key for the profile cannot be used"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        502: {"model": ErrorBody, "description": "The language model gave no explanation"},
        503: {
            "model": ErrorBody,
            "description": "The autointerp server is down, or has no key for a language model; or an import replaced "
            "the feature's texts while the language model ran",
        },
    },
)
async def generate_explanation(
    request: Request, _: WriteAccess, viewer: ViewerDep, resources: ExplanationsDep, body: GenerateRequest
) -> GenerateResponse:
    """Have a language model explain a feature by its top examples. The explanation is stored and can be searched.

    A feature has one explanation per type and language model. It becomes the feature's label only where there is no
    other explanation, or by choice. A feature that is never active has no examples to explain it by (400). Beyond
    loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise). Closing
    the connection ends the request to the language model, and nothing is stored.
    """
    generated = await until_disconnect(request, service.generate(resources, viewer, body))
    return GenerateResponse(explanation=explanation_body(generated.feature.source, generated.explanation))


@router.post(
    "/explanation/{explanationId}/delete",
    summary="Delete an explanation",
    response_model=DeleteResponse,
    responses={
        403: {"model": ErrorBody, "description": f"It is not your own. {WRITE_REFUSED}"},
        404: {"model": ErrorBody, "description": "Unknown explanation"},
    },
)
async def delete_explanation(
    _: WriteAccess, viewer: ViewerDep, resources: ExplanationsDep, explanation_id: ExplanationId
) -> DeleteResponse:
    """Delete an explanation of your own. Explanations of datasets, or by another account, cannot be deleted (403).

    Beyond loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise).
    """
    await service.delete(resources, viewer, explanation_id)
    return DeleteResponse(message=f"Explanation {explanation_id} is deleted.")


@router.post(
    "/explanation/{explanationId}/label",
    summary="Choose an explanation as label",
    response_model=ExplanationList,
    responses={
        400: {
            "model": ErrorBody,
            "description": "The body is not JSON, or a text in it has a character that cannot be stored",
        },
        403: {"model": ErrorBody, "description": WRITE_REFUSED},
        404: {"model": ErrorBody, "description": "Unknown explanation"},
        413: {"model": ErrorBody, "description": "The body is too large"},
    },
)
async def choose_explanation_as_label(
    _: WriteAccess,
    viewer: ViewerDep,
    resources: ExplanationsDep,
    explanation_id: ExplanationId,
    body: ChooseLabelRequest,
) -> ExplanationList:
    """Choose an explanation as its feature's label: the heading of its page, and its name in lists and results.

    With `chosen` false the choice is undone, and the default rule chooses the label. The response has all
    explanations of the feature. Beyond loopback it takes the owner's session or an API key with the
    scope `write` in `X-Api-Key` (403 otherwise).
    """
    feature = await service.choose_label(resources, viewer, explanation_id, body.chosen)
    return ExplanationList(explanations=[explanation_body(feature.source, row) for row in feature.explanations])
