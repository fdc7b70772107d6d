"""Pages of scores: the breakdown of one, and a method with its newest results."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.explanations.schemas import MAX_ID
from memicos_webapp.scores import service
from memicos_webapp.templating import render

router = APIRouter(tags=["scores"])

ScoreNumber = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("/scores/{score_id}", response_class=HTMLResponse)
async def score_page(request: Request, session: Snapshot, viewer: ViewerDep, score_id: ScoreNumber) -> HTMLResponse:
    detail = await service.find(session, viewer, score_id)
    return render(request, "scores/score.html", detail=detail, score=detail.score, source=detail.source)


@router.get("/score-type/{name}", response_class=HTMLResponse)
async def score_type_page(request: Request, session: Snapshot, viewer: ViewerDep, name: str) -> HTMLResponse:
    method, scores = await service.newest(session, viewer, name)
    return render(request, "scores/method.html", method=method, scores=scores)
