"""JSON of explaining a feature."""

from fastapi import APIRouter

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.explanations import service
from memicos_webapp.explanations.schemas import Generated, GenerateRequest
from memicos_webapp.explanations.service import ExplainerDep
from memicos_webapp.features import wire
from memicos_webapp.security.authorisation import LocalOwner

router = APIRouter(tags=["explanation"])


@router.post(
    "/explanation/generate",
    response_model=Generated,
    responses={
        400: {"model": ErrorBody, "description": "Unsupported type or model, no key, or there is one already"},
        403: {"model": ErrorBody, "description": "Writes are refused: the server is bound beyond loopback"},
        404: {"model": ErrorBody, "description": "Unknown model, source or index"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        502: {"model": ErrorBody, "description": "The language model gave no explanation"},
        503: {"model": ErrorBody, "description": "The autointerp server is down"},
    },
)
async def generate_explanation(
    _: LocalOwner, viewer: ViewerDep, server: ExplainerDep, body: GenerateRequest
) -> Generated:
    """Have a language model explain a feature by its strongest texts. The explanation is stored and searchable."""
    made = await service.generate(server, viewer, body)
    return Generated(explanation=wire.explanation(made.source, made.new))
