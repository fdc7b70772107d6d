"""Requests to every route that is for the owner of the server only, for a database with the hidden source
`hidden/1-hid`, whose import is job 1."""

from memicos_testing.webapp.visibility_probes import NONE, Probe

PAGE, API = "/account/data", "/api/admin"
UNKNOWN = {"name": "hidden/9-hid"}
"""No source has this name; the error message lists those that the set has."""

ASKED = {"method": "eleuther_acts_top20", "model": "default gpt-4.1-mini"}


def owner_probes(root: str, *, permitted: bool) -> dict[tuple[str, str], Probe]:
    """By method and path of a route, a request that adds no job where the owner sends it, except an import.

    `root` is a folder that `MEMICOS_IMPORT_ROOTS` has or, where it is not `permitted`, lacks. `marker` is in the
    response to the owner, and in no other.
    """
    located = f"?location={root}"
    outside = {} if permitted else {"marker": "MEMICOS_IMPORT_ROOTS", "status": 400}
    return {
        ("GET", PAGE): Probe(PAGE, NONE, "1-hid"),
        ("GET", f"{PAGE}/browse"): Probe(f"{PAGE}/browse{located}", NONE, **outside),
        ("GET", f"{PAGE}/plan"): Probe(f"{PAGE}/plan{located}", NONE, **outside),
        ("GET", f"{PAGE}/jobs/events"): Probe(f"{PAGE}/jobs/events?job=1", NONE, '"done"'),
        ("GET", f"{PAGE}/jobs/{{number}}"): Probe(f"{PAGE}/jobs/1", NONE, "Job 1"),
        ("GET", f"{PAGE}/jobs/{{number}}/download"): Probe(
            f"{PAGE}/jobs/1/download", NONE, "Job 1 has no export", status=404
        ),
        ("POST", f"{PAGE}/import"): Probe(f"{PAGE}/import", NONE, form={"location": root}, **outside),
        ("POST", f"{PAGE}/verify"): Probe(f"{PAGE}/verify", NONE, "1-hid", status=404, form=UNKNOWN),
        ("POST", f"{PAGE}/export"): Probe(f"{PAGE}/export", NONE, "1-hid", status=404, form=UNKNOWN),
        ("GET", f"{PAGE}/explain"): Probe(f"{PAGE}/explain?name=hidden/1-hid", NONE, "hidden/1-hid"),
        ("POST", f"{PAGE}/explain"): Probe(
            f"{PAGE}/explain", NONE, "1-hid", status=404, form={**UNKNOWN, **ASKED, "budget": "1"}
        ),
        ("GET", f"{PAGE}/score"): Probe(f"{PAGE}/score?name=hidden/1-hid", NONE, "hidden/1-hid"),
        ("POST", f"{PAGE}/score"): Probe(
            f"{PAGE}/score", NONE, "1-hid", status=404, form={**UNKNOWN, "method": "eleuther_embedding"}
        ),
        ("POST", f"{PAGE}/delete"): Probe(f"{PAGE}/delete", NONE, "1-hid", status=404, form=UNKNOWN),
        ("POST", f"{PAGE}/jobs/{{number}}/cancel"): Probe(
            f"{PAGE}/jobs/1/cancel", NONE, "Job 1 has ended", status=409, form={}
        ),
        ("POST", f"{PAGE}/jobs/{{number}}/resume"): Probe(
            f"{PAGE}/jobs/1/resume", NONE, "Job 1 cannot be resumed", status=409, form={}
        ),
        ("GET", f"{API}/data"): Probe(f"{API}/data", NONE, "1-hid"),
        ("GET", f"{API}/data/available"): Probe(f"{API}/data/available{located}", NONE, **outside),
        ("GET", f"{API}/data/plan"): Probe(f"{API}/data/plan{located}", NONE, **outside),
        ("POST", f"{API}/imports"): Probe(f"{API}/imports", NONE, body={"location": root}, **outside),
        ("POST", f"{API}/data/verify"): Probe(f"{API}/data/verify", NONE, "1-hid", status=404, body=UNKNOWN),
        ("POST", f"{API}/data/delete"): Probe(f"{API}/data/delete", NONE, "1-hid", status=404, body=UNKNOWN),
        ("POST", f"{API}/exports"): Probe(f"{API}/exports", NONE, "1-hid", status=404, body=UNKNOWN),
        ("POST", f"{API}/explanations"): Probe(
            f"{API}/explanations", NONE, "1-hid", status=404, body={**UNKNOWN, "budget": 1}
        ),
        ("POST", f"{API}/scores"): Probe(f"{API}/scores", NONE, "1-hid", status=404, body=UNKNOWN),
        ("GET", f"{API}/jobs"): Probe(f"{API}/jobs", NONE, '"import"'),
        ("GET", f"{API}/jobs/{{number}}"): Probe(f"{API}/jobs/1", NONE, '"import"'),
        ("POST", f"{API}/jobs/{{number}}/cancel"): Probe(f"{API}/jobs/1/cancel", NONE, "Job 1 has ended", status=409),
        ("POST", f"{API}/jobs/{{number}}/resume"): Probe(
            f"{API}/jobs/1/resume", NONE, "Job 1 cannot be resumed", status=409
        ),
    }


REDIRECT = {("GET", f"{PAGE}/{{action:path}}"): Probe(f"{PAGE}/delete", NONE, f"location: {PAGE}", status=303)}
"""It reads nothing, also where the database does not answer."""


def owner_only() -> set[tuple[str, str]]:
    """(method, path) of all of them."""
    return set(owner_probes("", permitted=False)) | set(REDIRECT)
