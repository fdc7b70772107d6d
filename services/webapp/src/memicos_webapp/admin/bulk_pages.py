"""The owner's forms that add jobs over many features: explain them, score their labels."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from memicos_webapp.admin.api import AdminDep
from memicos_webapp.admin.forms import PAGE, amount, page_of, render_page, whole_number
from memicos_webapp.admin.schemas import NAME_CHARACTERS, ExplainFeaturesRequest, ScoreFeaturesRequest
from memicos_webapp.admin.service import DataAdmin
from memicos_webapp.bulk import language_model as bulk_model
from memicos_webapp.bulk.options import DEFAULT_SCORE, ExplainOptions, ScoreOptions
from memicos_webapp.errors import BadInput, Fault, NotConfigured, NotFound
from memicos_webapp.explanations.methods import METHODS as EXPLANATION_METHODS
from memicos_webapp.scores.methods import METHODS as SCORE_METHODS
from memicos_webapp.security.authorisation import OwnerAccess

router = APIRouter(prefix=PAGE, tags=["data"])

NUMBER, INDICES = 20, 100_000
"""Most characters of fields."""
LIMITS = {"name": NAME_CHARACTERS, "method": 60, "model": 241, "score_method": 60, "indices": INDICES}
"""Most characters of a field; NUMBER of the others."""


class FeaturesForm(BaseModel):
    """Fields of both forms as they were entered. `model`: profile and model with a space between them."""

    name: str
    method: str = ""
    model: str = ""
    budget: str = ""
    min_density: str = ""
    max_density: str = ""
    score_below: str = ""
    score_method: str = DEFAULT_SCORE
    indices: str = ""
    failed_in: str = ""
    unexplained: str = ""
    unscored: str = ""
    near_misses: str = ""
    contrastive: str = ""
    batch: str = ""

    def checked(self) -> "FeaturesForm":
        """
        Raises:
            BadInput: a field is too long.
        """
        for field, value in self.model_dump().items():
            if len(value) > (most := LIMITS.get(field, NUMBER)):
                raise BadInput(f"The field {field} has {len(value):,} characters, at most {most:,}.")
        return self

    def fields(self) -> dict[str, Any]:
        """Those of `FeaturesRequest` and the method.

        Raises:
            BadInput: one cannot be used.
        """
        profile, _space, model = self.model.partition(" ")
        low = amount("The smallest density", self.min_density, 0, 1)
        high = amount("The largest density", self.max_density, 0, 1)
        return {
            "name": self.name,
            "method": self.method,
            "profile": profile[:40] or None,
            "model": model[:200] or None,
            "batch": bool(self.batch),
            "budget": amount("The budget", self.budget, 0.000001, 1e6),
            "minDensity": 0.0 if low is None else low,
            "maxDensity": 1.0 if high is None else high,
            "scoreBelow": amount("The score", self.score_below, -1, 1),
            "scoreMethod": self.score_method,
            "indices": self.indices,
            "failedIn": whole_number("The job", self.failed_in, 2**31 - 1),
        }


def _page(request: Request, template: str, form: FeaturesForm, fault: Fault | None = None) -> HTMLResponse:
    try:
        profiles = [profile for profile in bulk_model.profiles().values() if profile.models]
    except NotConfigured as error:
        profiles, fault = [], error
    failed_in = form.failed_in if form.failed_in.isascii() and form.failed_in.isdecimal() else ""
    return render_page(
        request,
        template,
        fault.status if fault else 200,
        subject=form.name,
        entered=form.model_copy(update={"failed_in": failed_in}),
        problem=fault.message if fault else None,
        profiles=profiles,
        explainers=[
            method for method in EXPLANATION_METHODS.values() if method.from_texts and not method.from_attributions
        ],
        score_methods=SCORE_METHODS.values(),
    )


async def _new_form(admin: DataAdmin, name: str, failed_in: int | None) -> FeaturesForm:
    """An empty form; for the failed features of a job, with its method and language model."""
    form = FeaturesForm(name=await admin.label(name), failed_in=str(failed_in or ""))
    options = await admin.form_options(failed_in)
    if options is None:
        return form
    return form.model_copy(
        update={
            "method": options.method,
            "model": f"{options.profile or ''} {options.model or ''}".strip(),
            "batch": "yes" if options.batch else "",
            "near_misses": "yes" if isinstance(options, ScoreOptions) and options.near_misses else "",
            "contrastive": "yes" if isinstance(options, ExplainOptions) and options.contrastive else "",
        }
    )


NameQuery = Annotated[str, Query(max_length=NAME_CHARACTERS)]
JobQuery = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("/explain", response_class=HTMLResponse)
async def explain_page(
    _: OwnerAccess, request: Request, admin: AdminDep, name: NameQuery, failed_in: JobQuery = None
) -> HTMLResponse:
    return _page(request, "admin/explain.html", await _new_form(admin, name, failed_in))


@router.post("/explain")
async def explain_form(
    _: OwnerAccess, request: Request, admin: AdminDep, form: Annotated[FeaturesForm, Form()]
) -> Response:
    try:
        fields = form.checked().fields()
        body = ExplainFeaturesRequest(**fields, unexplained=bool(form.unexplained), contrastive=bool(form.contrastive))
        return page_of(await admin.explain(body))
    except (BadInput, NotFound, NotConfigured) as fault:
        return _page(request, "admin/explain.html", form, fault)


@router.get("/score", response_class=HTMLResponse)
async def score_page(
    _: OwnerAccess, request: Request, admin: AdminDep, name: NameQuery, failed_in: JobQuery = None
) -> HTMLResponse:
    return _page(request, "admin/score.html", await _new_form(admin, name, failed_in))


@router.post("/score")
async def score_form(
    _: OwnerAccess, request: Request, admin: AdminDep, form: Annotated[FeaturesForm, Form()]
) -> Response:
    try:
        fields = form.checked().fields()
        method = SCORE_METHODS.get(form.method)
        if method is not None and not method.asks_language_model:
            # the form always sends its choice of a language model
            fields |= {"profile": None, "model": None}
        body = ScoreFeaturesRequest(**fields, unscored=bool(form.unscored), nearMisses=bool(form.near_misses))
        return page_of(await admin.score(body))
    except (BadInput, NotFound, NotConfigured) as fault:
        return _page(request, "admin/score.html", form, fault)
