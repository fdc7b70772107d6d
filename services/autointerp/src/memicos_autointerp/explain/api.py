"""Route of explaining a feature."""

from fastapi import APIRouter, Request
from memicos_service.disconnect import until_disconnect

from memicos_autointerp.explain import service
from memicos_autointerp.explain.schemas import ExplainRequest, ExplainResponse

router = APIRouter(prefix="/v1/explain", tags=["explain"])


@router.post("/default", summary="Explain a feature from its top-activating texts")
async def explain_default(body: ExplainRequest, request: Request) -> ExplainResponse:
    """Ask a language model what the strongly activating tokens of these texts have in common.

    Texts are taken in the order given, strongest first. The request is limited to AUTOINTERP_MAX_ACTIVATIONS texts
    (64 by default) and AUTOINTERP_MAX_CHARACTERS characters in all (200,000 by default); more is status 400. Without
    a key of its own or of the server the status is 503. 502 means that the language model's provider failed or gave
    no usable explanation, and `cause` has the kind of failure; nothing is stored, so the request can be repeated. One
    request takes AUTOINTERP_DEADLINE_SECONDS (150 by default) at most.
    """
    state = request.app.state
    return await until_disconnect(request, service.explain(body, state.settings, state.providers))
