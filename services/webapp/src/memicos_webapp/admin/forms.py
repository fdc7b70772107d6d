"""What the owner's pages of data share: fields of forms, and responses."""

from typing import Annotated, Any

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from memicos_webapp.admin.events import ACTIVE
from memicos_webapp.admin.schemas import NAME_CHARACTERS, Job
from memicos_webapp.errors import BadInput
from memicos_webapp.templating import render
from memicos_webapp.validation import read_number

PAGE = "/account/data"
NO_STORE = {"Cache-Control": "no-store"}

Name = Annotated[str, Form(max_length=NAME_CHARACTERS)]
Number = Annotated[str, Form(max_length=20)]


def page_of(job: Job) -> RedirectResponse:
    """Leads to the page of a job."""
    return RedirectResponse(f"{PAGE}/jobs/{job.id}", status_code=303, headers=NO_STORE)


def render_page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page of data."""
    settings = request.app.state.settings
    return render(
        request, template, status, NO_STORE, may_change=not settings.read_only, active_states=ACTIVE, **context
    )


def whole_number(name: str, text: str, maximum: int) -> int | None:
    """The number in a field; None where it is blank.

    Raises:
        BadInput: it is not a whole number from 1 to `maximum`.
    """
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdecimal() and 0 < int(text) <= maximum):
        raise BadInput(f"{name} has to be a whole number from 1 to {maximum:,}, not {text[:20]!r}.")
    return int(text)


def amount(name: str, text: str, low: float, high: float) -> float | None:
    """The amount in a field; None where it is blank.

    Raises:
        BadInput: it is not a number from `low` to `high`.
    """
    if not text.strip():
        return None
    number = read_number(text)
    if number is None or not low <= number <= high:
        raise BadInput(f"{name} has to be a number from {low:g} to {high:g}, not {text[:20]!r}.")
    return number
